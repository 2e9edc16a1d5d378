"""Nodes that keep or show what comes out."""
