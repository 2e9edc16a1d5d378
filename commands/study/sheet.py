"""A study's sheet: the clips, by emotion, and where the files of each method lie.

    title = "Whose expression is it?"        # on the page
    source = "source/{clip}.mp4"             # what was edited
    reference = "reference/{clip}.jpg"       # whose expression it should wear

    [methods]
    NED = "ned/{clip}.mp4"
    ours = "ours/{clip}.mp4"

    [clips]
    happy = ["M003_011", "W009_004"]
    sad = ["M003_027"]

{emotion} may stand in a place, too. Places are seen from the sheet's folder.
"""

from __future__ import annotations

import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.errors import MienError, UsageError, words
from engine.graph_tables import Tables
from media.image_file import read_picture
from media.probing import open_media, video_stream

KEYS: Final = ("title", "source", "reference", "methods", "clips")
PICTURES: Final = (".jpg", ".jpeg", ".png", ".webp", ".avif")
FILMS: Final = (".mp4", ".m4v", ".webm")
CODECS: Final = ("h264", "vp8", "vp9", "av1")
"""that every browser plays"""
METHODS_MOST: Final = 8
NAME_MOST: Final = 80


@dataclass(frozen=True)
class Question:
    """``heading`` is the papers' word, ``text`` the page's."""

    key: str
    heading: str
    text: str


QUESTIONS: Final = (
    Question("realism", "Realism", "Which looks most like a real recording?"),
    Question("emotion", "Emotion similarity", "Which feels most like the reference?"),
    Question("mouth", "Mouth shape similarity", "Which mouth is most like the source's?"),
)
"""what SSERD (section 4.3) and CDRL (section 4.3.3) asked: the best method in three respects"""


@dataclass(frozen=True)
class Clip:
    """One thing to judge; ``made`` has a file of every method."""

    name: str
    emotion: str
    source: Path
    reference: Path
    made: Mapping[str, Path]


@dataclass(frozen=True)
class Sheet:
    title: str
    methods: tuple[str, ...]
    clips: tuple[Clip, ...]

    @property
    def emotions(self) -> list[str]:
        return list(dict.fromkeys(clip.emotion for clip in self.clips))


def read_sheet(path: Path) -> Sheet:
    """Checked, all its files opened once. Raises MienError with one line."""
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except FileNotFoundError:
        raise MienError(f"{path}: no such sheet") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not valid TOML: {words(error)}") from None
    reader = _Reader(raw, text, str(path))
    sheet = reader.sheet(path.parent)
    for clip in sheet.clips:
        for file in (clip.source, clip.reference, *clip.made.values()):
            check_file(file)
    return sheet


class _Reader(Tables):
    def sheet(self, folder: Path) -> Sheet:
        for key in self.raw:
            if key not in KEYS:
                raise self.fail(f"unknown key '{key}'; a sheet has {', '.join(KEYS)}")
        title = self.raw.get("title", "Which is best?")
        if not isinstance(title, str):
            raise self.fail("title is a text")
        methods = self.table(self.raw.get("methods", {}), "methods")
        if not 2 <= len(methods) <= METHODS_MOST:
            raise self.fail(
                f"[methods] names {len(methods)}; 2 to {METHODS_MOST} can be compared", "methods"
            )
        places = {name: self.place(value, "methods", name) for name, value in methods.items()}
        source, reference = (self.place(self.raw.get(key), "", key) for key in KEYS[1:3])
        clips = [
            Clip(
                name=name,
                emotion=emotion,
                source=self.file(folder, source, name, emotion),
                reference=self.file(folder, reference, name, emotion),
                made={
                    method: self.file(folder, place, name, emotion)
                    for method, place in places.items()
                },
            )
            for name, emotion in self.names().items()
        ]
        self.all_differ(clips)
        return Sheet(title, tuple(methods), tuple(clips))

    def names(self) -> dict[str, str]:
        """The emotion of each clip."""
        emotion_of: dict[str, str] = {}
        for emotion, names in self.table(self.raw.get("clips", {}), "clips").items():
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise self.fail(f"{emotion} is a list of clips' names", "clips", emotion)
            for name in names:
                if name in emotion_of:
                    raise self.fail(f"'{name}' stands there twice", "clips", emotion, name)
                emotion_of[name] = emotion
        if not emotion_of:
            raise self.fail("there are no clips; list them by emotion under [clips]", "clips")
        return emotion_of

    def place(self, value: Any, table: str, key: str) -> str:
        """A path with {clip} and {emotion} in it."""
        if not isinstance(value, str) or not value:
            raise self.fail(f'{key} needs a place, like {key} = "{key}/{{clip}}.mp4"', table, key)
        try:
            held = {name for _, name, _, _ in string.Formatter().parse(value) if name is not None}
        except ValueError:
            held = {value}
        if not held <= {"clip", "emotion"} or (table and "clip" not in held):
            raise self.fail(
                f"{key}'s place '{value}' has {{clip}} in it, may have {{emotion}}, and no other "
                "braces",
                table,
                key,
            )
        return value

    def file(self, folder: Path, place: str, clip: str, emotion: str) -> Path:
        return folder / place.format(clip=clip, emotion=emotion)

    def all_differ(self, clips: list[Clip]) -> None:
        for clip in clips:
            seen: dict[Path, str] = {}
            for method, file in clip.made.items():
                other = seen.setdefault(file.resolve(), method)
                if other != method:
                    raise self.fail(f"{method} and {other} are the same file, {file}", "methods")


def is_film(path: Path) -> bool:
    return path.suffix.lower() in FILMS


def check_file(path: Path) -> None:
    """Whether every browser shows it. Raises MienError."""
    if path.suffix.lower() in PICTURES:
        read_picture(path)
        return
    if not is_film(path):
        raise MienError(
            f"{path}: browsers show {' '.join((*PICTURES, *FILMS))}; convert it: "
            f"ffmpeg -i {path.name} -c:v libx264 -pix_fmt yuv420p {path.stem}.mp4"
        )
    with open_media(str(path)) as opened:
        stream = video_stream(opened)
        codec = stream.codec_context.codec.canonical_name if stream else "no"
    if codec not in CODECS:
        raise MienError(
            f"{path} has {codec} pictures, which not every browser plays; convert it: "
            f"ffmpeg -i {path.name} -c:v libx264 -pix_fmt yuv420p {path.stem}.mp4"
        )
