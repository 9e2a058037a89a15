"""Core: the leaf package. Errors, small types, environment, device choice and logging; imports nothing of ours."""
