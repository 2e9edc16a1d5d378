"""Parametric heads: geometry, paint, light and a small rasteriser."""
