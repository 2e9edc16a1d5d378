"""Known data sets by the layout of their folders: who, what feeling, how strong, which sentence."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from engine.errors import MienError
from face.expression.emotion_names import WORDS, emotion_in
from face.types import EMOTIONS
from inference.terms import Nc, nc_of
from media.image_file import SUFFIXES
from training.data.own import source_of
from training.data.words import felt_in
from training.tracks import identities

VIDEO: Final = (".mp4", ".mov", ".mpg", ".mpeg", ".avi", ".webm", ".mkv", ".flv", ".m4v")
SOUND: Final = (".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus")
STILL: Final = SUFFIXES


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A recording: ``file`` and, where the sound lies apart, ``sound``; the rest as in ClipInfo."""

    file: Path
    subject: str
    emotion: str = ""
    level: int = 0
    sentence: str = ""
    take: str = ""
    view: str = ""
    sound: Path | None = None
    licence: str = ""
    nc: Nc = "unknown"
    synthetic: bool = False
    word: str = ""
    felt: tuple[float, float] | None = None


@dataclass
class Found:
    """What a reader made of a folder; ``odd`` counts why files were left out or lack a label."""

    entries: list[Entry] = field(default_factory=list)
    odd: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def strange(self, why: str, file: Path) -> None:
        self.odd[why] += 1
        self.examples.setdefault(why, file.name)

    def lines(self) -> list[str]:
        """One line for each reason."""
        return [
            f"{count} x {why} (such as {self.examples[why]})" for why, count in self.odd.items()
        ]


ReadClips = Callable[[Path, Found], None]


def read_layout(layout: str, folder: Path) -> Found:
    """The recordings of a folder. Raises MienError where there are none."""
    if layout not in READERS:
        raise MienError(f"no such layout: {layout}; known are {', '.join(READERS)}")
    if not folder.is_dir():
        raise MienError(f"no such folder: {folder}")
    found = Found()
    READERS[layout](folder, found)
    if not found.entries:
        reasons = "; ".join(found.lines()) or "no recordings at all"
        raise MienError(f"nothing in {folder} fits the layout {layout}: {reasons}")
    return found


def _files(
    folder: Path, suffixes: tuple[str, ...], found: Found, beside: str = ""
) -> Iterator[Path]:
    """Files to read; others are strange, but for those ``beside`` them, which the layout knows
    (a regular expression of the end of their path)."""
    for file in sorted(folder.rglob("*")):
        suffix = file.suffix.lower()
        if not file.is_file() or suffix not in VIDEO + SOUND + STILL:
            continue
        if suffix in suffixes:
            yield file
        elif not beside or not re.search(beside, file.as_posix()):
            found.strange(f"{suffix} is not what this layout is read from", file)


def mead(folder: Path, found: Found) -> None:
    """SUBJECT/video/VIEW/EMOTION/level_N/NNN.mp4, sound in SUBJECT/audio/EMOTION/level_N/NNN.*

    Only sentences 1 to 3 are shared by all emotions (Wang et al. 2020, table 2), so that other
    numbers name a sentence within their emotion alone.
    """
    pattern = re.compile(r"([^/]+)/video/([^/]+)/([^/]+)/level_(\d)/(\d+)\.\w+$")
    for file in _files(folder, VIDEO, found, r"/audio/[^/]+/level_\d/\d+\.\w+$"):
        match = pattern.search(file.as_posix())
        if not match:
            found.strange("not SUBJECT/video/VIEW/EMOTION/level_N/NNN.mp4", file)
            continue
        subject, view, emotion, level, number = match.groups()
        if emotion not in EMOTIONS or level not in "123":
            found.strange(f"no such emotion or level: {emotion}, {level}", file)
            continue
        own = file.parents[4] / "audio" / emotion / f"level_{level}"
        sounds = [own / f"{number}{suffix}" for suffix in SOUND]
        common = int(number) <= 3
        found.entries.append(
            Entry(
                file=file,
                subject=subject,
                emotion=emotion,
                level=int(level),
                sentence=number if common else f"{emotion}-{number}",
                view=view,
                sound=next((sound for sound in sounds if sound.is_file()), None),
                licence="MEAD, research use",
                nc="yes",
            )
        )


def ravdess(folder: Path, found: Found) -> None:
    """Actor_NN/MODALITY-CHANNEL-EMOTION-INTENSITY-STATEMENT-REPETITION-ACTOR.mp4, or sound alone
    (.wav, .opus ...).

    Normal and strong are levels 2 and 3 of an emotion; neutral, which has one, is level 1, as MEAD
    counts it. Calm counts as neutral, too, and the word beside tells it apart.
    """
    names = ("neutral", "neutral", "happy", "sad", "angry", "fear", "disgusted", "surprised")
    emotions = {f"{number:02d}": name for number, name in enumerate(names, start=1)}
    for file in _files(folder, VIDEO + SOUND, found):
        parts = file.stem.split("-")
        if len(parts) != 7 or not all(re.fullmatch(r"\d\d", part) for part in parts):
            found.strange("not seven numbers of two digits", file)
            continue
        modality, channel, emotion, intensity, statement, repetition, actor = parts
        if modality == "02" and file.with_name(f"01{file.name[2:]}").is_file():
            found.strange("silent double of a recording with sound, left out", file)
            continue
        if emotion not in emotions:
            found.strange(f"no such emotion: {emotion}: taken without", file)
        calm = emotion == "02"
        found.entries.append(
            Entry(
                file=file,
                subject=f"actor{actor}",
                emotion=emotions.get(emotion, ""),
                level=_ravdess_level(emotions.get(emotion, ""), intensity),
                sentence=f"{'song' if channel == '02' else 'speech'}-{statement}",
                take=f"calm{intensity}-{repetition}" if calm else repetition,
                licence="CC BY-NC-SA 4.0",
                nc="yes",
                word="calm" if calm else "",
            )
        )


def _ravdess_level(emotion: str, intensity: str) -> int:
    if emotion == "neutral":
        return 1
    return {"01": 2, "02": 3}.get(intensity, 0) if emotion else 0


def hdtf(folder: Path, found: Found) -> None:
    """WDA_NAMEn_NNN.mp4, WRA_NAMEn_NNN.mp4: clip NNN of a politician's n-th talk, no labels.

    RD_RadioN_NNN.mp4 is of the N-th radio address, whoever gives it.
    """
    for file in _files(folder, VIDEO, found):
        match = re.fullmatch(r"(RD|WDA|WRA)_(.*?[^\d_])(\d*)(?:_(\d+))?", file.stem)
        if not match:
            found.strange("not (RD|WDA|WRA)_NAME_NNN", file)
            continue
        group, name, talk, clip = match.groups()
        if group == "RD":
            name, talk = name + talk, ""
        take = "-".join(part for part in (talk, clip) if part)
        licence = "CC BY 4.0 (list); footage rights unverified"
        found.entries.append(Entry(file=file, subject=name, take=take, licence=licence))


def crema_d(folder: Path, found: Found) -> None:
    """ACTOR_SENTENCE_EMOTION_LEVEL.flv, such as 1001_DFA_ANG_XX.flv"""
    emotions = {"ANG": "angry", "DIS": "disgusted", "FEA": "fear", "HAP": "happy",
                "NEU": "neutral", "SAD": "sad"}  # fmt: skip
    levels = {"LO": 1, "MD": 2, "HI": 3, "XX": 0, "X": 0}
    for file in _files(folder, VIDEO, found):
        parts = file.stem.split("_")
        if len(parts) != 4 or parts[2] not in emotions or parts[3] not in levels:
            found.strange("not ACTOR_SENTENCE_EMOTION_LEVEL", file)
            continue
        actor, sentence, emotion, level = parts
        found.entries.append(
            Entry(
                file=file,
                subject=actor,
                emotion=emotions[emotion],
                level=levels[level],
                sentence=sentence,
                licence="ODbL 1.0",
                nc="no",
            )
        )


def emodb(folder: Path, found: Found) -> None:
    """SPEAKER TEXT EMOTION VERSION.wav, such as 03a01Fa.wav; sound alone."""
    emotions = {"W": "angry", "E": "disgusted", "A": "fear", "F": "happy", "T": "sad",
                "N": "neutral", "L": ""}  # fmt: skip
    for file in _files(folder, SOUND, found):
        match = re.fullmatch(r"(\d\d)([ab]\d\d)([WLEAFTN])([a-z])", file.stem)
        if not match:
            found.strange("not SPEAKER TEXT EMOTION VERSION", file)
            continue
        speaker, text, letter, take = match.groups()
        if letter == "L":
            found.strange("boredom is none of the eight emotions: taken as a word beside", file)
        found.entries.append(
            Entry(
                file=file,
                subject=speaker,
                emotion=emotions[letter],
                sentence=text,
                take=take,
                licence="CC0 (EmoDB)",
                nc="no",
                word="boredom" if letter == "L" else "",
            )
        )


def plain(folder: Path, found: Found) -> None:
    """Any clips, named by a manifest.tsv in the folder or beside it.

    Its first line names the columns; `file` is needed, then `subject` or `id NAME` within the
    last column; emotion, level, sentence, take, licence and nc (yes, no or unknown; unknown, too,
    where the licence calls rights unverified) are taken where given.
    """
    places = [folder / "manifest.tsv", folder.parent / "manifest.tsv"]
    manifest = next((place for place in places if place.is_file()), None)
    if manifest is None:
        raise MienError(f"{folder} has no manifest.tsv; write one with the columns file, subject")
    named = identities(manifest.parent / folder.name)
    known = _manifest(manifest)
    for file in _files(folder, VIDEO + SOUND, found):
        row = known.get(file.name)
        if row is None:
            found.strange("not in manifest.tsv", file)
            continue
        emotion, level = (row.get("emotion") or ""), (row.get("level") or "0")
        if (emotion and emotion not in EMOTIONS) or level not in ("0", "1", "2", "3"):
            found.strange(f"no such emotion or level: {emotion}, {level}: taken without", file)
            emotion, level = "", "0"
        found.entries.append(
            Entry(
                file=file,
                subject=row.get("subject") or named.get(file.name) or file.stem,
                emotion=emotion,
                level=int(level),
                sentence=row.get("sentence") or "",
                take=row.get("take") or "",
                licence=row.get("licence") or "",
                nc=nc_of(row.get("nc"), row.get("licence") or ""),
            )
        )


def noted(folder: Path, found: Found) -> None:
    """As `folder`, for notes that tell in words what is felt: the first part of the manifest's last
    column may name one emotion ("sad talk") or "valence -0.7 arousal 0.4", another part the speaker
    ("spk ANN")."""
    plain(folder, found)
    places = [folder / "manifest.tsv", folder.parent / "manifest.tsv"]
    known = _manifest(next(place for place in places if place.is_file()))
    for place, entry in enumerate(found.entries):
        row = known[entry.file.name]
        notes = [part.strip() for part in list(row.values())[-1].split(";")]
        speaker = next((note[4:] for note in notes if note.startswith("spk ")), "")
        found.entries[place] = replace(
            entry,
            subject=speaker or entry.subject,
            emotion=entry.emotion or emotion_in(notes[0].replace("_", " ")),
            felt=felt_in(notes[0]),
            licence=_licence(row),
        )


def pictures(folder: Path, found: Found) -> None:
    """Still faces: EMOTION/PERSON_N.jpg, or EMOTION_PERSON_N.jpg behind any prefix that ends in
    two underscores. Many of one person are one person; a name without a number is a person too.
    Behind the last underscore may stand a number or, as a session, one capital letter.

    Licence and sources are those of a manifest.tsv in the folder or beside it, where there is one.
    """
    places = [folder / "manifest.tsv", folder.parent / "manifest.tsv"]
    manifest = next((place for place in places if place.is_file()), None)
    known = _manifest(manifest) if manifest else {}
    for file in _files(folder, STILL, found):
        name = file.stem.rpartition("__")[2]
        emotion, _, person = name.partition("_")
        if emotion.lower() not in WORDS:
            emotion, person = file.parent.name, name
        if emotion.lower() not in WORDS:
            found.strange("neither EMOTION_PERSON_N nor in a folder EMOTION", file)
            continue
        match = re.fullmatch(r"(.+?)(?:_+(\d+[a-z]?|[A-Z]))?", person)
        assert match
        row = known.get(file.name, {})
        found.entries.append(
            Entry(
                file=file,
                subject=match[1].lower(),
                emotion=WORDS[emotion.lower()],
                take=match[2] or "",
                licence=_licence(row),
                nc=nc_of(row.get("nc"), row.get("licence") or ""),
            )
        )


def own(folder: Path, found: Found) -> None:
    """EMOTION/PERSON_SESSION.jpg: `pictures` of people whose own neutral is among them; the terms
    are those of the folder's own source.toml, else research terms."""
    stills, terms = Found(), source_of(folder)
    pictures(folder, stills)
    found.entries += [
        replace(entry, licence=terms.licence, nc=terms.nc, synthetic=terms.synthetic)
        for entry in stills.entries
    ]
    found.odd += stills.odd
    found.examples |= stills.examples


def _licence(row: dict[str, str]) -> str:
    """The licence, and the repository that it is of, where that is known."""
    said = row.get("licence") or ""
    return f"{row['repo']}: {said}" if row.get("repo") else said


def _manifest(path: Path) -> dict[str, dict[str, str]]:
    """Rows by the name of their file. Raises MienError."""
    with path.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened, delimiter="\t", quoting=csv.QUOTE_NONE))
    known = {Path(row["file"]).name: row for row in rows if row.get("file")}
    if not known:
        raise MienError(f"{path} has no column `file`; its first line names the columns")
    return known


READERS: Final[dict[str, ReadClips]] = {
    "mead": mead,
    "ravdess": ravdess,
    "hdtf": hdtf,
    "crema-d": crema_d,
    "emodb": emodb,
    "folder": plain,
    "noted": noted,
    "pictures": pictures,
    "own": own,
    "heads": own,
}
