"""The contract of prepared data: a clip and what is known of it, and clips kept in shards.

A shard is a tar file in the manner of webdataset, three members per clip: KEY.json (what is known),
KEY.npz (arrays as they are, and the index of the pictures) and KEY.jpgs (the pictures, one JPEG
after another). Of a clip that is opened the arrays are read, of its pictures what is asked for.
"""

from __future__ import annotations

import dataclasses
import io
import json
import re
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray

from engine.errors import MienError
from engine.files import atomic_write, make_folder
from engine.program import tool
from engine.types import F32, U8
from face.topology import LANDMARKS
from face.types import BLENDSHAPES, EMOTIONS
from inference.terms import Nc, checked, nc_of
from media.mel import HOP, RATE_HZ
from training.data.stored import DAMAGE, Stored

FPS: Final = 25
STEP_NS: Final = 1_000_000_000 // FPS
FRAME_PX: Final = 256
MEL_BINS: Final = 80
SPLITS: Final = ("train", "val", "test")
JPEG_QUALITY: Final = 93
SHARD_SUFFIX: Final = ".tar"
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,120}")
_TRUTH: Final = ("rig", "valence", "arousal", "intensity")

Report = Callable[[str], None]
"""Takes one line about something that was left out."""


@dataclass(frozen=True, kw_only=True)
class Phone:
    """One speech sound: its ARPAbet name without stress ("SIL": silence), from where to where."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True)
class ClipInfo:
    """What is known of a clip. ``emotion`` is one of EMOTIONS or "" where unknown; ``level`` 1..3
    or 0 where unknown; ``sentence`` and ``take`` tell two recordings of a subject apart; ``view``
    names the camera where one moment was taken by several; ``source``
    names the data set; ``nc`` says whether its licence forbids commercial use. ``word`` is a label
    that is none of the eight ("boredom"); ``felt`` the valence and arousal, in -1..1, that a whole
    recording was judged to have, where somebody did."""

    key: str
    subject: str
    emotion: str = ""
    level: int = 0
    sentence: str = ""
    take: str = ""
    view: str = ""
    source: str = ""
    split: str = "train"
    licence: str = ""
    nc: Nc = "unknown"
    synthetic: bool = False
    word: str = ""
    felt: tuple[float, float] | None = None

    @property
    def label(self) -> str:
        """The emotion, or the word for what is none of the eight; "" where unknown."""
        return self.emotion or self.word

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.key):
            raise ValueError(f"a clip's key has letters, digits, _ and -, not {self.key!r}")
        if self.emotion and self.emotion not in EMOTIONS:
            raise ValueError(f"{self.key}: no such emotion: {self.emotion}")
        if self.level not in (0, 1, 2, 3):
            raise ValueError(f"{self.key}: a level is 0 to 3, not {self.level}")
        checked(self.nc)
        if self.split not in SPLITS:
            raise ValueError(f"{self.key}: no such split: {self.split}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """One face through T pictures of 256x256 at 25 a second.

    ``jpegs`` the pictures one after another, picture t at ``index``[t]:``index``[t + 1], in memory
    or where they lie;
    ``landmarks`` float32 [T, 478, 3] px of the crop; ``blendshapes`` float32 [T, 52];
    ``pose`` float32 [T, 4, 4] face (cm) to camera; ``found`` bool [T], where False the three are
    zeros; ``mel`` float32 [M, 80] log-mel, a row each 10 ms (M about 4 T; 0 where silent);
    ``sound`` int16 [N] at 16 kHz, what the mel is of (0 where silent or not kept);
    the truth, where the clip is synthetic: ``rig`` float32 [T, 52], ``valence``, ``arousal`` and
    ``intensity`` float32 [T].
    """

    info: ClipInfo
    jpegs: bytes | Stored
    index: NDArray[np.int64]
    landmarks: F32
    blendshapes: F32
    pose: F32
    found: NDArray[np.bool_]
    mel: F32
    sound: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    phones: tuple[Phone, ...] = ()
    fps: int = FPS
    rig: F32 | None = None
    valence: F32 | None = None
    arousal: F32 | None = None
    intensity: F32 | None = None

    def __post_init__(self) -> None:
        frames = len(self)
        wanted = {
            "landmarks": (frames, LANDMARKS, 3),
            "blendshapes": (frames, len(BLENDSHAPES)),
            "pose": (frames, 4, 4),
            "found": (frames,),
            "mel": (len(self.mel), MEL_BINS),
            "sound": (len(self.sound),),
            "rig": (frames, len(BLENDSHAPES)),
            "valence": (frames,),
            "arousal": (frames,),
            "intensity": (frames,),
        }
        for name, shape in wanted.items():
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise ValueError(f"{self.info.key}: {name} is {array.shape}, not {shape}")

    def __len__(self) -> int:
        return len(self.index) - 1

    def first(self, seconds: float) -> Clip:
        """Its beginning."""
        if seconds * self.fps >= len(self):
            return self
        frames = max(1, round(seconds * self.fps))
        known = {
            name: getattr(self, name)
            for name in ("landmarks", "blendshapes", "pose", "found", *_TRUTH)
        }
        return dataclasses.replace(
            self,
            index=self.index[: frames + 1],
            **{name: array[:frames] for name, array in known.items() if array is not None},
            mel=self.mel[: frames * RATE_HZ // HOP // self.fps],
            sound=self.sound[: frames * RATE_HZ // self.fps],
            phones=tuple(phone for phone in self.phones if phone.start_s < frames / self.fps),
        )

    @property
    def samples(self) -> F32:
        """The sound in -1..1."""
        return self.sound.astype(np.float32) / np.float32(32768)

    def frame(self, t: int) -> U8:
        """Picture ``t`` uint8 [256, 256, 3], RGB. Raises MienError."""
        import cv2

        try:
            data = np.frombuffer(self.jpegs[self.index[t] : self.index[t + 1]], np.uint8)
        except OSError as error:
            line = f"{self.info.key}: picture {t} cannot be read ({error.strerror})"
            raise MienError(line) from None
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
        if pixels is None or pixels.shape != (FRAME_PX, FRAME_PX, 3):
            raise MienError(f"{self.info.key}: picture {t} is damaged; prepare this clip again")
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)

    @property
    def frames_THWC(self) -> U8:  # noqa: N802 - a shape suffix
        """All pictures uint8 [T, 256, 256, 3], RGB; decoded anew each time."""
        if not len(self):
            return np.zeros((0, FRAME_PX, FRAME_PX, 3), np.uint8)
        return np.stack([self.frame(t) for t in range(len(self))])


def encode(frames: Iterable[U8], quality: int = JPEG_QUALITY) -> tuple[bytes, NDArray[np.int64]]:
    """RGB pictures [256, 256, 3] as the ``jpegs`` and ``index`` of a clip."""
    import cv2

    parts, ends = [], [0]
    for frame in frames:
        if frame.shape != (FRAME_PX, FRAME_PX, 3) or frame.dtype != np.uint8:
            raise ValueError(f"a picture is uint8 [256, 256, 3], not {frame.dtype} {frame.shape}")
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        _, data = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)
        parts.append(data.tobytes())
        ends.append(ends[-1] + len(parts[-1]))
    return b"".join(parts), np.array(ends, np.int64)


def to_int16(samples: F32) -> NDArray[np.int16]:
    """Samples in -1..1 as a clip keeps them."""
    return np.rint(samples * 32768).clip(-32768, 32767).astype(np.int16)


def write_shard(path: Path, clips: Iterable[Clip]) -> int:
    """Write clips to a tar file, beside its place and renamed when whole; how many they were."""
    make_folder(path.parent)
    count = 0
    with (
        atomic_write(path) as half,
        tarfile.open(half, "w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for clip in clips:
            for suffix, data in _members(clip):
                member = tarfile.TarInfo(f"{clip.info.key}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
            count += 1
    return count


def shards_in(folder: Path) -> list[Path]:
    """The shards of a folder, sorted. Raises MienError where there are none."""
    paths = sorted(folder.glob(f"*{SHARD_SUFFIX}"))
    if not paths:
        raise MienError(f"no shards in {folder}; make some with {tool('training.data.prepare')}")
    return paths


def to_stderr(line: str) -> None:
    """The usual Report: a line on standard error."""
    print(line, file=sys.stderr, flush=True)


class StoredClips(Sequence[Clip]):
    """Random access to the clips of shards; a clip is read when asked for, nothing stays open."""

    def __init__(self, entries: Sequence[_Entry]) -> None:
        self._entries = list(entries)

    @property
    def infos(self) -> list[ClipInfo]:
        """What is known of each, without reading pictures or arrays."""
        return [entry.info for entry in self._entries]

    @property
    def lengths(self) -> list[int]:
        """How many pictures each has."""
        return [entry.frames for entry in self._entries]

    @property
    def shards(self) -> list[Path]:
        """The shard in which each lies."""
        return [entry.shard for entry in self._entries]

    def where(self, wanted: Callable[[ClipInfo], bool]) -> StoredClips:
        """Those that fit."""
        return StoredClips([entry for entry in self._entries if wanted(entry.info)])

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Clip: ...
    @overload
    def __getitem__(self, index: slice) -> StoredClips: ...
    def __getitem__(self, index: int | slice) -> Clip | StoredClips:
        if isinstance(index, slice):
            return StoredClips(self._entries[index])
        return self._entries[index].load()

    def arrays(self, index: int, *names: str) -> list[Any]:
        """Some arrays of a clip, by their names in it; nothing else is read. Raises MienError."""
        read = self._entries[index].read(names)
        return [read[name] for name in names]


def open_clips(folder: Path, report: Report = to_stderr) -> StoredClips:
    """All clips of the shards in a folder, or in one shard."""
    paths = [folder] if folder.is_file() else shards_in(folder)
    return StoredClips([entry for path in paths for entry in _entries(path, report)])


@dataclass(frozen=True)
class _Entry:
    """Where a clip lies in a shard."""

    shard: Path
    info: ClipInfo
    frames: int
    phones: tuple[Phone, ...]
    packed: Stored
    """its arrays"""
    pictures: Stored

    def load(self) -> Clip:
        arrays = self.read()
        try:
            if self.pictures.size < int(arrays["index"][-1]):
                raise ValueError("pictures are cut off")
            return Clip(info=self.info, jpegs=self.pictures, phones=self.phones, **arrays)
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(error) from None

    def read(self, names: Sequence[str] = ()) -> dict[str, Any]:
        """Arrays by name; all where none is named."""
        try:
            return self.packed.arrays(names)
        except DAMAGE as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> MienError:
        line = " ".join(str(error).split())[:160]
        return MienError(f"{self.shard.name}: clip {self.info.key} is damaged: {line}")


def _members(clip: Clip) -> Iterator[tuple[str, bytes]]:
    known = dataclasses.asdict(clip.info)
    known |= {"frames": len(clip), "fps": clip.fps}
    known["phones"] = [[phone.name, phone.start_s, phone.end_s] for phone in clip.phones]
    yield "json", json.dumps(known, ensure_ascii=False).encode()
    names = ("index", "landmarks", "blendshapes", "pose", "found", "mel", "sound", *_TRUTH)
    arrays = {name: getattr(clip, name) for name in names if getattr(clip, name) is not None}
    packed = io.BytesIO()
    np.savez(packed, **arrays)  # not deflated, which is slow to read and saves a tenth
    yield "npz", packed.getvalue()
    yield "jpgs", clip.jpegs[:]


def _entries(path: Path, report: Report) -> Iterator[_Entry]:
    """The clips of a shard whose three members are all there."""
    try:
        with tarfile.open(path, "r:") as archive:
            while (member := archive.next()) is not None:
                if not member.name.endswith(".json"):
                    continue
                file = archive.extractfile(member)
                known = json.loads(file.read()) if file else {}
                arrays, pictures = archive.next(), archive.next()
                key = member.name.removesuffix(".json")
                names = [None if part is None else part.name for part in (arrays, pictures)]
                if arrays is None or pictures is None or names != [f"{key}.npz", f"{key}.jpgs"]:
                    report(f"{path.name}: clip {key} is not whole; it is left out")
                    continue
                yield _Entry(
                    shard=path,
                    info=_info(known),
                    frames=int(known["frames"]),
                    phones=tuple(
                        Phone(name=name, start_s=start, end_s=end)
                        for name, start, end in known.get("phones", [])
                    ),
                    packed=Stored(path, arrays.offset_data, arrays.size),
                    pictures=Stored(path, pictures.offset_data, pictures.size),
                )
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError) as error:
        line = " ".join(str(error).split())[:160]
        report(f"{path}: the shard is damaged and what follows is left out: {line}")


def _info(known: dict[str, Any]) -> ClipInfo:
    fields = {field.name for field in dataclasses.fields(ClipInfo)}
    info = {name: value for name, value in known.items() if name in fields}
    if info.get("felt") is not None:
        info["felt"] = (float(info["felt"][0]), float(info["felt"][1]))
    # Older shards say true or false, and false also where nothing was said.
    info["nc"] = nc_of(info.get("nc") if info.get("licence") else None, info.get("licence") or "")
    return ClipInfo(**info)
