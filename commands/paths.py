"""Where the shipped graphs and weights lie."""

from engine.program import ROOT

GRAPHS = ROOT / "graphs"
WEIGHTS = ROOT / "weights"
