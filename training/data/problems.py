"""What was left out of shards, and why: lines beside each shard, and of all of them together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from engine.files import atomic_write


def note(shard: Path, problems: list[str]) -> None:
    """Keep what was left out of a shard; no file where nothing was. Raises MienError."""
    if problems:
        write_lines(_notes(shard), problems)


def noted(shards: Iterable[Path]) -> Iterator[str]:
    """All that was left out of these shards."""
    for shard in shards:
        if _notes(shard).exists():
            yield from _notes(shard).read_text(encoding="utf-8").splitlines()


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """A text file, whole or not at all. Raises MienError."""
    with atomic_write(path) as part:
        part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _notes(shard: Path) -> Path:
    return shard.with_suffix(".problems")
