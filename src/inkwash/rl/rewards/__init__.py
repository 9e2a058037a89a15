"""Rewards of drawn pictures, one file each. Start reading at `base.py` and `scorer.py`."""
