"""Messages made in code, for tests."""

from __future__ import annotations

import numpy as np

from engine.types import VideoFrame


def black(capture_ns: int = 0, width: int = 4, height: int = 4) -> VideoFrame:
    """A black picture."""
    return VideoFrame(capture_ns=capture_ns, pixels=np.zeros((height, width, 3), np.uint8))
