"""Scripts that the server's page and the desktop assistant's share."""

from pathlib import Path

EVENTS = Path(__file__).with_name("events.js")
