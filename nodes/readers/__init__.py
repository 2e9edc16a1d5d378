"""Nodes that read what somebody feels."""
