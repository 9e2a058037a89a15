"""A model that operates a page, a screen or a phone: one schema of acts, their formats, the loop, its safety.

Start reading at `act.py` (what can be done), `reply.py` (how models write it), `loop.py` (what happens with it).
"""
