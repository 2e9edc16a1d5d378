"""Which networks there are, whose training each comes from, and which formats pay for it."""

from __future__ import annotations

from typing import Final

NAMES: Final = ("visual", "speech", "intensity", "skin", "identity", "generator")
RUN_OF: Final = {name: name for name in NAMES} | {"identity": "generator"}
"""which training a network comes from"""
HALVED: Final = ("visual", "skin", "identity", "generator")
"""networks that run on a GPU in float16"""
QUANTIZED: Final = ("visual", "generator")
"""networks that are worth int8 on a CPU"""
