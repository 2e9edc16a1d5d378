"""How a stored picture is turned and mirrored to stand upright: one matrix, whoever says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from engine.types import U8


@dataclass(frozen=True, slots=True)
class Orientation:
    """Where a stored pixel (x, y) is shown: (xx x + yx y, xy x + yy y), each part -1, 0 or 1."""

    xx: int = 1
    xy: int = 0
    yx: int = 0
    yy: int = 1

    @property
    def swaps(self) -> bool:
        """Whether width and height change places."""
        return not self.xx

    def upright(self, pixels: U8) -> U8:
        """[H, W, C] as it is to be shown; a view where nothing changes."""
        import numpy as np

        if self == UPRIGHT:
            return pixels
        shown: Any = pixels.swapaxes(0, 1) if self.swaps else pixels
        if self.xx + self.yx < 0:
            shown = shown[:, ::-1]
        if self.xy + self.yy < 0:
            shown = shown[::-1]
        return np.ascontiguousarray(shown)


UPRIGHT: Final = Orientation()
# Exif 2.32, table 6: what is at the stored picture's top and left side.
_OF_EXIF: Final = {
    2: Orientation(-1, 0, 0, 1),
    3: Orientation(-1, 0, 0, -1),
    4: Orientation(1, 0, 0, -1),
    5: Orientation(0, 1, 1, 0),
    6: Orientation(0, 1, -1, 0),
    7: Orientation(0, -1, -1, 0),
    8: Orientation(0, -1, 1, 0),
}


def of_exif(number: object) -> Orientation:
    """By the Exif tag 0x0112; what isn't 2 to 8 is upright."""
    return _OF_EXIF.get(number, UPRIGHT) if isinstance(number, int) else UPRIGHT


def of_matrix(matrix: Sequence[int]) -> Orientation:
    """By a display matrix of ISO 14496-12 (nine numbers by rows); slanted ones go to the nearest.

    A matrix that shows nothing, or shows on one line, is upright.
    """
    across, down = (matrix[0], matrix[1]), (matrix[3], matrix[4])
    if abs(across[0] * down[1]) > abs(across[1] * down[0]):
        return Orientation(_sign(across[0]), 0, 0, _sign(down[1]))
    if across[1] and down[0]:
        return Orientation(0, _sign(across[1]), _sign(down[0]), 0)
    return UPRIGHT


def of_frame(frame: Any) -> Orientation:
    """How a decoded av picture says that it is to be shown."""
    import numpy as np

    matrix = frame.side_data.get("DISPLAYMATRIX")
    return UPRIGHT if matrix is None else of_matrix(np.frombuffer(matrix, np.int32).tolist())


def _sign(number: int) -> int:
    return 1 if number > 0 else -1
