"""The networks, one folder per family, with the weight adapters and the registry of names."""
