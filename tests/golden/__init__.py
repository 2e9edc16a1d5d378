"""A small set of drawn heads (CC0) that the networks that ship are asked about."""
