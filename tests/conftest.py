"""What one test chooses for its process, none after it has; what runs only if asked for."""

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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that start a cluster take long, so `-m cluster` runs them, and nothing else does."""
    if "cluster" in config.option.markexpr:
        return
    left = [item for item in items if item.get_closest_marker("cluster")]
    items[:] = [item for item in items if item not in left]
    config.hook.pytest_deselected(items=left)
