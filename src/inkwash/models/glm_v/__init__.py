"""GLM-V, the half of the family that sees: pictures, videos and text in, text out.

Start reading at `model.py`; `config.py` names the sizes, `processor.py` makes the ids and patches.
"""
