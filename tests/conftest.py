"""What a test chooses for its process, none after it has; what runs together, or if asked for."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from inference.weight_sets import VARIABLE

# Tests start processes by the hundred, which would compile all of Mien anew each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

TOGETHER = ("browser", "training")
"""folders whose files share what is made once: a browser and an engine, heads and trained networks.
They take longest, so they come first."""


@pytest.fixture(autouse=True)
def _weights_that_ship(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--weights` is for a whole process, and some commands run in that of the tests."""
    monkeypatch.setenv(VARIABLE, "")


@pytest.fixture(autouse=True)
def _import_path_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph file's folder joins the import path when it is loaded."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """As many as there are cores; none for single files or a cluster."""
    files = all(".py" in each for each in config.args)
    return 0 if files or "cluster" in config.option.markexpr else os.cpu_count() or 1


def _together(nodeid: str) -> str | None:
    """The folder, of those that stay together, in which a test lies."""
    return next((name for name in TOGETHER if f"/{name}/" in f"/{nodeid}"), None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each of the workers takes whole files, or one of the folders above."""
    from xdist.scheduler import LoadScopeScheduling

    class Rooms(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return _together(nodeid) or nodeid.partition("::")[0]

    config.option.loadscopereorder = False  # the order below
    return Rooms(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that start a cluster take long, so `-m cluster` runs them, and nothing else does."""
    items.sort(key=lambda item: _together(item.nodeid) is None)
    if "cluster" in config.option.markexpr:
        return
    left = [item for item in items if item.get_closest_marker("cluster")]
    items[:] = [item for item in items if item not in left]
    config.hook.pytest_deselected(items=left)
