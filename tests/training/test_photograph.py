"""Photographs of synthetic heads: found by what their folder says, under clear terms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.types import U8
from tests.faces import astronaut
from training.data import photograph
from training.data.own import pairs, portraits, source_of
from training.data.photograph import LICENCE, SESSIONS, SHOWN, main


def test_a_head_is_photographed_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.ascontiguousarray(astronaut()[:320, 60:380])

    def pictures_of(seed: int, head: int, shown: tuple[str, ...]) -> dict[tuple[str, str], U8]:
        return {(emotion, session): pixels for emotion in shown for session in SESSIONS}

    monkeypatch.setattr(photograph, "pictures_of", pictures_of)
    monkeypatch.setattr(photograph, "require_anny", lambda: None)
    asked = [str(tmp_path), "--heads", "1", "--processes", "1"]
    assert main(asked) == 0
    source = source_of(tmp_path)
    assert (source.licence, source.nc, source.synthetic) == (LICENCE, "no", True)
    found = portraits(tmp_path)
    assert {one.person for one in found} == {"S0-000"}
    assert len(found) == 2 * len(SHOWN) and len(pairs(found)) == 2 * (len(SHOWN) - 1)
    capsys.readouterr()
    assert main(asked) == 0
    assert "0 heads photographed, 1 were there" in capsys.readouterr().out


def test_no_heads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--heads", "0"]) == 2
    assert capsys.readouterr().err == "photograph: --heads and --processes are at least 1\n"
