"""Which networks there are, and which formats pay for it."""

from __future__ import annotations

from typing import Final

NAMES: Final = ("visual", "speech", "intensity", "skin")
HALVED: Final = ("visual", "skin")
"""networks that run on a GPU in float16"""
QUANTIZED: Final = ("skin",)
"""networks that are worth int8 on a CPU; visual names one face in eight differently in it, however
few of its layers are left to it, and is no quicker than in bf16"""
