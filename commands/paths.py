"""Where the shipped graphs and weights lie."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GRAPHS = ROOT / "graphs"
WEIGHTS = ROOT / "weights"
