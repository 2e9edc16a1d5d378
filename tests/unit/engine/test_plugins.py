"""Nodes of other packages: by their installed name, or beside the graph file, after all others."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.graph import load

NODE = """
from engine.node import Node
from engine.types import Latest, VideoFrame


class Sink(Node):
    inputs = {"video": Latest(VideoFrame)}
    def process(self, video): ...
"""


def graph_of(node_type: str) -> str:
    return f"""
[nodes.numbers]
type = "tests.small_nodes:Numbers"
[nodes.sink]
type = "{node_type}"
inputs = {{ video = "numbers.video" }}
"""


def install(folder: Path, package: str, name: str, value: str) -> None:
    """What pip leaves of a package that calls a node ``name``."""
    about = folder / f"{package}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[mien.nodes]\n{name} = {value}\n")


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_an_installed_node_goes_by_its_name(tmp_path: Path) -> None:
    site = tmp_path / "site"
    install(site, "sinks", "my-sink", "plugged_in:Sink")
    written(site / "plugged_in.py", NODE)
    sys.path.append(str(site))
    spec = load(written(tmp_path / "g.toml", graph_of("my-sink"))).nodes["sink"]
    assert (spec.type_name, spec.node_type.__module__) == ("plugged_in:Sink", "plugged_in")
    with pytest.raises(UsageError, match=r"g.toml:5: no node is installed as 'my-sing'; there is "):
        load(written(tmp_path / "g.toml", graph_of("my-sing")))


def test_a_name_that_two_packages_give_is_written_out(tmp_path: Path) -> None:
    install(tmp_path, "one", "sink", "one:Sink")
    install(tmp_path, "two", "sink", "two:Sink")
    sys.path.append(str(tmp_path))
    with pytest.raises(UsageError, match="called 'sink'; write which: one:Sink, two:Sink"):
        load(written(tmp_path / "g.toml", graph_of("sink")))


def test_modules_beside_a_graph_file_are_found_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "sinks_beside.py", NODE)
    written(tmp_path / "sched.py", "raise RuntimeError('the standard one is meant')")
    monkeypatch.delitem(sys.modules, "sched", raising=False)
    graph = load(written(tmp_path / "g.toml", graph_of("sinks_beside:Sink")))
    assert graph.nodes["sink"].node_type.__module__ == "sinks_beside"
    assert __import__("sched").scheduler
