"""Enrolled people, for the page: by name, inside their folder, one line for what can't be."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import MienError
from face.render import person_file
from face.render.person_file import Person
from nodes.web.operations import PersonForget, PersonRename
from nodes.web.people import forget, rename
from tests.unit.face.test_repertoire import face


def test_names_alone_reach_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "people"
    monkeypatch.setenv(person_file.FOLDER, str(folder))
    assert person_file.names() == []
    person_file.save(Person("anna", [face()]), person_file.place_of("anna"))
    outside = tmp_path / "bert.person"
    person_file.save(Person("bert", [face()]), outside)
    for name in (str(outside), "../bert", "bert", ""):
        with pytest.raises(MienError, match="is enrolled here"):
            forget(PersonForget(name))
        with pytest.raises(MienError, match="is enrolled here"):
            rename(PersonRename(name, "carl"))
    for to in (str(tmp_path / "carl.person"), "../carl", "", "carl.person"):
        with pytest.raises(MienError):
            rename(PersonRename("anna", to))
    assert rename(PersonRename("anna", "Anna B")) == ["Anna B"]
    assert forget(PersonForget("Anna B")) == [] and list(folder.iterdir()) == []
    assert outside.is_file()
