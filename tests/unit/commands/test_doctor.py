"""`doctor`: facts with their fix, and an exit code that follows what live needs."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from commands import doctor
from commands.doctor import Check
from commands.doctor import network as doctor_networks
from commands.doctor.speed import drawn_face, measure_face_ms
from engine.errors import MienError
from run_engine import main
from tests.made_weights import make_weights


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def checks(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    answer = json.loads(capsys.readouterr().out)
    return {check["name"]: check for check in answer["checks"]}


def test_this_machine_is_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    assert main(["doctor", "--json", "--port", str(port)]) == 0
    found = checks(capsys)
    for name in ("python", "ai-edge-litert", "face landmarker", "libx264", "libopus"):
        assert found[name]["works"], found[name]
    assert found[f"port {port}"]["fact"] == "free"
    assert "ms for a face at 640x480" in found["speed"]["fact"]


def test_a_taken_port_is_a_cross(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["doctor", "--no-speed", "--port", str(port)]) == 1
    printed = capsys.readouterr().out
    (line,) = [line for line in printed.splitlines() if f"port {port}" in line]
    assert line.startswith("✗")
    assert f"--port {port + 1}" in line
    assert "does not work here yet" in printed


def test_what_can_be_done_without_is_a_dash(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "camera_devices", lambda: [])
    monkeypatch.setattr("commands.doctor.shutil.which", lambda name: None)
    assert main(["doctor", "--no-speed", "--port", str(free_port())]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in ("gpu", "camera", "browser"):
        assert any(line.startswith(f"– {name}:") for line in lines), name


def test_a_landmarker_that_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nowhere(asset: object) -> None:
        raise MienError("face_landmarker.task could not be fetched; set MIEN_FACE_LANDMARKER")

    monkeypatch.setattr(doctor, "locate", nowhere)
    assert main(["doctor", "--json", "--no-speed", "--port", str(free_port())]) == 1
    assert "MIEN_FACE_LANDMARKER" in checks(capsys)["face landmarker"]["fact"]


def test_networks_are_listed_and_a_damaged_one_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = make_weights(tmp_path, "visual", "speech", "intensity", "skin")
    damaged = weights / "skin" / "int8.bin"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    monkeypatch.setenv("MIEN_WEIGHTS", str(weights))
    assert main(["doctor", "--json", "--no-speed", "--port", str(free_port())]) == 0
    found = checks(capsys)
    for name in ("visual", "speech", "intensity"):
        check = found[f"network {name}"]
        assert check["works"] and check["fact"].startswith("made for tests; on OpenVINO"), check
        assert "int8" in check["fact"]
    for name, said in (("skin", f"{damaged} is damaged"), ("activity", "no weight in")):
        check = found[f"network {name}"]
        assert not check["works"] and said in check["fact"] and "\n" not in check["fact"]


def test_a_network_names_the_runtime_that_would_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_WEIGHTS", str(make_weights(tmp_path, "speech")))
    there = {"onnxruntime"}
    monkeypatch.setattr(
        doctor_networks, "missing", lambda name: None if name in there else f"no {name} here"
    )
    monkeypatch.setattr("commands.doctor.network.metadata.version", lambda name: "1.2.3")
    assert doctor_networks.describe("speech").endswith("; on ONNX Runtime 1.2.3, f32, CPU")
    there.add("tensorrt")
    assert doctor_networks.describe("speech").endswith("; on TensorRT")
    there.clear()
    with pytest.raises(MienError, match="nothing runs it here: no openvino here"):
        doctor_networks.describe("speech")


def test_little_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 8 << 20, "total": 64 << 20})
    monkeypatch.setattr("commands.doctor.shutil.disk_usage", lambda path: usage)
    check = doctor.shared_memory()
    assert not check.works
    assert "--shm-size" in check.hint


def test_checks_that_matter_are_marked() -> None:
    assert not Check("x", True, "").needed
    assert doctor.python().needed
    assert doctor.clock().works


def test_the_drawn_face_is_tracked_and_timed() -> None:
    assert drawn_face(200, 300).shape == (300, 200, 3)
    assert measure_face_ms(12) > 0.5  # it was found: nothing but a look takes less
