"""What is judged: a face through one picture or many, from a folder of pictures or of shards."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from engine.errors import MienError
from engine.program import tool
from engine.types import F32, U8
from face.expression.emotion_names import WORDS
from face.types import EMOTIONS
from media.image_file import SUFFIXES, read_picture
from training.data.clip import SHARD_SUFFIX, SPLITS, Clip, StoredClips, open_clips


@dataclass(frozen=True, kw_only=True, eq=False)
class Take:
    """``load`` gives its pictures, BGR [H, W, 3], one size; ``emotion`` and ``subject`` are ""
    where unknown; ``sentence`` names what is said, ``mel`` [M, 80] and ``sound`` [N] are how, where
    there is any; ``intensity`` [T] is the truth where it is known."""

    name: str
    load: Callable[[], Sequence[U8]]
    subject: str = ""
    emotion: str = ""
    sentence: str = ""
    mel: Callable[[], F32] | None = None
    sound: Callable[[], F32] | None = None
    intensity: Callable[[], F32 | None] | None = None
    clip: Callable[[], Clip] | None = None


def takes_in(
    folder: Path,
    every: int = 1,
    split: str = "",
    voices: bool = False,
    seconds: float = float("inf"),
) -> list[Take]:
    """Each ``every``th take of a folder, of clips so many ``seconds``; with ``voices`` those
    without pictures, too.

    Raises MienError where it holds none.
    """
    if split and split not in SPLITS:
        raise MienError(f"a split is one of {', '.join(SPLITS)}, not {split}")
    if not folder.exists():
        raise MienError(f"no such folder: {folder}")
    if holds_shards(folder):
        takes = _clips(open_clips(folder), split, voices, seconds)
        if not takes:
            raise MienError(f"{folder} has no clip with a picture{_of(split)}; prepare others")
    else:
        takes = _pictures(folder)
        if not takes:
            raise MienError(
                f"no pictures and no shards in {folder}; give a folder of JPEG or PNG files, "
                f"or one from {tool('training.data.prepare')}"
            )
    return takes[:: max(1, every)]


def holds_shards(folder: Path) -> bool:
    return folder.suffix == SHARD_SUFFIX or any(folder.glob(f"*{SHARD_SUFFIX}"))


def labelled(takes: Sequence[Take], folder: Path) -> list[Take]:
    """Those whose emotion and subject are known. Raises MienError where there are none."""
    known = [take for take in takes if take.emotion and take.subject]
    if not known:
        raise MienError(
            f"nothing in {folder} says who feels what; prepare labelled recordings, name pictures "
            "EMOTION_PERSON_NUMBER.jpg, or add a manifest.tsv (file, subject, emotion)"
        )
    return known


def told_by_name(stem: str) -> tuple[str, str]:
    """(emotion, subject) of a file named ..EMOTION_SUBJECT_NUMBER; "" for what isn't told."""
    parts = [part for part in re.split(r"[_\-\s.]+", stem) if part]
    for place, part in enumerate(parts):
        if emotion := WORDS.get(part.lower()):
            rest = parts[place + 1 :]
            while rest and rest[-1].isdigit():
                rest.pop()
            return emotion, "_".join(rest)
    return "", ""


def _pictures(folder: Path) -> list[Take]:
    """Of a folder, and of those in it that are called as an emotion."""
    folders = [one for one in folder.glob("*/") if one.name.lower() in WORDS]
    files = sorted(
        file
        for own in (folder, *folders)
        for file in own.glob("*")
        if file.suffix.lower() in SUFFIXES
    )
    known = _manifest(folder)
    takes = []
    for file in files:
        if file.parent == folder:
            emotion, subject = known.get(file.name) or told_by_name(file.stem)
        else:
            emotion, subject = WORDS[file.parent.name.lower()], file.stem.rpartition("_")[0]
        takes.append(
            Take(
                name=str(file.relative_to(folder)),
                load=partial(_read, file),
                emotion=emotion,
                subject=subject or file.stem,
            )
        )
    return takes


def _manifest(folder: Path) -> dict[str, tuple[str, str]]:
    """(emotion, subject) by file name from a manifest.tsv that has these columns."""
    for path in (folder / "manifest.tsv", folder.parent / "manifest.tsv"):
        if not path.is_file():
            continue
        with path.open(encoding="utf-8", newline="") as opened:
            rows = csv.DictReader(opened, delimiter="\t", quoting=csv.QUOTE_NONE)
            if not {"file", "emotion", "subject"} <= set(rows.fieldnames or ()):
                continue
            found = {}
            for row in rows:
                emotion = row["emotion"] or ""
                if emotion and emotion not in EMOTIONS:
                    raise MienError(f"{path}: '{emotion}' is not one of {', '.join(EMOTIONS)}")
                found[Path(row["file"]).name] = (emotion, row["subject"] or "")
            return found
    return {}


def _clips(clips: StoredClips, split: str, voices: bool, seconds: float) -> list[Take]:
    takes = []
    for place, (info, frames) in enumerate(zip(clips.infos, clips.lengths, strict=True)):
        if (frames or voices) and split in ("", info.split):
            clip = partial(_begun, clips, place, seconds)
            takes.append(
                Take(
                    name=info.key,
                    load=partial(_bgr, clip),
                    subject=info.subject,
                    emotion=info.emotion,
                    sentence=info.sentence,
                    mel=partial(_mel, clip),
                    sound=partial(_sound, clip),
                    intensity=partial(_intensity, clip),
                    clip=clip,
                )
            )
    return takes


def _begun(clips: StoredClips, place: int, seconds: float) -> Clip:
    return clips[place].first(seconds)


def _read(file: Path) -> Sequence[U8]:
    return [read_picture(file).pixels]


def _mel(clip: Callable[[], Clip]) -> F32:
    return clip().mel


def _sound(clip: Callable[[], Clip]) -> F32:
    return clip().samples


def _intensity(clip: Callable[[], Clip]) -> F32 | None:
    return clip().intensity


def _bgr(clip: Callable[[], Clip]) -> Sequence[U8]:
    return [np.ascontiguousarray(rgb[..., ::-1]) for rgb in clip().frames_THWC]


def _of(split: str) -> str:
    return f" in its {split} split" if split else ""
