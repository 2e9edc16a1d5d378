"""What a run over a file came to: one line for the user, JSON for those who measure."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import files
from engine.graph_spec import Graph
from engine.roles import Roles
from media.probing import extent, probe

_CUT_OFF_S = 0.25
READERS = {"emotion": "face_reader", "voice": "voice_reader"}
"""what the frames say of feelings, and the roles of the nodes that read it"""


@dataclass(frozen=True)
class Outcome:
    """The figures of one run; ``plain`` is the report without its frames."""

    frames_in: int
    frames_out: int
    expected: int
    missing: int
    faces: int
    tracker: str
    elapsed_s: float
    plain: dict[str, Any]


def measure(
    snapshot: dict[str, Any],
    graph: Graph,
    source: Path,
    goal: Path,
    expected_pictures: int | None,
) -> Outcome:
    """Put the engine's last figures and the files themselves together."""
    nodes, edges = snapshot["nodes"], snapshot["edges"]
    tracker, writer, reader = (graph.roles[role] for role in ("tracker", "writer", "source"))
    counters = {name: node["counters"] for name, node in nodes.items()}
    origin = ".".join(graph.nodes[tracker].inputs["frame"])
    frames_in = edges[f"{origin}->{tracker}.frame"]["sent"]
    frames_out = counters[writer].get("frames_written", 0)
    ready_ns = nodes[reader]["gauges"].get("ready_ns", 0)
    elapsed_s = max(1e-9, (time.monotonic_ns() - ready_ns) / 1e9)
    plain: dict[str, Any] = {
        "frames_in": frames_in,
        "frames_out": frames_out,
        "dropped": sum(edge["dropped"] for edge in edges.values()),
        "edges": {name: edge["dropped"] for name, edge in edges.items()},
        "fps": round(frames_out / elapsed_s, 2),
        "elapsed_s": round(elapsed_s, 3),
    }
    if expected_pictures is None:
        sound = nodes[writer]["gauges"].get("sound", "")
        plain |= _durations(source, goal, elapsed_s) | {"sound": sound}
    else:
        plain |= {"duration_in_s": 0.0, "duration_out_s": 0.0, "audio": False}
    latency = nodes[writer]["total"].get("end_to_end_ms", {})
    plain |= {
        "latency_ms": latency,
        "nodes": {
            name: {"process_ms": _cost_ms(node), "counters": counters[name]}
            for name, node in nodes.items()
        },
        "backends": {
            name: node["gauges"]["backend"]
            for name, node in nodes.items()
            if "backend" in node["gauges"]
        },
        "unread": _unread(nodes, graph.roles),
        "several_faces": counters[tracker].get("several_faces", 0),
        "followed": nodes[tracker]["gauges"].get("followed", ""),
        "damaged_packets": counters[reader].get("damaged_packets", 0),
    }
    expected = expected_pictures if expected_pictures is not None else frames_in
    return Outcome(
        frames_in=frames_in,
        frames_out=frames_out,
        expected=expected,
        missing=max(0, expected - frames_out) if expected_pictures is not None else 0,
        faces=counters[graph.roles["report"]].get("faces", 0),
        tracker=tracker,
        elapsed_s=elapsed_s,
        plain=plain,
    )


def _durations(source: Path, goal: Path, elapsed_s: float) -> dict[str, Any]:
    """How long pictures and sound of both videos are."""
    before, after = extent(str(source)), extent(str(goal))
    drift_s = (after.audio_s - after.video_s) - (before.audio_s - before.video_s)
    return {
        "duration_in_s": round(before.video_s, 6),
        "duration_out_s": round(after.video_s, 6),
        "audio": after.audio_s > 0,
        "audio_duration_in_s": round(before.audio_s, 6),
        "audio_duration_out_s": round(after.audio_s, 6),
        "av_difference_s": round(drift_s, 6) if after.audio_s else 0.0,
        "real_time_factor": round(before.video_s / elapsed_s, 3),
        "ends_early_s": _ends_early_s(source, max(before.video_s, before.audio_s)),
    }


def _unread(nodes: dict[str, Any], roles: Roles) -> dict[str, str]:
    """Which keys of the frames are null throughout, and why: a network that isn't there."""
    states = {key: nodes.get(roles.get(role), {}).get("status") for key, role in READERS.items()}
    return {key: state[1] for key, state in states.items() if state and state[0] == "degraded"}


def _ends_early_s(source: Path, found_s: float) -> float:
    """How much of the length that the file promises isn't there: it was cut off, or is damaged."""
    missing_s = probe(str(source)).promised_s - found_s
    return round(missing_s, 3) if missing_s > _CUT_OFF_S else 0.0


def _cost_ms(node: dict[str, Any]) -> dict[str, float]:
    """Percentiles of one step of a node; a source's step is to decode."""
    total = node["total"]
    cost: dict[str, float] = total["process_ms"] or total["observed"].get("decode", {})
    return cost


def summary(outcome: Outcome, goal: Path) -> str:
    """One line: what was done, how fast, what was lost."""
    plain = outcome.plain
    unit = "frames" if "real_time_factor" in plain else "pictures"
    parts = [f"{outcome.frames_out} {unit} in {outcome.elapsed_s:.1f} s ({plain['fps']:.0f} fps"]
    if "real_time_factor" in plain:
        parts[0] += f", {plain['real_time_factor']:.2g} times real time"
    parts[0] += ")"
    parts.append(f"a face in {outcome.faces}")
    parts.append(f"{plain['dropped']} dropped")
    if plain["audio"]:
        how, _, why = plain["sound"].partition(": ")
        sound = f"sound {how} ({why})" if why else "sound kept"
        parts.append(f"{sound}, A/V difference {abs(plain['av_difference_s']) * 1e3:.0f} ms")
    elif unit == "frames":
        parts.append("no sound")
    if plain["several_faces"]:
        parts.append(
            f"several faces in {plain['several_faces']}, the {plain['followed']} one is changed "
            f"(--set {outcome.tracker}.follow=left, right, largest or nearest)"
        )
    if plain.get("ends_early_s"):
        parts.append(f"warning: the input ends {plain['ends_early_s']:.1f} s early")
    if plain["damaged_packets"]:
        parts.append(f"warning: {plain['damaged_packets']} damaged packets were skipped")
    return f"{goal}: " + ", ".join(parts)


def write_report(path: Path, outcome: Outcome, rows: Path) -> None:
    """The whole report; ``rows`` is the JSON object that holds its ``frames``."""
    head = json.dumps(outcome.plain, indent=1)
    with files.atomic_write(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(head.rstrip().removesuffix("}").rstrip() + ",\n")
        with rows.open(encoding="utf-8") as frames:
            file.write(frames.read(1).replace("{", ""))
            while text := frames.read(1 << 20):
                file.write(text)
