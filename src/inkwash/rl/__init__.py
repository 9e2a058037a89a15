"""Reinforcement learning: rewards of answers (`verifiers/`), advantages, curriculum sampling.

Start reading at `verifiers/system.py` and `advantage.py`.
"""
