"""Whose face a portrait shows: asked once for each picture."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from engine.errors import MienError
from engine.files import atomic_write, check_source, make_folder, user_data
from engine.program import program

FILE = "portraits.json"


def ask_consent(picture: Path, given: bool) -> None:
    """Ask the first time that a picture is made to talk; ``given``: it was said already. What is
    kept is the picture's hash. Raises MienError where the answer is no."""
    check_source(picture)
    try:
        with picture.open("rb") as file:
            mark = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MienError(f"cannot read {picture}: {error.strerror}") from None
    place = user_data() / FILE
    known = _known(place)
    if mark in known:
        return
    if not given:
        if not sys.stdin.isatty():
            print(
                f"mien: make {picture.name} talk only if it is your face, or its person agrees "
                "(--consent says so, once)",
                file=sys.stderr,
            )
            return
        try:
            answer = input(f"{picture.name} will talk. Is it your face, or do they agree? [y/N] ")
        except EOFError:
            answer = ""
        if answer.strip().lower() not in ("y", "yes"):
            raise MienError(f"nothing was made; {program()} asks before a picture talks")
    make_folder(place.parent)
    with atomic_write(place) as part:
        part.write_text(json.dumps(sorted({*known, mark}), indent=1))


def _known(place: Path) -> set[str]:
    try:
        found = json.loads(place.read_text())
    except (OSError, ValueError):
        return set()
    return set(found) if isinstance(found, list) else set()
