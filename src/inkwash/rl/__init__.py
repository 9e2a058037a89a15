"""Reinforcement learning: advantages and curriculum sampling so far.

Start reading at `advantage.py`.
"""
