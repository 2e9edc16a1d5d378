"""Nodes that bring pictures and sound in."""
