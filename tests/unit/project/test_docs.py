"""What the documentation says is so: its code runs, its links lead somewhere, no name is stale."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from commands.live import live_graph
from commands.paths import GRAPHS
from engine.graph import load
from engine.operations import op_of
from engine.parameters import describe
from nodes.face.stand_in import StandIn
from nodes.web.server import WebServer
from tests.unit.engine.test_settings import options

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_code_for_one_picture_runs() -> None:
    text = (ROOT / "docs/python.md").read_text()
    part = text.split("## One picture")[1].split("## A graph")[0]
    code = "\n".join(line[4:] for line in part.splitlines() if line.startswith("    "))
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["face"].found
    changed = np.abs(names["out"].pixels.astype(int) - names["picture"]).mean()
    assert 0.05 < changed < 20


def test_links_lead_somewhere() -> None:
    broken = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []


def test_reference_has_every_operation_of_the_page() -> None:
    text = (ROOT / "docs/reference.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*?)\|", text, re.MULTILINE))
    kinds = WebServer().page.kinds
    assert [op_of(kind) for kind in kinds if op_of(kind) not in rows] == []
    assert [
        (op_of(kind), field)
        for kind in kinds
        for field in kind.__struct_fields__
        if f"`{field}`" not in rows[op_of(kind)]
    ] == []


def test_words_of_the_page_are_for_parameters_that_exist() -> None:
    words = (ROOT / "nodes/web/static/words.js").read_text()
    known = {
        f"{name}.{row['name']}"
        for graph in (
            live_graph(options("--vmc", "--vtube-studio", "--publish", "rtmp://host/live")),
            GRAPHS / "portrait.toml",
        )
        for name, spec in load(graph).nodes.items()
        for row in describe(spec.node_type.Config)
    }
    known |= {f"stand_in.{row['name']}" for row in describe(StandIn.Config)}
    named = set(re.findall(r'^  "(\w+\.\w+)":', words, re.MULTILINE))
    assert len(named) > 30
    assert named - known == set()
