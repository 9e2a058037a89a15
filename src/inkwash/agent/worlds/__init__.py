"""Worlds for agents: pages that are made, served from this machine, and mark what was done on them."""
