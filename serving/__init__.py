"""Many people at once: a session of their own for each, on one machine."""
