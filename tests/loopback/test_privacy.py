"""Nothing leaves the machine: every command in a fresh home, traced, without CI in its way."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from commands.doctor.speed import drawn_face
from tests.loopback.rig import Client, Pictures, Tone, until
from tests.made_media import clicks, make_video
from tests.trap import REPOSITORY, Home, interrupt, missing_trap

pytestmark = pytest.mark.skipif(bool(missing_trap()), reason=missing_trap())

ENGINE = REPOSITORY / "run_engine.py"
LIVE = REPOSITORY / "graphs" / "live.toml"
URL = re.compile(r"http://127\.0\.0\.1:\d+")


@pytest.fixture
def home() -> Iterator[Home]:
    """In a folder of a short name: sockets have no room for a long one."""
    with tempfile.TemporaryDirectory(prefix="m") as folder:
        yield Home(Path(folder))


def assert_private(home: Home) -> None:
    assert not home.tried()
    assert not home.strays()


def test_the_trap_sees_what_would_leave_and_what_is_left_behind(home: Home) -> None:
    ask = "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))"
    home.run("-c", f"from pathlib import Path; (Path.home() / 'id').touch(); {ask}")
    (attempt,) = home.tried()
    assert "192.0.2.1" in attempt
    assert home.strays() == [str(home.home / "id")]


def test_what_native_code_tries_is_seen_too(home: Home) -> None:
    home.run("-c", "import av; av.open('tcp://192.0.2.1:9', timeout=0.2)", code=1)
    assert any("192.0.2.1" in attempt for attempt in home.tried())


@pytest.mark.parametrize(
    "arguments",
    [
        ["doctor", "--json"],
        ["devices"],
        ["graph", LIVE, "--draw", "live.svg"],
        ["bench", "models", "--only", "intensity", "skin", "--seconds", "0.05"],
    ],
    ids=lambda arguments: " ".join(map(str, arguments[:2])),
)
def test_a_command_keeps_to_this_machine(arguments: list[str | Path], home: Home) -> None:
    home.run(ENGINE, *arguments)
    assert_private(home)


def test_a_file_keeps_to_this_machine(home: Home) -> None:
    make_video(home.work / "in.mp4", [drawn_face(256, 256)] * 12, sound=clicks(0.48, [0.2]))
    asked = ["--emotion", "happy", "--report", "r.json", "--plot", "p.svg"]
    home.run(ENGINE, "file", "in.mp4", "out.mp4", *asked)
    assert_private(home)
    written = {path.name for path in home.work.iterdir()}
    assert written == {"in.mp4", "out.mp4", "r.json", "p.svg"}


async def test_live_keeps_to_this_machine_with_somebody_in_it(home: Home) -> None:
    with home.running(ENGINE, "live", "--port", "0") as process:
        assert process.stdout is not None
        said: list[str] = []

        def named() -> str:
            """The address; "" where live ended before it named one."""
            assert process.stdout is not None
            for line in iter(process.stdout.readline, ""):
                said.append(line)
                if found := URL.search(line):
                    return found.group()
            return ""

        url = await asyncio.to_thread(named)
        assert url, "".join(said)
        publisher, viewer = Client(url), Client(url)
        try:
            async with aiohttp.ClientSession() as session, session.get(url) as page:
                assert page.status == 200
            await publisher.publish("/session", Pictures(), Tone())
            await viewer.view()
            await until(lambda: len(viewer.pictures) > 20, "pictures at the viewer")
            home.run(ENGINE, "set", "editor.emotion", "sad")
            home.run(ENGINE, "set")
        finally:
            await viewer.close()
            await publisher.close()
        interrupt(process)
        assert await asyncio.to_thread(process.wait, 30) == 0
    assert_private(home)


def test_no_dependency_says_that_it_is_there(home: Home) -> None:
    home.run("-c", f"""
import contextlib, importlib, importlib.metadata, re, tomllib
import engine

project = tomllib.load(open({str(REPOSITORY / "pyproject.toml")!r}, "rb"))["project"]
listed = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
wanted = {{re.split("[^a-z0-9]+", line.lower())[0] for line in listed}}
imported = []
for module, distributions in importlib.metadata.packages_distributions().items():
    if any(re.split("[-_.]", name.lower())[0] in wanted for name in distributions):
        with contextlib.suppress(ImportError):  # one for another system, or a helper of theirs
            importlib.import_module(module)
            imported.append(module)
assert {{"aiortc", "av", "cv2", "openvino", "zmq"}} <= set(imported), imported
""")  # fmt: skip
    assert_private(home)


def test_training_and_export_keep_to_this_machine(home: Home) -> None:
    for package in ("torch", "onnxscript", "nncf", "onnxruntime", "tensorboard"):
        pytest.importorskip(package)
    from tests.training.made_clips import made_clips
    from training.data.clip import write_shard

    (home.work / "data").mkdir()
    write_shard(home.work / "data" / "made.tar", made_clips())
    home.run("-c", """
from pathlib import Path
from export import networks, samples
from export.__main__ import main as export
from export.quantize import to_int8
from training.recipes.intensity import Intensity
from training.train import main as train

run, data = Path("runs/intensity"), Path("data")
quick = ["--config", "debug", "--data", "data", "--steps", "1", "--batch", "2"]
read = ["--visual", "runs/visual", "--speech", "runs/speech"]
assert train(["visual", *quick, "--out", "runs/visual"]) == 0
assert train(["speech", *quick, "--out", "runs/speech"]) == 0
assert train(["intensity", *quick, *read, "--out", str(run)]) == 0
assert export(["intensity", "--run", str(run), "--data", "data", "--out", "w", "--calls", "2"]) == 0
network = networks.load(Intensity, run)
calls = samples.calls(network, network.recipe.examples(data)[0], 2)
assert to_int8(Path("w/intensity/model.onnx").read_bytes(), calls)
""")  # fmt: skip
    assert_private(home)
