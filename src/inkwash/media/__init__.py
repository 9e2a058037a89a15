"""Media: the one pixel path. Reading, checking and writing pictures, and the bundled fonts."""
