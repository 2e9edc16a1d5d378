"""Settings outlast a run: written whole, read with care; presets come back by name."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from commands.live import add_arguments, kept_settings, live_graph
from engine import operations as ops
from engine.dispatch import Dispatcher
from engine.errors import UsageError
from engine.graph import load
from engine.graph_spec import Graph, set_parameter, with_parameter
from engine.presets import Presets
from engine.roles import Roles
from engine.settings import Preset, Settings, default_path


def graph(*settings: str) -> Graph:
    return load(live_graph(options()), settings)


def options(*arguments: str) -> Any:
    import argparse

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


def put(running: Graph, settings: Settings) -> Any:
    """Set as the supervisor does, without processes."""

    async def set_(node: str, name: str, value: Any) -> Any:
        set_parameter(running, node, name, with_parameter(running.nodes[node], name, value))
        settings.changed(running, node, name)

    return set_


async def session(path: Path, *changes: tuple[str, str, Any]) -> Graph:
    """One run in which something is set."""
    running, settings = graph(), Settings(path)
    settings.begin(running)
    for change in changes:
        await put(running, settings)(*change)
    await settings.close()
    return running


def test_engines_that_share_a_file_leave_each_others_settings(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"

    async def both() -> None:
        ran = [graph(), graph()]
        settings = [Settings(path), Settings(path)]
        first, second = (put(*one) for one in zip(ran, settings, strict=True))
        for one, running in zip(settings, ran, strict=True):
            one.begin(running)
        await first("editor", "emotion", "sad")
        await settings[0].close()
        await second("editor", "intensity", 0.4)
        await second("compositor", "strength", 0.5)
        settings[1].presets["calm"] = Preset({"editor": {"emotion": "neutral"}})
        await settings[1].close()

    asyncio.run(session(path, ("editor", "ease_ms", 300.0)))
    asyncio.run(both())
    kept = Settings(path)
    assert kept.values["editor"] == {"ease_ms": 300.0, "emotion": "sad", "intensity": 0.4}
    assert kept.values["compositor"] == {"strength": 0.5}
    assert list(kept.presets) == ["calm"]
    kept = Settings(path)

    async def forgotten() -> None:
        kept.forget()
        await kept.close()

    asyncio.run(forgotten())
    assert Settings(path).values == {} and list(Settings(path).presets) == ["calm"]


def test_what_was_set_is_there_in_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "new" / "settings.json"
    asyncio.run(session(path, ("editor", "emotion", "sad"), ("editor", "intensity", "0.4")))
    again = asyncio.run(session(path, ("compositor", "strength", 0.5)))
    assert again.nodes["editor"].config.emotion == "sad"
    third = asyncio.run(session(path))
    assert third.nodes["editor"].config.intensity == 0.4
    assert third.nodes["compositor"].config.strength == 0.5
    assert third.raw["nodes"]["editor"]["parameters"]["emotion"] == "sad"  # processes get this
    assert [item.name for item in path.parent.iterdir()] == ["settings.json"]  # no parts


def test_what_is_of_the_moment_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    changes = [("out", "mute", True), ("out", "pass_through", True), ("out", "when_lost", "pass")]
    asyncio.run(session(path, *changes))
    assert json.loads(path.read_text())["values"] == {"out": {"when_lost": "pass"}}


def test_nothing_is_written_where_nothing_was_set(tmp_path: Path) -> None:
    asyncio.run(session(tmp_path / "none" / "settings.json"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "emotion", "mode"),
    [
        ([], "sad", "scale"),
        (["--emotion", "happy"], "happy", "emotion"),
        (["--set", "editor.emotion=angry"], "angry", "scale"),
        (["--emotion", "happy", "--set", "editor.mode=voice"], "happy", "voice"),
        (["--no-settings"], "neutral", "emotion"),
    ],
)
def test_what_is_given_wins(tmp_path: Path, arguments: list[str], emotion: str, mode: str) -> None:
    from commands.live import face_settings

    path = tmp_path / "settings.json"
    asyncio.run(session(path, ("editor", "emotion", "sad"), ("editor", "mode", "scale")))
    where = [] if "--no-settings" in arguments else ["--settings", str(path)]
    chosen = options(*arguments, *where)
    given = [*face_settings(chosen, Roles(live_graph(chosen))), *chosen.settings]
    running = graph(*given)
    kept_settings(chosen, given, running.roles).begin(running)
    assert running.nodes["editor"].config.emotion == emotion
    assert running.nodes["editor"].config.mode == mode


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"values": []}',
        b'{"values": {"editor": 3}}', b'{"values": {"editor": {"intensity": NaN}}}',
        b'{"values": {"editor": {"intensity": 1e999}}}', b'{"values": {"editor": {"mode": []}}}',
        b'{"presets": []}', b'{"presets": {"": {"values": {}}}}', b'{"presets": {"a": 1}}',
        b'{"presets": {"a": {"values": {}, "hotkey": "ab"}}}', b" " * 2_000_000,
    ],
)  # fmt: skip
def test_a_damaged_file_is_one_line_and_put_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(content)
    settings = Settings(path)
    settings.begin(graph())
    (note,) = settings.notes
    assert str(path) in note and "damaged" in note and "\n" not in note
    assert path.with_name("settings.json.damaged").read_bytes() == content
    assert not path.exists()
    assert settings.values == {} and settings.presets == {}


def test_values_that_no_longer_fit_are_left_out_and_named(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    values = {
        "editor": {"emotion": "sad", "intensity": 7, "gone": 1},
        "out": {"token": "x", "port": 1},  # fixed while it runs: not for a file to say
        "elsewhere": {"x": 1},  # a node of another run's graph
    }
    path.write_text(json.dumps({"values": values}))
    running, settings = graph(), Settings(path)
    settings.begin(running)
    (note,) = settings.notes
    assert "editor.intensity: 7 is out of range" in note and "3 more" in note
    assert running.nodes["editor"].config.emotion == "sad"
    assert running.nodes["out"].config.token == ""
    assert settings.values["elsewhere"] == {"x": 1}


def test_a_place_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "settings.json"  # a folder that can't be made
    told: list[str] = []

    async def run() -> None:
        running, settings = graph(), Settings(path)
        settings.on_trouble = told.append
        settings.begin(running)
        for value in (0.1, 0.2):
            await put(running, settings)("editor", "intensity", value)
        await settings.close()

    asyncio.run(run())
    assert len(told) == 1 and told[0].startswith("settings aren't kept:")


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    os.mkfifo(path)
    settings = Settings(path)
    assert "a pipe" in settings.notes[0]


def test_the_default_file_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    path = default_path()
    assert path is not None and path.is_relative_to(tmp_path) and path.name == "settings.json"


def presets_of(running: Graph, settings: Settings) -> Dispatcher:
    settings.begin(running)
    presets, dispatcher = Presets(running, settings, put(running, settings)), Dispatcher()
    presets.serve(dispatcher)
    dispatcher.on(ops.Defaults, lambda _: presets.defaults())
    return dispatcher


async def test_a_preset_brings_everything_back(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    running, settings = graph(), Settings(path)
    presets = presets_of(running, settings)
    set_ = put(running, settings)
    await set_("editor", "emotion", "happy")
    await set_("editor", "intensity", 0.3)
    await presets.call(ops.PresetSave("Meeting", "9", nodes=["editor"]))
    await set_("editor", "emotion", "angry")
    await set_("editor", "mode", "off")
    await settings.close()

    running, settings = graph(), Settings(path)
    presets = presets_of(running, settings)
    assert running.nodes["editor"].config.mode == "off"
    (one,) = await presets.call(ops.Presets())
    assert (one["name"], one["hotkey"]) == ("Meeting", "9")
    assert set(one["values"]) == {"editor"}
    assert await presets.call(ops.PresetApply("Meeting")) == len(one["values"]["editor"])
    config = running.nodes["editor"].config
    assert (config.mode, config.emotion, config.intensity) == ("emotion", "happy", 0.3)
    await presets.call(ops.Defaults())
    assert running.nodes["editor"].config.emotion == "neutral"
    assert settings.values == {}
    assert await presets.call(ops.PresetDelete("Meeting")) == []
    with pytest.raises(UsageError, match="no preset 'Meeting'"):
        await presets.call(ops.PresetApply("Meeting"))
    await settings.close()


async def test_imported_presets_take_nobodys_name_or_key() -> None:
    settings = Settings()
    presets = presets_of(graph(), settings)
    values = {"editor": {"emotion": "sad"}}
    await presets.call(ops.PresetSave("A", "9", values=values))
    same, other = (
        {"name": "A", "hotkey": "9", "values": {"editor": {"emotion": emotion}}}
        for emotion in ("sad", "fear")
    )
    listed = await presets.call(ops.PresetImport([same, other]))
    assert [(item["name"], item["hotkey"]) for item in listed] == [("A", "9"), ("A 2", "")]
    await presets.call(ops.PresetSave("B", "9", values=values))
    assert [item.hotkey for item in settings.presets.values()] == ["", "", "9"]
    with pytest.raises(UsageError, match="isn't a file of presets"):
        await presets.call(ops.PresetImport([{"name": "C", "values": 3}]))
    many = [{"name": f"n{i}", "values": {}} for i in range(40)]
    with pytest.raises(UsageError, match="32 presets already"):
        await presets.call(ops.PresetImport(many))
    assert list(settings.presets) == ["A", "A 2", "B"]  # all or none
