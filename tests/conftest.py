"""What one test chooses for its process, none after it has."""

from __future__ import annotations

import sys

import pytest

from inference.weight_sets import VARIABLE


@pytest.fixture(autouse=True)
def _weights_that_ship(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--weights` is for a whole process, and some commands run in that of the tests."""
    monkeypatch.setenv(VARIABLE, "")


@pytest.fixture(autouse=True)
def _import_path_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph file's folder joins the import path when it is loaded."""
    monkeypatch.setattr(sys, "path", [*sys.path])
