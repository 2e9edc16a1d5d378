"""Whether data forbids commercial use: yes, no or unknown, from a manifest through to a card."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal, cast

Nc = Literal["yes", "no", "unknown"]
STATES: Final = ("yes", "no", "unknown")
_SAID: Final[dict[Any, Nc]] = {
    True: "yes", "yes": "yes", "true": "yes", "1": "yes",
    False: "no", "no": "no", "false": "no", "0": "no",
}  # fmt: skip
"""how manifests and older cards put it"""
_DOUBT: Final = "unverified"
"""a licence with this word in it permits nothing"""


def nc_of(said: object, licence: str = "") -> Nc:
    """What was ``said`` of data under a ``licence``. What wasn't said is unknown, and so is a "no"
    where the licence calls rights unverified."""
    word = said.strip().lower() if isinstance(said, str) else said
    known = _SAID.get(word, "unknown") if isinstance(word, str | bool) else "unknown"
    return "unknown" if known == "no" and _DOUBT in licence.lower() else known


def together(each: Iterable[str]) -> Nc:
    """Of all of it: yes where one says so; no only where all do, and there is one."""
    said = set(each)
    if "yes" in said:
        return "yes"
    return "no" if said == {"no"} else "unknown"


def checked(said: str) -> Nc:
    """Raises ValueError where it is none of the three."""
    if said not in STATES:
        raise ValueError(f"nc is {', '.join(STATES)}, not {said!r}")
    return cast(Nc, said)
