"""Reinforcement learning: rollouts and rewards of pictures, losses, one flat loop per network; verifiers of answers.

Start reading at `grpo_ar.py`; what a step is made of stands in `rollout.py`, `rewards/` and `loss.py`.
"""
