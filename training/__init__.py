"""Fitting and judging: runs offline, imports nodes; nodes never import it."""
