"""Which networks there are, and which formats pay for it."""

from __future__ import annotations

from typing import Final

NAMES: Final = ("visual", "speech", "intensity", "skin")
HALVED: Final = ("visual", "skin")
"""networks that run on a GPU in float16"""
QUANTIZED: Final = ("visual", "skin")
"""networks that are worth int8 on a CPU"""
