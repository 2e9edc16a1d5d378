"""One trainer per model: what it draws, what it minimizes, how big it is in debug and in full."""
