"""The worked examples of CONTRIBUTING.md work as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()


def block_after(words: str) -> str:
    """The indented block after the line that ends in ``words``."""
    _, _, rest = TEXT.partition(f"{words}\n\n")
    found = re.match(r"(?: {4}.*\n|\n)+", rest)
    assert found is not None, words
    return re.sub(r"^ {4}", "", found[0], flags=re.MULTILINE).strip() + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the examples, written out."""
    folder = tmp_path_factory.mktemp("example")
    (folder / "brighten.py").write_text(block_after("`brighten.py`:"))
    (folder / "test_brighten.py").write_text(block_after("`test_brighten.py`:"))
    (folder / "brighter.toml").write_text(block_after("`brighter.toml`, beside `brighten.py`:"))
    return folder


def done(folder: Path, *command: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def pictures(file: Path) -> list[float]:
    """The mean brightness of each."""
    with av.open(str(file)) as film:
        return [float(np.mean(frame.to_ndarray(format="gray"))) for frame in film.decode(video=0)]


def test_the_node_passes_its_own_tests_and_the_types(folder: Path) -> None:
    assert "2 passed" in done(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    done(ROOT, "-m", "mypy", "--strict", str(folder / "brighten.py"))


def test_the_graph_is_checked_drawn_and_run_as_it_says(folder: Path) -> None:
    commands = block_after("Check it, draw it, run it, run it with other parameters:").splitlines()
    assert len(commands) == 4
    told = ""
    for line in commands:
        words = shlex.split(line)
        assert words[0] == "mien"
        told += done(folder, "-m", *words)
    assert "3 nodes in 2 processes, no mistakes" in told
    assert (folder / "brighter.svg").read_text().startswith("<svg")
    brighter, darker = pictures(folder / "brighter.mp4"), pictures(folder / "darker.mp4")
    assert min(len(brighter), len(darker)) > 10
    assert min(brighter) > 1.5 * max(darker)
