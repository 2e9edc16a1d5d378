"""What one test chooses for its process, none after it has."""

from __future__ import annotations

import pytest

from nodes.weight_sets import VARIABLE


@pytest.fixture(autouse=True)
def _weights_that_ship(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--weights` is for a whole process, and some commands run in that of the tests."""
    monkeypatch.setenv(VARIABLE, "")
