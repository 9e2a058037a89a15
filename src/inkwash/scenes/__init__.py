"""The procedural world that nano lives in: sampled, rendered, described, edited, asked about and checked."""
