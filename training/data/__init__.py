"""Data: clips in shards, readers of known layouts, preparation, pairs, synthetic heads."""
