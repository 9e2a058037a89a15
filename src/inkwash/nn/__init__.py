"""Small free functions and tiny modules that every network shares.

They take plain ints and tensors, never a model's config, so that any model may use them.
"""
