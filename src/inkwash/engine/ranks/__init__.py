"""A model on several devices of one machine: one process for each, started here. See docs/several-devices.md."""
