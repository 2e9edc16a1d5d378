"""What `read` says of a weight, on its card: of the one that was asked, to be had again."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import MienError, UsageError
from inference.weight_sets import SHIPPED
from training.evaluate import main
from training.evaluation.on_card import figures_of, hash_of
from training.evaluation.protocols import Row


def test_a_card_gets_the_figures_of_its_own_reader() -> None:
    rows = [
        Row("read", "judge", "all", {"accuracy": 0.1}),
        Row("read", "face", "all", {"accuracy": 0.7, "intensity": None}),
    ]
    assert figures_of(rows, SHIPPED / "clean" / "visual", "clean") == {"accuracy": 0.7}
    assert figures_of(rows, SHIPPED / "visual", "") == {"accuracy": 0.7}
    for folder in (SHIPPED / "visual", SHIPPED / "clean" / "speech", SHIPPED / "rig"):
        with pytest.raises(UsageError, match=r"wasn't asked; --card is for the visual or speech"):
            figures_of(rows, folder, "clean")


def test_data_is_known_by_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="holds no file"):
        hash_of(tmp_path)
    (tmp_path / "a").write_text("1")
    first = hash_of(tmp_path)
    (tmp_path / "b").write_text("2")
    second = hash_of(tmp_path)
    (tmp_path / "a").write_text("3")
    assert len({first, second, hash_of(tmp_path)}) == 3
    (tmp_path / "a").write_text("1")
    assert hash_of(tmp_path) == second


def test_only_what_reads_has_a_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = str(SHIPPED / "visual")
    assert main([str(tmp_path), "--card", card]) == 2
    read = [str(tmp_path), "--protocol", "read", "--card", card]
    assert main([*read, "--weights", "a", "b"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 2 and "--card is for --protocol read alone" in error
