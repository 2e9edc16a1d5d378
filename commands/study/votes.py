"""Who voted what: an SQLite file, each vote whole in it before the page hears that it counts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from commands.study.sheet import QUESTIONS, Sheet
from engine.errors import MienError, UsageError

NAME: Final = re.compile(r"\w[\w .'-]{0,39}\Z")
_APPLICATION: Final = 0x4D69656E
_TABLES: Final = """
CREATE TABLE study (methods TEXT NOT NULL);
CREATE TABLE raters (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE COLLATE NOCASE,
  key TEXT NOT NULL UNIQUE,
  began TEXT NOT NULL
);
CREATE TABLE votes (
  rater INTEGER NOT NULL REFERENCES raters,
  clip TEXT NOT NULL,
  question TEXT NOT NULL,
  method TEXT NOT NULL,
  place INTEGER NOT NULL,
  cast_at TEXT NOT NULL,
  PRIMARY KEY (rater, clip, question)
);
"""


@dataclass(frozen=True)
class Rater:
    """``key`` is what their browser shows to be them, and what their shuffles are drawn from."""

    id: int
    name: str
    key: str


@dataclass(frozen=True)
class Vote:
    """``place`` is where the method stood, from 0."""

    rater: str
    clip: str
    question: str
    method: str
    place: int
    cast_at: str


class Votes:
    """The votes of one study. A file of another study, or of other methods, is refused."""

    def __init__(self, path: Path, sheet: Sheet, *, make: bool = True) -> None:
        """Raises MienError; without ``make`` also where there is no such file."""
        if not make and not path.is_file():
            raise MienError(f"{path}: nobody has voted yet; run it without --table and --csv")
        if not path.parent.is_dir():
            raise MienError(f"the folder of {path} does not exist; make it first")
        self._path, self._sheet = path, sheet
        with self._in_words():
            self._base = sqlite3.connect(path, isolation_level=None)
        try:
            with self._in_words():
                self._begin()
        except MienError:
            self.close()
            raise

    def close(self) -> None:
        self._base.close()

    def enter(self, name: str, again: bool) -> Rater | None:
        """A rater of this name; None where there is one already, unless they say ``again``."""
        if not NAME.match(name):
            raise UsageError("a name has 1 to 40 letters, digits, spaces and . ' -")
        with self._in_words():
            known = self._rater("name", name)
            if known is None:
                self._base.execute(
                    "INSERT INTO raters (name, key, began) VALUES (?, ?, ?)",
                    (name, secrets.token_urlsafe(18), _now()),
                )
                return self._rater("name", name)
            return known if again else None

    def known(self, key: str) -> Rater | None:
        """Whose key it is."""
        with self._in_words():
            return self._rater("key", key)

    def cast(self, rater: Rater, clip: str, question: str, method: str, place: int) -> None:
        """A vote in the stead of an earlier one on the same."""
        with self._in_words():
            self._base.execute(
                "INSERT OR REPLACE INTO votes VALUES (?, ?, ?, ?, ?, ?)",
                (rater.id, clip, question, method, place, _now()),
            )

    def all(self, rater: Rater | None = None) -> list[Vote]:
        """Those on what the sheet has, of everybody or of one, by rater as they came."""
        clips = {clip.name for clip in self._sheet.clips}
        questions = {question.key for question in QUESTIONS}
        with self._in_words():
            rows = self._base.execute(
                "SELECT name, clip, question, method, place, cast_at FROM votes "
                "JOIN raters ON raters.id = votes.rater "
                "ORDER BY raters.id, clip, question"
            ).fetchall()
        return [
            vote
            for vote in (Vote(*row) for row in rows)
            if vote.clip in clips
            and vote.question in questions
            and (rater is None or vote.rater == rater.name)
        ]

    def _begin(self) -> None:
        mark = self._base.execute("PRAGMA application_id").fetchone()[0]
        methods = json.dumps(sorted(self._sheet.methods))
        if mark == 0 and not self._base.execute("SELECT name FROM sqlite_master").fetchone():
            self._base.executescript(
                f"BEGIN IMMEDIATE; PRAGMA application_id = {_APPLICATION}; {_TABLES} COMMIT;"
            )
            self._base.execute("INSERT INTO study VALUES (?)", (methods,))
            return
        if mark != _APPLICATION:
            raise MienError(f"{self._path} is no file of votes; name another with --votes")
        (there,) = self._base.execute("SELECT methods FROM study").fetchone()
        if there != methods:
            raise MienError(
                f"{self._path} has votes on other methods ({', '.join(json.loads(there))}); "
                "name another file with --votes"
            )

    def _rater(self, column: str, value: str) -> Rater | None:
        row = self._base.execute(
            f"SELECT id, name, key FROM raters WHERE {column} = ?", (value,)
        ).fetchone()
        return Rater(*row) if row else None

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise MienError(f"the votes in {self._path}: {error}") from None


def shuffled(items: Sequence[str], rater: Rater, *about: str) -> list[str]:
    """In an order of this rater's own, the same at every visit."""
    return sorted(items, key=lambda item: digest(rater, *about, item))


def digest(rater: Rater, *what: str) -> str:
    """A name for something that only this rater's page knows it by."""
    return hashlib.sha256("\0".join((rater.key, *what)).encode()).hexdigest()[:16]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
