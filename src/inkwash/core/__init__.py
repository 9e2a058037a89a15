"""Core: the leaf room. Errors, small types, environment, device choice and logging; imports nothing of ours."""
