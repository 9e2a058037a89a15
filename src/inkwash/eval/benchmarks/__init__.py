"""The published benchmarks, in three layers that never mix: prompts, predictions, metrics.

One file per benchmark reads its official prompt files, says where each picture must lie and computes its metrics from
plain answers, without any model. `judges` asks models for those answers, `runs` puts the three together.
"""
