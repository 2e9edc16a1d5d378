"""A person's remembered faces as a file: written whole, read with care, encrypted if one wishes.

The file is safetensors: arrays and a few words, nothing that runs. Encrypted it is AES-256-GCM
under a key that scrypt makes from a passphrase.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.errors import MienError, UsageError
from engine.files import atomic_write, explain, make_folder, unusual, user_data
from engine.program import program
from face.render.repertoire import MAX_FACES, STILL_PX, Face, Repertoire, Still
from face.render.surface import HEIGHT, WIDTH
from face.types import BLENDSHAPES, EMOTIONS

SUFFIX: Final = ".person"
VERSION: Final = "1"
FORMAT: Final = "mien person"
MAX_BYTES: Final = 96 << 20
PASSPHRASE: Final = "MIEN_PASSPHRASE"
FOLDER: Final = "MIEN_PEOPLE"
_SEALED: Final = b"mien person, sealed 1\n"
_SALT, _NONCE = 16, 12
_SCRYPT: Final = {"n": 1 << 15, "r": 8, "p": 1}
_NAME: Final = re.compile(r"[^\W_][\w .\-]{0,63}")
_SHAPES: Final[dict[str, tuple[tuple[int, ...], type[Any]]]] = {
    "texture": ((HEIGHT, WIDTH, 3), np.uint8),
    "seen": ((HEIGHT, WIDTH), np.uint8),
    "shape": ((478, 3), np.float32),
    "shapes": ((len(BLENDSHAPES),), np.float32),
    "turn": ((2,), np.float32),
}


@dataclass(frozen=True, eq=False)
class Person:
    """Somebody who was enrolled, and agreed to it; their file's name is theirs."""

    name: str
    faces: Sequence[Face]
    still: Still | None = None

    def repertoire(self) -> Repertoire:
        return Repertoire(self.faces, self.still)


def people_folder() -> Path:
    """Where enrolled people are kept: $MIEN_PEOPLE, or `mien/people` among the user's data."""
    if given := os.environ.get(FOLDER):
        return Path(given)
    return user_data() / "people"


def names() -> list[str]:
    """Who is enrolled here."""
    try:
        return sorted(path.stem for path in people_folder().glob(f"*{SUFFIX}"))
    except OSError:
        return []


def place_of(name: str) -> Path:
    """The file of a person by name, or the path of one that was given. Raises UsageError."""
    if name.endswith(SUFFIX):
        return Path(name)
    if os.sep in name:
        raise UsageError(f"{name} is no person's file: those end in {SUFFIX}")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' can't be a person's name; take letters, digits, spaces, - and ."
        )
    return people_folder() / f"{name}{SUFFIX}"


def save(person: Person, path: Path, passphrase: str = "") -> None:
    """Write it whole, for its owner alone. Raises MienError."""
    from safetensors.numpy import save as pack

    if not person.faces:
        raise MienError(f"no face of {person.name} is remembered; there is nothing to keep")
    arrays = {
        name: np.ascontiguousarray(
            np.stack([getattr(face, name) for face in person.faces]), dtype=kind
        )
        for name, (_, kind) in _SHAPES.items()
    }
    arrays["quality"] = np.array([face.quality for face in person.faces], np.float32)
    if person.still is not None:
        arrays["still"] = np.ascontiguousarray(person.still.picture)
        arrays["still_quality"] = np.array(person.still.quality, np.float32)
    words = {
        "format": FORMAT,
        "version": VERSION,
        "emotions": json.dumps([face.emotion for face in person.faces]),
    }
    data = pack(arrays, metadata=words)
    make_folder(path.parent)
    with atomic_write(path) as part:
        part.chmod(0o600)
        part.write_bytes(_seal(data, passphrase) if passphrase else data)


def load(path: Path, passphrase: str = "") -> Person:
    """Read it. Raises MienError with one line: not there, damaged, of another version, sealed."""
    data = _read(path)
    if data.startswith(_SEALED):
        data = _open(data, passphrase or os.environ.get(PASSPHRASE, ""), path)
    try:
        words, arrays = _unpack(data)
        emotions = json.loads(words["emotions"])
    except Exception as error:  # whatever a library makes of a file's bytes
        raise MienError(f"{path} is no person's file, or damaged; enrol again") from error
    if words.get("format") != FORMAT or words.get("version") != VERSION:
        raise MienError(
            f"{path} is of version {words.get('version')}, this Mien reads {VERSION}; enrol again"
        )
    count = len(emotions) if isinstance(emotions, list) else -1
    if not 0 < count <= MAX_FACES or any(one not in EMOTIONS for one in emotions):
        raise MienError(f"{path} is damaged: its faces aren't named; enrol again")
    for name, (shape, kind) in {**_SHAPES, "quality": ((), np.float32)}.items():
        array = arrays.get(name)
        if array is None or array.shape != (count, *shape) or array.dtype != kind:
            raise MienError(f"{path} is damaged: its {name} has another form; enrol again")
        if kind is np.float32 and not np.isfinite(array).all():
            raise MienError(f"{path} is damaged: its {name} isn't all numbers; enrol again")
    faces = [
        Face(
            emotion=emotion,
            quality=float(arrays["quality"][row]),
            **{name: arrays[name][row] for name in _SHAPES},
        )
        for row, emotion in enumerate(emotions)
    ]
    return Person(path.stem, faces, _still(arrays, path))


def _still(arrays: Mapping[str, Any], path: Path) -> Still | None:
    """The picture that is kept, where there is one. Raises MienError."""
    picture, quality = arrays.get("still"), arrays.get("still_quality")
    if picture is None:
        return None
    fine = picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    if not fine or not 2 <= min(picture.shape[:2]) <= max(picture.shape[:2]) <= STILL_PX:
        raise MienError(f"{path} is damaged: its picture has another form; enrol again")
    if quality is None or quality.shape != () or not np.isfinite(quality):
        raise MienError(f"{path} is damaged: its picture's quality is missing; enrol again")
    return Still(picture, float(quality))


def forget(name: str) -> Path:
    """Overwrite and remove somebody's file; where it was. Raises MienError."""
    path = place_of(name)
    if not path.is_file() or path.is_symlink():
        raise MienError(f"nobody called {name} is enrolled here{_known()}")
    try:
        with path.open("r+b") as file:
            file.write(secrets.token_bytes(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    except OSError as error:
        raise MienError(f"{path} cannot be removed: {error.strerror}") from None
    return path


def rename(old: str, new: str) -> Path:
    """Give somebody's file another name; where it is now. Raises MienError."""
    source, goal = place_of(old), place_of(new)
    if not source.is_file():
        raise MienError(f"nobody called {old} is enrolled here{_known()}")
    if goal.exists():
        raise MienError(f"there is somebody called {new} already")
    try:
        source.rename(goal)
    except OSError as error:
        raise explain(error, goal) from None
    return goal


def _read(path: Path) -> bytes:
    if kind := unusual(path):
        raise MienError(f"{path} is {kind}, no person's file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise MienError(f"{path} is too large for a person's file")
        return path.read_bytes()
    except FileNotFoundError:
        raise MienError(
            f"nobody called {path.stem} is enrolled here{_known()}; enrol with "
            f"'{program()} enrol NAME --from FOLDER'"
        ) from None
    except OSError as error:
        raise MienError(f"{path} cannot be read: {error.strerror}") from None


def _known() -> str:
    found = names()
    return f" (there {'is' if len(found) == 1 else 'are'} {', '.join(found)})" if found else ""


def _unpack(data: bytes) -> tuple[dict[str, str], dict[str, Any]]:
    from safetensors.numpy import load as unpack

    size = int.from_bytes(data[:8], "little")
    words = json.loads(data[8 : 8 + size])["__metadata__"]
    return dict(words), unpack(data)


def _key(passphrase: str, salt: bytes) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=32, **_SCRYPT).derive(passphrase.encode())


def _seal(data: bytes, passphrase: str) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    salt, nonce = secrets.token_bytes(_SALT), secrets.token_bytes(_NONCE)
    sealed = AESGCM(_key(passphrase, salt)).encrypt(nonce, data, _SEALED)
    return _SEALED + salt + nonce + sealed


def _open(data: bytes, passphrase: str, path: Path) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if not passphrase:
        raise MienError(f"{path} is sealed; give its passphrase in {PASSPHRASE}")
    rest = data[len(_SEALED) :]
    salt, nonce, sealed = rest[:_SALT], rest[_SALT : _SALT + _NONCE], rest[_SALT + _NONCE :]
    try:
        return AESGCM(_key(passphrase, salt)).decrypt(nonce, sealed, _SEALED)
    except (InvalidTag, ValueError):
        raise MienError(
            f"{path}: the passphrase in {PASSPHRASE} is another, or the file is damaged"
        ) from None
