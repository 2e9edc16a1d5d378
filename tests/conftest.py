"""What a test chooses for its process, none after it has; what runs together, or if asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from inference.weight_sets import VARIABLE

HERE = Path(__file__).parent
TOGETHER = ("browser", "training/models")
"""folders whose files share what is made once: a browser and an engine, trained networks"""


@pytest.fixture(autouse=True)
def _weights_that_ship(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--weights` is for a whole process, and some commands run in that of the tests."""
    monkeypatch.setenv(VARIABLE, "")


@pytest.fixture(autouse=True)
def _import_path_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph file's folder joins the import path when it is loaded."""
    monkeypatch.setattr(sys, "path", [*sys.path])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of two workers each takes whole files, or one of the folders above. Tests that start a
    cluster take long, so `-m cluster` runs them, and nothing else does."""
    for item in items:
        file = item.path.relative_to(HERE).as_posix()
        folder = next((name for name in TOGETHER if file.startswith(f"{name}/")), file)
        item.add_marker(pytest.mark.xdist_group(folder))
    if "cluster" in config.option.markexpr:
        return
    left = [item for item in items if item.get_closest_marker("cluster")]
    items[:] = [item for item in items if item not in left]
    config.hook.pytest_deselected(items=left)
