"""The images and the compose files: what they name is there, and they open nothing."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from commands import live
from nodes.web.security import is_loopback

ROOT = Path(__file__).resolve().parents[3]
DOCKER = ROOT / "docker"
FILES = sorted(DOCKER.glob("Dockerfile*"))
CLUSTER = DOCKER / "Dockerfile.cluster"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ENVIRONMENT = {"MIEN_HOST": "avatar.example", "MIEN_TOKEN": "a-token-of-length"}


def instructions(file: Path) -> list[tuple[str, str]]:
    """(word, arguments) of a Dockerfile, lines that go on joined."""
    text = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", file.read_text(), flags=re.MULTILINE))
    rows = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(row[0], " ".join(row[1].split())) for row in rows]


def last(file: Path, word: str) -> str:
    return [rest for name, rest in instructions(file) if name == word][-1]


def live_options(arguments: list[str]) -> argparse.Namespace:
    """What `mien` makes of a container's command."""
    parser = argparse.ArgumentParser()
    live.add_arguments(parser)
    assert arguments[0] == "live"
    return parser.parse_args(arguments[1:])


def test_a_node_of_a_cluster_is_made_of_either_image_and_runs_as_nobody() -> None:
    bases = [rest for word, rest in instructions(CLUSTER) if word == "FROM"]
    assert bases == ["${BASE}"] and last(CLUSTER, "ARG") == "BASE=mien"
    assert int(last(CLUSTER, "USER")) > 1000


@pytest.mark.parametrize(
    "file", [file for file in FILES if file != CLUSTER], ids=lambda file: str(file.name)
)
def test_an_image_names_what_is_there_and_runs_as_nobody(file: Path) -> None:
    for base in (rest for word, rest in instructions(file) if word == "FROM"):
        assert re.search(r"^\S+:\d[\w.-]+", base) or base in ("wheel",), base
    assert int(last(file, "USER")) > 1000
    assert json.loads(last(file, "ENTRYPOINT")) == ["mien"]
    assert "mien" in PYPROJECT["project"]["scripts"]
    options = live_options(json.loads(last(file, "CMD")))
    assert is_loopback(options.address)
    assert f"http://127.0.0.1:{options.port}/healthz" in last(file, "HEALTHCHECK")
    assert '"/healthz"' in (ROOT / "nodes/web/server.py").read_text()
    named = re.findall(r"\[(\w+)\]\"", file.read_text())
    assert set(named) <= set(PYPROJECT["project"]["optional-dependencies"])
    assert ("rtx" in named) == file.name.endswith("nvidia")


def test_what_the_wheel_is_made_of_reaches_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in lines if line.startswith("!")}
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["only-include"], "hatch_build.py", "pyproject.toml", "LICENSE", "README.md"}
    assert needed <= let_in
    assert all((ROOT / name).exists() for name in let_in)
    copied = {
        rest.split()[0] for file in FILES for word, rest in instructions(file) if word == "COPY"
    }
    assert copied - {"."} <= let_in


def composed(*names: str) -> dict[str, Any]:
    """The services of compose files laid over each other, variables filled in."""
    services: dict[str, dict[str, Any]] = {}
    for name in names:
        text = re.sub(
            r"\$\{(\w+)(:\?[^}]*)?\}",
            lambda found: ENVIRONMENT[found[1]],
            (DOCKER / name).read_text(),
        )
        for service, table in yaml.safe_load(text)["services"].items():
            known = services.setdefault(service, {})
            build = {**known.get("build", {}), **table.get("build", {})}
            known.update(table, build=build)
    return services


@pytest.mark.parametrize("names", [("compose.yaml",), ("compose.yaml", "compose.nvidia.yaml")])
def test_the_server_has_its_page_on_loopback_behind_tls(
    names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    services = composed(*names)
    mien, caddy = services["mien"], services["caddy"]
    assert (ROOT / mien["build"]["dockerfile"]).is_file()
    assert (DOCKER / mien["build"]["context"]).resolve() == ROOT
    for name, value in mien["environment"].items():
        monkeypatch.setenv(name, value)
    options = live_options(mien["command"])
    assert is_loopback(options.address) and options.token == ENVIRONMENT["MIEN_TOKEN"]
    assert options.public_url == f"https://{ENVIRONMENT['MIEN_HOST']}"
    assert caddy["command"][-1] == f"{options.trust_proxy}:{options.port}"
    assert all("ports" not in service for service in services.values())
    assert mien["read_only"] and mien["cap_drop"] == ["ALL"]
    assert ("gpus" in mien) == (len(names) > 1)


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="needs pip install -e '.[dev]'")
def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run(
        ["hadolint", *FILES], capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert (done.returncode, done.stdout) == (0, "")
