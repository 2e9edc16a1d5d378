"""Rows as tables for a terminal, as JSON, and as a page with sheets of pictures."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine import files
from engine.types import F32, U8
from face.crop import crop
from face.types import FaceTrack
from training.evaluation.by_reference import AVERAGE
from training.evaluation.protocols import Row
from training.evaluation.takes import Take

# Figure, heading, digits, and which network it rests on.
COLUMNS: Final = (
    ("takes", "takes", 0, ""),
    ("people", "people", 0, ""),
    ("lost", "face lost↓", 0, ""),
    ("energy_ratio", "energy ratio↓", 3, "landmarker"),
    ("mouth_change", "mouth↓", 4, "landmarker"),
    ("mouth_change_expressive", "mouth (expressive)↓", 4, "landmarker"),
    ("lip_error", "LVE↓", 4, "landmarker"),
    ("blendshape_error", "blendshape error↓", 4, "landmarker"),
    ("dlib_distance", "dlib distance↓", 3, "dlib"),
    ("faceres_cosine", "faceres cosine↑", 3, "faceres"),
    ("fd_dlib", "FD dlib↓", 4, "dlib"),
    ("fd_lite0", "FD lite0↓", 2, "lite0"),
    ("flicker", "flicker↓", 3, ""),
    ("neutral_before", "p(neutral) before", 3, "emotion"),
    ("neutral_after", "p(neutral)", 3, "emotion"),
    ("read_before", "read so before", 3, "emotion"),
    ("read_after", "read so↑", 3, "emotion"),
    ("share_after", "p(asked)↑", 3, "emotion"),
    ("looks", "looks", 0, ""),
    ("accuracy", "accuracy↑", 3, "emotion"),
    ("macro_f1", "macro F1↑", 3, "emotion"),
    ("intensity", "concordance of intensity↑", 3, ""),
)
BY_REFERENCE: Final = (
    ("fd_dlib", "FD dlib↓", 3, "dlib"),
    ("lse_d", "LSE-D↓", 3, ""),
    ("lip_error", "LVE↓", 3, "landmarker"),
    ("csim", "CSIM↑", 3, "feeling"),
    ("read_after", "read as the reference↑", 3, "emotion"),
    ("faceres_cosine", "faceres cosine↑", 3, "faceres"),
    ("mouth_change", "mouth↓", 4, "landmarker"),
)
"""of intra-ID and cross-ID: the papers' three (LVE beside LSE-D), and what else an edit owes"""
TITLES: Final = {
    "wear": "Wearing an emotion",
    "compare": "Before and after",
    "intra": "Intra-ID",
    "cross": "Cross-ID",
    "read": "Reading emotions",
}
MARK: Final = "†"
NOTES: Final = (
    "(a to b): 95 %, people drawn anew.",
    f"{MARK}n/d: a Frechet distance of n faces in d dimensions, too few to tell their spread; it "
    "compares with rows of the same n alone.",
    "Lengths are in distances of the outer eye corners.",
)
CELL_PX: Final = 200
MAX_ROWS: Final = 16
"""of a sheet"""

Table = tuple[str, list[list[str]]]
"""a title, and rows of cells, the first the headings"""


def tables(rows: Sequence[Row]) -> list[Table]:
    """All that there is to print."""
    out = []
    for protocol in ("wear", "compare", "read"):
        own = [row for row in rows if row.protocol == protocol]
        for agreed in (False, True):
            part = [row for row in own if ("accuracy" in row.figures) == agreed]
            if part:
                again = ": read again, over all emotions" if agreed and protocol == "wear" else ""
                title = TITLES[protocol] + again
                out.append((title, _wide(part)))
    settings = [row for row in rows if row.protocol in ("intra", "cross")]
    if settings:
        out.append(("Over all emotions (as SSERD's table 1)", _averages(settings)))
        out.append(("Each emotion (as SSERD's supplement, table 1)", _by_emotion(settings)))
    return out


def as_text(table: Table) -> str:
    """Markdown."""
    title, (head, *body) = table
    lines = [f"**{title}**", "", "| " + " | ".join(head) + " |"]
    lines.append("| --- |" + " ---: |" * (len(head) - 1))
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in body]) + "\n"


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows for a terminal, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def write_rows(out: Path, rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> None:
    """results.json of a protocol that stands for itself. Raises MienError."""
    files.make_folder(out)
    with files.atomic_write(out / "results.json") as part:
        part.write_text(json.dumps({**facts, "rows": rows}, indent=1), encoding="utf-8")


def networks(rows: Sequence[Row], names: Mapping[str, str]) -> dict[str, str]:
    """What each figure in the rows rests on."""
    there = {name for row in rows for name, value in row.figures.items() if value is not None}
    uses = {figure: network for figure, _, _, network in (*COLUMNS, *BY_REFERENCE)}
    return {
        figure: names[uses[figure]] for figure in uses if figure in there and uses[figure] in names
    }


def rests_on(rows: Sequence[Row], names: Mapping[str, str], methods: Mapping[str, str]) -> str:
    """The same as text: figures by network, and what each method is."""
    by_network: dict[str, list[str]] = {}
    headings = {key: heading.rstrip("↓↑") for key, heading, *_ in (*COLUMNS, *BY_REFERENCE)}
    for figure, network in networks(rows, names).items():
        by_network.setdefault(network, []).append(headings[figure])
    parts = [f"{', '.join(figures)}: {network}" for network, figures in by_network.items()]
    ways = "; ".join(f"{name}: {what}" for name, what in methods.items())
    lines = [f"Methods. {ways}."] if ways else []
    if parts:
        lines.append(f"Networks. {'; '.join(parts)}.")
    return "\n".join([*lines, *NOTES])


def as_json(rows: Sequence[Row], facts: Mapping[str, Any]) -> str:
    """All figures, and what they rest on."""
    known = dict(facts) | {"rows": [asdict(row) for row in rows]}
    return json.dumps(known, indent=1, default=str)


def write(
    folder: Path, rows: Sequence[Row], facts: Mapping[str, Any], sheets: Mapping[str, Path]
) -> None:
    """results.json and report.html in a folder that exists."""
    with files.atomic_write(folder / "results.json") as part:
        part.write_text(as_json(rows, facts), encoding="utf-8")
    with files.atomic_write(folder / "report.html") as part:
        part.write_text(_page(rows, facts, sheets), encoding="utf-8")


class Sheets:
    """Faces side by side: one sheet per emotion, a column per method."""

    def __init__(self, methods: Sequence[str]) -> None:
        self._columns = ["", *methods]
        self._cells: dict[str, dict[str, dict[str, U8]]] = {}

    def show(self, take: Take, method: str, emotion: str, pixels: U8, face: FaceTrack) -> None:
        if method not in self._columns:
            return
        cells = self._cells.setdefault(emotion, {})
        if take.name in cells or len(cells) < MAX_ROWS:
            cells.setdefault(take.name, {})[method] = cut_out(pixels, face.landmarks)

    def write(self, folder: Path) -> dict[str, Path]:
        """PNGs by emotion."""
        out = {}
        for emotion, cells in self._cells.items():
            blank = np.full((CELL_PX, CELL_PX, 3), 255, np.uint8)
            head = [_label(name or "before") for name in self._columns]
            lines = [np.hstack(head)]
            for row in cells.values():
                lines.append(np.hstack([row.get(name, blank) for name in self._columns]))
            out[emotion] = folder / f"sheet-{emotion}.png"
            write_png(out[emotion], np.vstack(lines).astype(np.uint8))
        return out


def cut_out(pixels: U8, landmarks: F32, side: int = CELL_PX) -> U8:
    """The square around a face [side, side, 3]."""
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    scale = side / (float((high - low).max()) * 1.3)
    offset = side / 2 - scale * (low + high) / 2
    matrix = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
    return crop(pixels, matrix, side)


def write_png(path: Path, pixels: U8) -> None:
    import cv2

    _, data = cv2.imencode(".png", pixels)
    with files.atomic_write(path) as part:
        data.tofile(part)


def _label(text: str) -> U8:
    import cv2

    strip = np.full((26, CELL_PX, 3), 255, np.uint8)
    cv2.putText(strip, text, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def _wide(rows: Sequence[Row]) -> list[list[str]]:
    """A row for each method and emotion, the columns that have a figure."""
    columns = [column for column in COLUMNS if _worth_showing(column[0], rows)]
    out = [["emotion", "method", *(heading for _, heading, *_ in columns)]]
    order = list(dict.fromkeys(row.emotion for row in rows))
    for row in sorted(rows, key=lambda row: order.index(row.emotion)):
        cells = [_cell(row.figures, name, digits) for name, _, digits, _ in columns]
        out.append([row.emotion, row.method, *cells])
    return out


def _worth_showing(figure: str, rows: Sequence[Row]) -> bool:
    """Whether a column has figures; lost faces are told where there are any."""
    values = [row.figures.get(figure) for row in rows]
    return any(values) if figure == "lost" else any(value is not None for value in values)


def _averages(rows: Sequence[Row]) -> list[list[str]]:
    """A row for each setting and method."""
    columns = _there(rows)
    out = [["setting", "method", "edits", "people", *(head for _, head, *_ in columns)]]
    for row in rows:
        if row.emotion == AVERAGE:
            counts = [f"{row.figures[name]:.0f}" for name in ("takes", "people")]
            cells = [_cell(row.figures, key, digits) for key, _, digits, _ in columns]
            out.append([TITLES[row.protocol], row.method, *counts, *cells])
    return out


def _by_emotion(rows: Sequence[Row]) -> list[list[str]]:
    """A row for each setting, figure and method, a column for each emotion."""
    emotions = list(dict.fromkeys(row.emotion for row in rows if row.emotion != AVERAGE))
    methods = list(dict.fromkeys(row.method for row in rows))
    out = [["setting", "figure", "method", *emotions, AVERAGE]]
    for setting in dict.fromkeys(row.protocol for row in rows):
        for key, head, digits, _ in (*_there(rows), ("takes", "edits", 0, "")):
            for method in methods:
                found = [_find(rows, setting, method, name) for name in (*emotions, AVERAGE)]
                cells = [_cell(figures, key, digits, interval=False) for figures in found]
                out.append([TITLES[setting], head, method, *cells])
    return out


def _there(rows: Sequence[Row]) -> list[tuple[str, str, int, str]]:
    """The columns of intra-ID and cross-ID that have a figure."""
    return [
        column
        for column in BY_REFERENCE
        if any(row.figures.get(column[0]) is not None for row in rows)
    ]


def _find(rows: Sequence[Row], protocol: str, method: str, emotion: str) -> Mapping[str, Any]:
    for row in rows:
        if (row.protocol, row.method, row.emotion) == (protocol, method, emotion):
            return row.figures
    return {}


def _cell(figures: Mapping[str, Any], name: str, digits: int, interval: bool = True) -> str:
    """A figure, its interval, and a mark where a distance has too few faces for its dimensions."""
    if (value := figures.get(name)) is None:
        return "-"
    text = f"{value:.{digits}f}"
    if interval and (low := figures.get(f"{name}_low")) is not None:
        text += f" ({low:.{digits}f} to {figures[f'{name}_high']:.{digits}f})"
    faces, dimensions = (figures.get(f"{name}_{what}") for what in ("faces", "dimensions"))
    if faces is not None and dimensions is not None and faces <= dimensions:
        text += f" {MARK}{faces:.0f}/{dimensions:.0f}"
    return text


def _page(rows: Sequence[Row], facts: Mapping[str, Any], sheets: Mapping[str, Path]) -> str:
    parts = [
        "<!doctype html><meta charset=utf-8><title>Evaluation</title>",
        "<style>body{font:14px sans-serif;margin:2em}table{border-collapse:collapse;margin:1em 0}"
        "td,th{padding:.2em .6em;border-bottom:1px solid #ccc;text-align:right}"
        "td:first-child,th:first-child{text-align:left}img{max-width:100%}</style>",
        f"<h1>Evaluation</h1><p>{html.escape(str(facts.get('command', '')))}</p>",
    ]
    for title, (head, *body) in tables(rows):
        parts.append(f"<h2>{html.escape(title)}</h2><table><tr>")
        parts += [f"<th>{html.escape(cell)}" for cell in head]
        for row in body:
            parts.append("<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in row))
        parts.append("</table>")
    parts.append(f"<p>{html.escape(str(facts.get('rests_on', '')))}</p>")
    parts += [f"<p>left out: {html.escape(line)}</p>" for line in facts.get("left_out", [])]
    for emotion, path in sheets.items():
        name = html.escape(path.name)
        parts.append(f"<h2>{html.escape(emotion)}</h2><img src='{name}' alt='{name}'>")
    return "\n".join(parts) + "\n"
