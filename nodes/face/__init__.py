"""Nodes that follow a face and change it."""
