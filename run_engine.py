"""Mien in a checkout: `python run_engine.py COMMAND`. Installed, the same program is `mien`."""

from __future__ import annotations

from engine import signals

if __name__ == "__main__":
    signals.end_at_once("mien")  # first, or what follows could still be torn apart

from commands.line import main, start

__all__ = ["main", "start"]

if __name__ == "__main__":
    raise SystemExit(start())
