"""Command line: one file per command; everything heavy is imported inside functions."""
