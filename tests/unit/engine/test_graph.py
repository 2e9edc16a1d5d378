"""Graph files: what is right runs, what is wrong is said with its line and the fix."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from commands.paths import GRAPHS
from engine.draw import draw
from engine.errors import MienError, UsageError
from engine.graph import load
from nodes.sources.pattern import Pattern

GOOD = """\
name = "small"

[nodes.numbers]
type = "tests.small_nodes:Numbers"
parameters = { count = 3 }

[nodes.add]
type = "tests.small_nodes:Add"
inputs = { frame = "numbers.video" }

[nodes.collect]
type = "tests.small_nodes:Collect"
inputs = { video = "add.video", audio = "numbers.audio" }
parameters = { path = "out.txt" }

[processes.first]
nodes = ["numbers", "collect"]

[processes.second]
nodes = ["add"]
"""


def _load(tmp_path: Path, text: str, *settings: str) -> object:
    path = tmp_path / "graph.toml"
    path.write_text(text)
    return load(path, settings)


def test_nodes_are_ordered_and_placed(tmp_path: Path) -> None:
    graph = load(_write(tmp_path, GOOD), ["add.amount=7"])
    assert graph.name == "small"
    assert list(graph.nodes) == ["numbers", "add", "collect"]
    assert graph.nodes["add"].config.amount == 7
    assert graph.nodes["add"].process == "second"
    assert [spec.name for spec, _ in graph.consumers("numbers", "audio")] == ["collect"]


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "graph.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("small_nodes:Add", "small_nodes:Ad", 8, "did you mean 'Add'?"),
        ("tests.small_nodes:Add", "nodes.compositr:Compositor", 8, "no module 'nodes.compositr'"),
        ("numbers.video", "numbers.vido", 9, "did you mean 'video'?"),
        ("numbers.video", "number.video", 9, "did you mean 'numbers'?"),
        (
            "numbers.video",
            "numbers.audio",
            9,
            "takes VideoFrame, but numbers.audio gives AudioFrame",
        ),
        ("numbers.video", "numbers", 9, 'write it as "node.port"'),
        ("numbers.video", "add.video", 9, "circle: add -> add"),
        ("frame =", "frames =", 9, "did you mean 'frame'?"),
        ('inputs = { frame = "numbers.video" }', "", 7, "add needs its input 'frame'"),
        ("count = 3", "cuont = 3", 5, "did you mean 'count'?"),
        ("count = 3", 'count = "x"', 5, "expected a number"),
        ("count = 3", "count = -1", 5, "out of range, 0 to inf"),
        ('"numbers", "collect"', '"numbers", "colect"', 17, "did you mean 'collect'?"),
        ('["add"]', '["add", "numbers"]', 20, "numbers is already in process first"),
        ("inputs = { video", "input = { video", 13, "did you mean 'inputs'?"),
        ("[nodes.add]", "[nodes.Add]", 7, "no name for a node"),
        ('["add"]', '["add"]\nhost = "gpu"', 21, "unknown host 'gpu'"),
        ('["add"]', '["add"]\nhost = ["gpu"]', 21, "unknown host"),
        ('["add"]', '[["add"]]', 20, "needs nodes = [names]"),
        ('["add"]', "{ add = 1 }", 20, "needs nodes = [names]"),
        ("count = 3", "count = inf", 5, "expected a number, got inf"),
        ("count = 3", "count = [[3]]", 5, "expected a number"),
        ("count = 3", f"count = {2**63}", 5, "out of range"),
        ("count = 3", "period_ms = inf", 5, "out of range"),
        ("count = 3", "period_ms = nan", 5, "out of range"),
        ("count = 3", "count = 1979-05-27", 5, "expected a number"),
        ("{ count = 3 }", "[3]", 5, "should be a table"),
        ('frame = "numbers.video"', "frame = [[1]]", 9, 'write it as "node.port"'),
        ("tests.small_nodes:Add", ":Y", 8, 'needs type = "module:Class"'),
        ("tests.small_nodes:Add", ".small:Y", 8, 'needs type = "module:Class"'),
        ("tests.small_nodes:Add", "a..b:Y", 8, 'needs type = "module:Class"'),
        ("tests.small_nodes:Add", "no:Y", 8, "no module 'no'"),
        ('small_nodes:Add"', 'small_nodes:Add"\nthread = 1', 9, "thread is true or false, not 1"),
        ('small_nodes:Add"', 'small_nodes:Add"\nbackpressure = true', 9, "needs thread = true"),
        ("{ count = 3 }", "{ count = 3 }\nthread = true", 6, "a source and can't have another"),
        ("[processes.second]", "[processes.control]", 19, "'control' is the engine's own"),
        ("[processes.second]", "[processes.supervisor]", 19, "is the engine's own"),
    ],
)
def test_mistakes_name_their_line(tmp_path: Path, old: str, new: str, line: int, says: str) -> None:
    assert old in GOOD
    with pytest.raises(UsageError) as caught:
        _load(tmp_path, GOOD.replace(old, new, 1))
    assert f"graph.toml:{line}:" in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nodes_that_share_the_web_server_are_in_one_process(tmp_path: Path) -> None:
    text = (GRAPHS / "live.toml").read_text()
    apart = (
        text.replace('"out", "avatar", ', '"out", ') + '\n[processes.apart]\nnodes = ["avatar"]\n'
    )
    line = apart.splitlines().index('nodes = ["avatar"]') + 1
    with pytest.raises(UsageError) as caught:
        _load(tmp_path, apart)
    assert f"graph.toml:{line}: " in str(caught.value)
    assert str(caught.value).endswith("avatar share the web server: put them into one process")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no nodes"),
        ("nodes = 3", "should be a table"),
        ('delivery = "fast"', "'live' or 'lossless'"),
        ("delivery = [[1]]", "'live' or 'lossless'"),
        (GOOD.replace('"small"', "[1]"), "name is text"),
        (GOOD.replace("nodes.add", 'nodes."a\\nb\\u001b"'), "no name for a node"),
        ("silent_after_s = inf\n" + GOOD, "silent_after_s is a number of seconds, not inf"),
        ("stalled_after_s = nan\n" + GOOD, "stalled_after_s is a number of seconds, not nan"),
        ("stalled_after_s = true\n" + GOOD, "stalled_after_s is a number of seconds"),
        ("a = " + "[" * 5000, "not valid TOML"),
        ("a = " + "9" * 5000, "not valid TOML"),
        ("nodes = [[[]]]", "should be a table"),
        ("#" * 2**21, "no graph file"),
        ("nmae = 1", "did you mean 'name'?"),
        ("[nodes", "not valid TOML"),
        (GOOD.replace("[nodes.collect]", "[nodes.add]"), "not valid TOML"),
    ],
)
def test_mistakes_without_a_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says.replace("?", r"\?")) as caught:
        _load(tmp_path, text)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("amount=1", "node.parameter=value"),
        ("ad.amount=1", "did you mean 'add'?"),
        ("add.amount=101", "out of range, 0 to 100"),
        ("add.mode=faill", "did you mean 'fail'?"),
    ],
)
def test_bad_settings(tmp_path: Path, setting: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        _load(tmp_path, GOOD, setting)
    assert says in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="no such graph file"):
        load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("class X(:", r"broken\.py:1: invalid syntax"),
        ("x = 1 / 0", r"ZeroDivisionError: division by zero \(.*broken\.py:1\)"),
        ("import sys; sys.exit(3)", r"SystemExit: 3 \(.*broken\.py:1\)"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
        ("import nothing_of_this_name", "needs the package 'nothing_of_this_name'"),
        (
            "from engine.node import Node\nclass Y(Node):\n    inputs = 3",
            "Y.inputs is a mapping",
        ),
        ("from engine.node import Node\nclass Y(Node):\n    Config = 3", "not a graph: "),
    ],
)
def test_a_node_file_with_a_mistake_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, says: str
) -> None:
    (tmp_path / "broken.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    with pytest.raises(MienError, match=says) as caught:
        load({"nodes": {"y": {"type": "broken:Y"}}})
    assert "\n" not in str(caught.value)


def test_drawing_shows_every_node_process_and_edge(tmp_path: Path) -> None:
    picture = draw(load(_write(tmp_path, GOOD)))
    for word in ("numbers", "collect", "process first", "process second", "video → frame"):
        assert word in picture


def test_a_node_is_found_where_it_lay_before() -> None:
    graph = load({"nodes": {"made": {"type": "nodes.pattern:Pattern"}}})
    assert graph.nodes["made"].node_type is Pattern


@pytest.mark.parametrize(
    ("methods", "says"),
    [
        (
            "def process(self, frames): ...",
            r"doesn't take its input 'frame'; did you mean 'frames'\?",
        ),
        ("def process(self, frame, face): ...", r"takes 'face', which is no input"),
        (
            "def on_frames(self, frame): ...",
            r"on_frames .*odd\.py:6\) is of no input; did you mean",
        ),
        ("", "has inputs and neither process nor on_frame"),
        ("def process(self, frame, face=None): ...", ""),
        ("def process(self, **ports): ...", ""),
        ("def on_frame(self, message): ...", ""),
    ],
)
def test_methods_take_what_ports_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, methods: str, says: str
) -> None:
    (tmp_path / "odd.py").write_text(
        "from engine.node import Node\n"
        "from engine.types import Latest, VideoFrame\n"
        "class Odd(Node):\n"
        "    inputs = {'frame': Latest(VideoFrame)}\n"
        "    outputs = {'video': VideoFrame}\n"
        f"    {methods}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "odd", raising=False)
    text = GOOD.replace("tests.small_nodes:Add", "odd:Odd")
    if not says:
        load(_write(tmp_path, text))
        return
    with pytest.raises(UsageError, match=says) as caught:
        load(_write(tmp_path, text))
    assert "graph.toml:8:" in str(caught.value)


def test_a_role_is_a_node_whatever_its_name(tmp_path: Path) -> None:
    graph = load(_write(tmp_path, GOOD + '\n[roles]\neditor = "add"\n'))
    assert graph.roles["editor"] == "add" and graph.describe()["roles"]["editor"] == "add"
    assert graph.roles["numbers"] == "numbers", "as graphs without the table have it"
    assert graph.roles.get("tracker") is None and "tracker" not in graph.roles
    with pytest.raises(UsageError, match="no node of this graph is the tracker; name it in"):
        graph.roles["tracker"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('editor = "ad"', "no node 'ad' to be the editor; did you mean 'add'"),
        ("editor = 3", "no node '3' to be the editor"),
        ('Editor = "add"', "'Editor' is no name for a role"),
    ],
)
def test_a_wrong_role_is_said_with_its_line(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        _load(tmp_path, f"{GOOD}\n[roles]\n{line}\n")
    number = GOOD.count("\n") + 3
    assert f"graph.toml:{number}: " in str(caught.value)
