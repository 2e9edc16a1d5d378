"""What a test chooses for its process, none after it has; what runs together, or if asked for."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from inference.weight_sets import VARIABLE

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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each of the workers takes whole files, or one of the folders above."""
    from xdist.scheduler import LoadScopeScheduling

    class Rooms(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return next((name for name in TOGETHER if f"/{name}/" in f"/{file}"), file)

    return Rooms(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that start a cluster take long, so `-m cluster` runs them, and nothing else does."""
    if "cluster" in config.option.markexpr:
        return
    left = [item for item in items if item.get_closest_marker("cluster")]
    items[:] = [item for item in items if item not in left]
    config.hook.pytest_deselected(items=left)
