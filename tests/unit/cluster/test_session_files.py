"""What travels with a session: which files, each content once, nothing longer than it is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.certificate import Certificate
from cluster.references import packed, unpack
from cluster.session_files import ContentStore, digest_of, travels
from engine.errors import MienError
from face.reference_file import shared

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
    kept, digest = ContentStore(tmp_path), digest_of(ANNA)
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
    ContentStore(tmp_path).put(ANNA)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "0" * 63, "0" * 63 + "G"])
def test_a_digest_is_no_path(tmp_path: Path, digest: str) -> None:
    kept = ContentStore(tmp_path)
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


def wearing(path: str) -> dict[str, Any]:
    return {"nodes": {"like": {"parameters": {"path": path}}}, "roles": {"reference": "like"}}


def test_references_are_named_where_they_have_come_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there, kept = tmp_path / "here", tmp_path / "there", ContentStore(tmp_path)
    for folder in (here / "a", here / "b", there):
        folder.mkdir(parents=True)
    (here / "a" / "smile.jpg").write_bytes(b"a smile")
    (here / "b" / "smile.jpg").write_bytes(b"another")
    rows = packed(wearing(f"{here}/a/smile.jpg:0.5\n{here}/b/smile.jpg"), kept)
    graph = wearing(f"{here}/a/smile.jpg")
    unpack(graph, rows, {digest: kept.get(digest) for digest, *_ in rows}, there)
    named = [shared(line) for line in graph["nodes"]["like"]["parameters"]["path"].splitlines()]
    assert [(place.read_bytes(), share) for place, share in named] == [
        (b"a smile", 0.5), (b"another", 1.0),
    ]  # fmt: skip
    assert all(
        place.is_relative_to(there) and place.stat().st_mode & 0o077 == 0 for place, _ in named
    )
    assert packed({"nodes": {}}, kept) == []
    with pytest.raises(MienError, match="no such file"):
        packed(wearing(f"{here}/none.jpg"), kept)
    monkeypatch.setattr("cluster.references.FILE_MOST", 3)
    with pytest.raises(MienError, match="the most that travels"):
        packed(wearing(f"{here}/b/smile.jpg"), kept)
