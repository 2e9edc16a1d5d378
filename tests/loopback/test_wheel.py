"""The wheel: one name in site-packages and all that runs beneath it, in an empty folder, too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from commands.bench import SECTIONS
from commands.line import COMMANDS, TRAINING
from engine import __version__
from mien import api

ROOT = Path(__file__).resolve().parents[2]
SOURCES: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"][
    "build"
]["targets"]["wheel"]["sources"]
NODES = """
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import engine
from mien import EndOfStream, Latest, Node, Source, VideoFrame, parameter


class Three(Source):
    outputs = {"video": VideoFrame}

    def setup(self):
        self.left = 3

    def read(self):
        if not self.left:
            raise EndOfStream
        self.left -= 1
        return VideoFrame(capture_ns=3 - self.left, pixels=np.zeros((4, 4, 3), np.uint8))


class Tell(Node):
    inputs = {"video": Latest(VideoFrame)}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        path: str = parameter("", "where to write")

    def process(self, video):
        with open(self.config.path, "a") as file:
            print(video.capture_ns, os.getpid(), Path(engine.__file__).parent, file=file)
"""
GRAPH = """
delivery = "lossless"
[nodes.three]
type = "nodes_beside:Three"
[nodes.tell]
type = "tell"
inputs = { video = "three.video" }
parameters = { path = "told.txt" }
[processes.first]
nodes = ["three"]
[processes.second]
nodes = ["tell"]
"""
TRY_EVERY_HELP = """
import sys
from mien.__main__ import program
import os
os.environ[program.VARIABLE] = "mien"
from commands.line import main
for name in sys.argv[1:]:
    try:
        main([*name.split(), "--help"])
    except SystemExit as ended:
        assert ended.code == 0, name
"""


def done(*command: str | Path, folder: Path, path: Path | None = None) -> str:
    """What a command prints, which must end well."""
    environment = os.environ | {"PYTHONPATH": str(path or "")}
    environment.pop("MIEN_PROGRAM", None)
    ended = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    done(
        *pip, "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation", "-w", folder, ROOT,
        folder=folder,
    )  # fmt: skip
    return next(folder.glob("mien-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """A folder into which it is installed, without what it depends on: that is here."""
    folder = wheel.parent / "site-packages"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    done(
        *pip, "install", "-q", "--no-compile", "--no-deps", "--no-index", "--target", folder, wheel,
        folder=wheel.parent,
    )  # fmt: skip
    return folder


def test_one_name_and_beneath_it_all_that_runs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        about = f"mien-{__version__}.dist-info"
        told = archive.read(f"{about}/METADATA").decode()
        starts = archive.read(f"{about}/entry_points.txt").decode()
    assert {name.partition("/")[0] for name in names} == {"mien", about}
    there = {
        f"{goal}/{path.relative_to(ROOT / source).as_posix()}"
        for source, goal in {**SOURCES, "mien": "mien"}.items()
        for path in (ROOT / source).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    there |= {f"{name[:-3]}.pyi" for name in there if "/engine/" in name or name.endswith("api.py")}
    assert {name for name in names if not name.startswith(about)} == there
    packages = {name.removeprefix("mien/_packages/") for name in names}
    assert {"graphs/live.toml", "weights/skin/card.toml", "nodes/web/static/index.html"} <= packages
    assert "mien/py.typed" in names
    assert "mien = mien.__main__:main" in starts
    licences = {
        f"{about}/licenses/{path.relative_to(ROOT)}" for path in ROOT.glob("weights/*/LIC*")
    }
    assert len(licences) >= 3 and licences | {f"{about}/licenses/LICENSE"} <= names
    assert "License-Expression: Apache-2.0 AND MIT\n" in told


def test_what_goes_into_it_is_said_once_for_both_of_its_lists() -> None:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lists = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert sorted(lists["only-include"]) == sorted([*lists["sources"], "mien"])
    assert lists["sources"] == {name: f"mien/_packages/{name}" for name in lists["sources"]}


def test_the_command_and_its_help_have_its_own_name(installed: Path, tmp_path: Path) -> None:
    told = done(installed / "bin" / "mien", "--help", folder=tmp_path, path=installed)
    assert told.startswith("usage: mien [-h]")
    assert all(f"\n    {name} " in told for name in (*COMMANDS, *TRAINING))
    names = (*COMMANDS, *TRAINING, *(f"bench {name}" for name in SECTIONS), "tool export.records")
    told = done(
        sys.executable, "-c", TRY_EVERY_HELP, *names, folder=tmp_path, path=installed,
    )  # fmt: skip
    assert told.count("usage: mien ") == len(names)
    assert "run_engine.py" not in told


def test_a_graph_runs_in_processes_in_a_folder_with_nothing_of_mien(
    installed: Path, tmp_path: Path
) -> None:
    # What has a name of Mien's own packages in this folder isn't taken for them.
    for name in ("engine", "nodes", "mien"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('not this one')")
    (tmp_path / "nodes_beside.py").write_text(NODES)
    (tmp_path / "my.toml").write_text(GRAPH)
    package = installed / "told-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: told\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[mien.nodes]\ntell = nodes_beside:Tell\n")
    done(installed / "bin" / "mien", "graph", "my.toml", folder=tmp_path, path=installed)
    rows = [line.split() for line in (tmp_path / "told.txt").read_text().splitlines()]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert {row[2] for row in rows} == {str(installed / "mien" / "_packages" / "engine")}
    assert {row[1] for row in rows} != {str(os.getpid())}


def test_python_has_it_by_one_import(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "nodes_beside.py").write_text(NODES)
    (tmp_path / "my.toml").write_text(GRAPH.replace('type = "tell"', 'type = "nodes_beside:Tell"'))
    script = tmp_path / "script.py"
    script.write_text(
        "from mien import Graph, Node, load, run\n"
        "import mien\n"
        "graph = load('my.toml')\n"
        "assert isinstance(graph, Graph) and issubclass(graph.nodes['tell'].node_type, Node)\n"
        "figures = [run(graph)['nodes'], run(graph, in_process=True)['nodes']]\n"
        "print(*(nodes['three']['count_out'] for nodes in figures), mien.PACKAGES)\n"
    )
    told = done(sys.executable, script, folder=tmp_path, path=installed)
    assert told.split() == ["3", "3", str(installed / "mien" / "_packages")]
    processes = {line.split()[1] for line in (tmp_path / "told.txt").read_text().splitlines()}
    assert len(processes) == 2


def test_type_checkers_see_what_each_public_name_is(installed: Path, tmp_path: Path) -> None:
    script = tmp_path / "typed.py"
    lines = [f"reveal_type(mien.{name})" for name in api.__all__]
    script.write_text("\n".join(["import mien", *lines, "class Mine(mien.Node): ...", ""]))
    environment = os.environ | {"MYPYPATH": str(installed)}
    told = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", script.name],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert "typed.py:" in told.stdout and not re.search(r"^typed.py.*error:", told.stdout, re.M)
    revealed = re.findall(r'Revealed type is "(.*)"', told.stdout)
    assert len(revealed) == len(api.__all__) and "Any" not in revealed
    assert sum("mien._packages.engine" in kind for kind in revealed) > 10
