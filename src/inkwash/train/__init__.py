"""Training loops, one flat loop per network, over small shared pieces (optimiser, EMA, run folder)."""
