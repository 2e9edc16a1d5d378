"""`file --cluster auto IN OUT`: a folder of films or voices, spread over a cluster's machines."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import io
import json
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

from cluster.bulk import each
from cluster.joining import HELP, joined
from cluster.parcels import Parcel, received, sent
from commands.consent import ask_consent
from commands.enrolment import FILMS
from commands.file.progress import ClipProgress
from engine import __version__, files
from engine.errors import MienError, UsageError
from face.reference_file import absolute
from face.render.person_file import place_of
from inference.weight_sets import folder_of, name_of, sets, terms
from nodes.sinks.media_writer import CONTAINERS

RECORD: Final = "mien-bulk.json"
"""in OUT: what was asked for, and what became of it"""
VOICES: Final = (*FILMS, ".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac")
_TOLD: Final = 20
_PER_RUN: Final = ("command", "input", "output", "cluster", "cores", "gpus", "report", "plot")
"""options that don't change what a clip becomes"""
_PERSONAL: Final = ("person", "portrait")
"""options that name a file of a person"""
_PART: Final = re.compile(r"\..+\.[0-9a-f]{16}\.part")

Convert = Callable[[argparse.Namespace], int]


@dataclass(frozen=True)
class Clip:
    """One clip to convert: its options as for `file` alone, and what has to be there then."""

    name: str
    options: argparse.Namespace
    products: tuple[Path, ...]
    record: Path
    mark: str
    """stands in the record: who doesn't see it, sees another folder"""
    parcels: dict[str, Parcel] = field(default_factory=dict)
    """files of a person, by the option that names each"""

    def done(self) -> bool:
        """Whether all is there and no older than the clip."""
        try:
            since = Path(self.options.input).stat().st_mtime_ns
            return all(path.stat().st_mtime_ns >= since for path in self.products)
        except OSError:
            return False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--cluster and what goes with it."""
    group = parser.add_argument_group("a folder of films or voices, on many machines")
    group.add_argument("--cluster", metavar="auto|ADDRESS", help=HELP)
    group.add_argument(
        "--cores", type=float, default=1, metavar="N", help="processor cores for a clip (1)"
    )
    group.add_argument(
        "--gpus", type=float, default=0, metavar="SHARE", help="share of a GPU for a clip (0)"
    )


def convert_all(options: argparse.Namespace, convert: Convert) -> int:
    """Each clip of IN that isn't in OUT yet, by ``convert``. Raises MienError where one failed."""
    source, goal = Path(options.input), Path(options.output)
    names = _check(source, goal, options)
    print(f"weights {terms(options.weights)}", file=sys.stderr)
    failed: dict[str, str] = {}
    said: dict[str, list[str]] = {}
    with joined(options.cluster) as ray, _alone(goal), sent(ray, _of_a_person(options)) as parcels:
        record = _record(goal, options)
        clips = [_clip(name, options, goal / RECORD, record["mark"]) for name in names]
        left = [replace(clip, parcels=parcels) for clip in clips if not clip.done()]
        if len(left) < len(clips):
            print(f"mien: {len(clips) - len(left)} of {len(clips)} are there already")
        work = each(ray, partial(make, convert), left, cores=options.cores, gpus=options.gpus)
        try:
            with closing(work) as ended, ClipProgress(source.name, len(left)) as progress:
                for end in ended:
                    if end is not None and end.why:
                        failed[end.item.name] = end.why
                    elif end is not None and end.result:
                        said[end.item.name] = end.result
                    progress.tick(end is not None, len(failed))
        finally:
            _sweep(goal, options)
            record |= {"clips": len(clips), "failed": failed, "said": said}
            record["done"] = sum(clip.done() for clip in clips)
            _write(goal / RECORD, record)
    for name, why in list(failed.items())[:_TOLD]:
        print(f"mien: {name}: {why}", file=sys.stderr)
    print(f"{goal}: {record['done']} of {len(clips)} clips")
    if failed:
        raise MienError(
            f"{len(failed)} of {len(clips)} clips could not be done; {goal / RECORD} names each; "
            "the same command tries them again"
        )
    return 0


def make(convert: Convert, clip: Clip) -> list[str]:
    """Convert one clip where it isn't done yet; what `file` said of it. Raises MienError."""
    if clip.done():
        return []
    try:
        seen = json.loads(clip.record.read_text("utf-8"))["mark"] == clip.mark
    except (OSError, ValueError, KeyError):
        seen = False
    if not seen:
        raise MienError(
            f"{os.uname().nodename} doesn't see {clip.record.parent}; every machine of the cluster "
            "has to see IN and OUT under the same paths"
        )
    for path in clip.products:
        files.make_folder(path.parent)
    for option, parcel in clip.parcels.items():
        setattr(clip.options, option, str(received(parcel)))
    heard = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(heard):
        convert(clip.options)
    return [line for line in heard.getvalue().splitlines() if line.startswith("mien: ")]


def _check(source: Path, goal: Path, options: argparse.Namespace) -> list[Path]:
    """The clips, from IN on, in order. Raises MienError."""
    if not source.is_dir():
        raise UsageError(f"--cluster takes a folder of films; {source} is none")
    if goal.is_file() or goal.suffix.lower() in CONTAINERS:
        raise UsageError(f"{source} is a folder, so OUT is a folder too, not {goal.name}")
    inside = source.resolve() in (goal.resolve(), *goal.resolve().parents)
    if inside:
        raise UsageError(f"OUT, {goal}, lies in IN; name a folder elsewhere")
    if options.cores <= 0 or options.gpus < 0:
        raise UsageError("--cores is above 0, --gpus 0 or above")
    if options.portrait is not None:
        ask_consent(Path(options.portrait), options.consent)
    taken = FILMS if options.portrait is None else VOICES
    found = sorted(
        path.relative_to(source)
        for path in source.rglob("*")
        if path.suffix.lower() in taken and path.is_file() and not path.name.startswith(".")
    )
    for option, path in _of_a_person(options).items():
        if not path.is_file():
            raise MienError(f"--{option}: there is no file {path}")
    if not found:
        raise MienError(f"no clips in {source}; it should hold {' '.join(taken)}")
    return found


def _of_a_person(options: argparse.Namespace) -> dict[str, Path]:
    """What other machines needn't have, by the option that names it."""
    named = {option: getattr(options, option, None) for option in _PERSONAL}
    return {
        option: place_of(value) if option == "person" else Path(value)
        for option, value in named.items()
        if value is not None
    }


def _clip(name: Path, options: argparse.Namespace, record: Path, mark: str) -> Clip:
    """OUT has IN's folders and names; what can't be written as it was becomes NAME.avi.mp4."""
    kept = name.suffix.lower() in CONTAINERS
    goal = record.parent / (name if kept else name.with_name(f"{name.name}.mp4"))
    asked = argparse.Namespace(**vars(options))
    asked.input, asked.output = str(Path(options.input) / name), str(goal)
    asked.cluster = None
    if options.weights and options.weights not in sets():
        asked.weights = str(Path(options.weights).resolve())
    products = [goal.resolve()]
    for option, suffix in (("report", ".json"), ("plot", ".svg")):
        if (folder := getattr(options, option)) is not None:
            path = Path(folder).resolve() / name.with_name(name.name + suffix)
            setattr(asked, option, str(path))
            products.append(path)
    asked.input, asked.output = str(Path(asked.input).resolve()), str(products[0])
    asked.consent = options.portrait is not None  # it was asked for here
    if options.reference is not None:
        asked.reference = [absolute(text) for text in options.reference]
    return Clip(name.as_posix(), asked, tuple(products), record.resolve(), mark)


def _record(goal: Path, options: argparse.Namespace) -> dict[str, Any]:
    """A new record of this run, written. Raises MienError where OUT was begun otherwise."""
    asked = {name: value for name, value in vars(options).items() if name not in _PER_RUN}
    asked["mien"], asked["weights"] = __version__, name_of(folder_of(options.weights))
    for option, path in _of_a_person(options).items():
        asked[option] = hashlib.sha256(path.read_bytes()).hexdigest()
    place = goal / RECORD
    try:
        former = json.loads(place.read_text("utf-8"))["asked"] if place.exists() else asked
    except (OSError, ValueError, KeyError, TypeError):
        raise MienError(f"{place} is no record of a run; remove it, or name another OUT") from None
    if other := sorted(name for name in asked if former.get(name) != asked[name]):
        raise MienError(
            f"{goal} was begun with another {', '.join(other)}; name another OUT, or remove "
            f"{place} to go on and keep what is there"
        )
    record = {"asked": asked, "mark": secrets.token_hex(8)}
    _write(place, record)
    return record


def _write(place: Path, record: dict[str, Any]) -> None:
    with files.atomic_write(place) as part:
        part.write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")


@contextlib.contextmanager
def _alone(goal: Path) -> Iterator[None]:
    """A folder, and nobody else works on it meanwhile. Raises MienError."""
    files.make_folder(goal)
    lock: IO[bytes] = (goal / f".{RECORD}.lock").open("ab")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MienError(f"another run is at work on {goal}; wait until it is done") from None
        yield


def _sweep(goal: Path, options: argparse.Namespace) -> None:
    """Remove what processes that were killed had begun to write."""
    folders = [goal, *(Path(path) for path in (options.report, options.plot) if path is not None)]
    for folder in folders:
        for path in folder.rglob(".*.part"):
            if _PART.fullmatch(path.name):
                path.unlink(missing_ok=True)
