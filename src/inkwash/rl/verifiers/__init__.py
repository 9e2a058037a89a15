"""Verifiers: is this answer right? Rules first, a judge where rules cannot say. Start reading at `system.py`."""
