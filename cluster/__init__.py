"""Several machines: Ray starts what runs on each, places it, and says what became of it."""
