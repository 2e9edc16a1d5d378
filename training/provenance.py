"""Where a training's weights come from: every run's data by hash and licence, and its recipe.

A checkpoint keeps a list of stages, the first one first: those of the run that it began with, then
its own; a new one where a run was resumed with other data or another recipe.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.errors import MienError
from inference.terms import nc_of, together

if TYPE_CHECKING:
    from training.trainers.samples import Clips

MAKING: Final = (
    "labels.py", "models", "trainers", "../face/emotions.py",
    "../media/mel.py",
)  # fmt: skip
"""files and folders, seen from here: how samples and labels are made"""
CODE: Final = (*MAKING, "loop.py", "running.py", "losses")
"""what decides how a training goes, and what its figures mean"""

Stage = dict[str, Any]
"""``command``, ``from_step``, ``data`` (of each shard, by the hash of what it holds: name, clips,
synthetic_clips, people, sources, licences, nc), ``recipe``, ``leans_on`` (the stages of runs that
were asked, by name)"""


def sha256_of(path: Path) -> str:
    """Of a file as it is now. Raises MienError."""
    try:
        stat = path.stat()
        return _sha256(path, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise MienError(f"{path} cannot be read ({error.strerror})") from None


@lru_cache(maxsize=4096)
def _sha256(path: Path, mtime_ns: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seen(clips: Clips) -> dict[str, Any]:
    """``data`` of a stage: the shards, as far as their clips were chosen. Raises MienError."""
    infos: dict[Path, list[Any]] = {}
    for index in clips.chosen:
        infos.setdefault(clips.shards[index], []).append(clips.infos[index])
    return {
        sha256_of(path): {
            "name": path.name,
            "clips": len(own),
            "synthetic_clips": sum(info.synthetic for info in own),
            "people": sorted({info.subject for info in own}),
            "sources": sorted({info.source for info in own}),
            "licences": sorted({info.licence or "unknown" for info in own}),
            "nc": together(info.nc for info in own),
        }
        for path, own in sorted(infos.items())
    }


def plain(value: Any) -> Any:
    """The same in lists, dictionaries, texts and numbers. Raises TypeError where it isn't such."""
    return json.loads(json.dumps(value))


@lru_cache(maxsize=64)
def code_hash(*names: str) -> str:
    """Of the sources of files and folders, named as seen from this folder."""
    digest = hashlib.sha256()
    for name in names:
        place = Path(__file__).parent / name
        assert place.exists(), place
        for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
            digest.update(f"{path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def differences(before: Stage, now: Stage) -> list[str]:
    """What a stage has otherwise than the one before it, in a few words each."""
    found = []
    for name in ("data", "leans_on"):
        if before[name] != now[name]:
            found.append("other data" if name == "data" else "other runs that it leans on")
    if "constants" in before["recipe"]:
        return [*found, "its recipe is of an older version"]
    old, new = (dict(_flat(stage["recipe"])) for stage in (before, now))
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            found.append(f"{name} {old.get(name)} -> {new.get(name)}")
    return found


def described(stages: Sequence[Stage]) -> dict[str, Any]:
    """Data of all stages and of what they lean on, as a card tells it."""
    shards: dict[str, Any] = {}
    for stage in _all(stages):
        for digest, shard in stage["data"].items():
            known = shards.get(digest)
            if known is None or known["clips"] < shard["clips"]:
                shards[digest] = shard
    every = list(shards.values())
    hashes = hashlib.sha256("\n".join(sorted(shards)).encode()).hexdigest()
    return {
        # Of older runs, each of its licences has to permit it.
        "nc": together(nc_of(shard["nc"], " ".join(shard["licences"])) for shard in every),
        "clips": sum(shard["clips"] for shard in every),
        "people": len({who for shard in every for who in shard["people"]}),
        "synthetic_clips": sum(shard["synthetic_clips"] for shard in every),
        "sources": sorted({source for shard in every for source in shard["sources"]}),
        "licences": sorted({name for shard in every for name in shard["licences"]}),
        "shards": len(every),
        "shards_sha256": hashes,
    }


def commands(stages: Sequence[Stage]) -> str:
    """The commands of all stages in turn, as one line of a shell."""
    return " && ".join(dict.fromkeys(stage["command"] for stage in stages))


def recipe_line(stages: Sequence[Stage]) -> str:
    """The last stage's recipe as JSON."""
    return json.dumps(stages[-1]["recipe"], sort_keys=True)


def _all(stages: Sequence[Stage]) -> Iterator[Stage]:
    for stage in stages:
        yield stage
        for others in stage["leans_on"].values():
            yield from _all(others)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
