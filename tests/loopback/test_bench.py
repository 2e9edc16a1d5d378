"""The benchmarks over real processes: short runs, checked for sense and not for speed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import psutil

from engine.transport.shm import folder
from run_engine import main


def test_hop_with_its_peers(tmp_path: Path) -> None:
    path = tmp_path / "hop.json"
    arguments = ["--seconds", "1.5", "--rounds", "1", "--size", "320x240", "--json", str(path)]
    peers = ["multiprocessing_queue", "pyzmq_copy", "ezmsg"]
    if importlib.util.find_spec("ezmsg") is not None:
        arguments.append("--peers")
    assert main(["bench", "hop", *arguments]) == 0
    owners = {int(segment.name.split("-")[1]) for segment in folder().glob("mien-[0-9]*-*")}
    assert all(psutil.pid_exists(owner) for owner in owners), "shared memory was left behind"
    report = json.loads(path.read_text())
    assert report["hardware"]["cpu"]
    assert report["versions"]["numpy"]
    for figures in (report, *(report["peers"][name] for name in peers if "peers" in report)):
        assert 0 < figures["hop_ms"]["p50"] <= figures["hop_ms"]["p99"] < 1000
        assert figures["throughput_fps"] > 0
        assert figures["samples"] >= 30


def test_file(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    assert main(["bench", "file", "--seconds", "1", "--peers", "--json", str(path)]) == 0
    report = json.loads(path.read_text())
    assert report["frames_in"] == report["frames_out"] == 30
    assert report["dropped"] == 0
    assert report["real_time_factor"] > 0
    assert report["nodes"]["tracker"]["process_ms"]["p50"] > 0
    assert report["peers"]["plain_transcode"]["real_time_factor"] > 0
