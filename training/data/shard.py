"""One shard of recordings: made whole, with notes on what was left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.errors import MienError
from inference.assets import FACE_LANDMARKER, locate
from training.data.clip import Clip, ClipInfo, write_shard
from training.data.layouts import Entry
from training.data.problems import note
from training.data.track import clips_of

Made = tuple[int, list[str]]
"""how many clips, and a line for each recording left out"""


@dataclass(frozen=True)
class Job:
    """One shard to make: its path, and the recordings with what is known of each."""

    shard: Path
    items: tuple[tuple[Entry, ClipInfo], ...]
    phones: bool = True


def make(job: Job) -> Made:
    """Make one shard: how many clips it holds, and a line for each recording left out."""
    if job.shard.exists():  # by a process that died before it could say so
        return 0, []
    landmarker = str(locate(FACE_LANDMARKER))
    problems: list[str] = []

    def clips() -> Iterator[Clip]:
        for entry, info in job.items:
            try:
                yield from clips_of(entry, info, landmarker, job.phones)
            except MienError as error:
                problems.append(str(error))
        note(job.shard, problems)  # before the shard has its name: it is done from then on

    count = write_shard(job.shard, clips())
    if not count:  # an empty one would count as done when the recordings have been repaired
        job.shard.unlink()
    return count, problems
