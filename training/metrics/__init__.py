"""Metrics: pure functions over arrays; those that need a network name it in their reports."""
