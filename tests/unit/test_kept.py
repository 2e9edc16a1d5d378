"""What travels with a session: which files, each content once, nothing longer than it is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.certificate import Certificate
from cluster.kept import Kept, digest_of, travels
from engine.errors import MienError

ANNA = b"anna's faces"


@pytest.mark.parametrize(
    ("path", "goes"),
    [
        ("settings.json", True),
        ("people/anna.person", True),
        ("people/.anna.person.00.part", False),
        ("people/more/anna.person", False),
        ("people/../settings.json", False),
        ("../people/anna.person", False),
        ("/etc/passwd", False),
        ("http.sock", False),
    ],
)
def test_settings_and_people_travel_and_nothing_else(path: str, goes: bool) -> None:
    assert travels(path) is goes


def test_a_content_is_there_while_somebody_has_it(tmp_path: Path) -> None:
    kept, digest = Kept(tmp_path), digest_of(ANNA)
    for _ in range(2):
        kept.hold(digest)
    assert not kept.has(digest)
    assert kept.put(ANNA) == digest
    assert kept.get(digest) == ANNA and len(list(tmp_path.iterdir())) == 1
    kept.let_go(digest)
    assert kept.has(digest)
    kept.let_go(digest)
    assert not list(tmp_path.iterdir())
    with pytest.raises(MienError, match="isn't there any more"):
        kept.get(digest)


def test_what_nobody_asked_for_isnt_kept(tmp_path: Path) -> None:
    Kept(tmp_path).put(ANNA)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "0" * 63, "0" * 63 + "G"])
def test_a_digest_is_no_path(tmp_path: Path, digest: str) -> None:
    kept = Kept(tmp_path)
    for ask in (kept.hold, kept.get, kept.has):
        with pytest.raises(MienError, match="is no SHA-256"):
            ask(digest)


def test_a_worker_has_a_certificate_of_its_own(tmp_path: Path) -> None:
    made = Certificate.made(tmp_path, "10.0.0.7")
    assert Path(made.key).stat().st_mode & 0o077 == 0
    assert Certificate.read(made.cert, made.key) == made
    assert len(bytes.fromhex(made.fingerprint)) == 32
    with pytest.raises(MienError, match="can't be read as a certificate"):
        Certificate.read(made.key, made.key)
