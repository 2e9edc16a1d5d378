"""A graph as an SVG picture: nodes left to right, a frame per process, edges with their types."""

from __future__ import annotations

import html
import re

from engine.graph_spec import Graph

_NODE_W, _NODE_H = 168, 54
_GAP_X, _GAP_Y, _PAD = 92, 30, 26
_TINTS = ("#dbeafe", "#dcfce7", "#fef3c7", "#fce7f3", "#ede9fe", "#e0f2fe")


_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escape(words: str) -> str:
    """Any words as XML text or in a quoted attribute; what XML can't hold becomes U+FFFD."""
    return html.escape(_NOT_IN_XML.sub("\ufffd", words))


def draw(graph: Graph) -> str:
    """SVG text."""
    column: dict[str, int] = {}
    for spec in graph.nodes.values():
        column[spec.name] = max(
            (column[source] + 1 for source, _ in spec.inputs.values()), default=0
        )
    processes = list(graph.processes) or ["main"]
    place: dict[str, tuple[int, int]] = {}
    bands: dict[str, tuple[int, int]] = {}
    top = _PAD
    for process in processes:
        used: dict[int, int] = {}
        for spec in graph.in_process(process):
            row = used.get(column[spec.name], 0)
            used[column[spec.name]] = row + 1
            place[spec.name] = (
                2 * _PAD + column[spec.name] * (_NODE_W + _GAP_X),
                top + 34 + row * (_NODE_H + _GAP_Y),
            )
        rows = max(used.values(), default=1)
        height = 34 + rows * (_NODE_H + _GAP_Y)
        bands[process] = (top, height)
        top += height + _PAD
    width = 4 * _PAD + (max(column.values()) + 1) * (_NODE_W + _GAP_X) - _GAP_X
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}"'
        f' font-family="system-ui, sans-serif" role="img" aria-label="{escape(graph.name)}">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
        ' markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#475569"/></marker></defs>',
        f'<rect width="{width}" height="{top}" fill="#ffffff"/>',
    ]
    for index, (process, (y, height)) in enumerate(bands.items()):
        host = f" on {graph.processes[process]}" if graph.processes.get(process) else ""
        parts.append(
            f'<rect x="{_PAD}" y="{y}" width="{width - 2 * _PAD}" height="{height}" rx="12"'
            f' fill="{_TINTS[index % len(_TINTS)]}"/>'
            f'<text x="{_PAD + 14}" y="{y + 22}" font-size="13" fill="#334155">'
            f"process {escape(process + host)}</text>"
        )
    for spec in graph.nodes.values():
        for index, (port, (source, output)) in enumerate(spec.inputs.items()):
            entry_y = (index + 1) * _NODE_H // (len(spec.inputs) + 1)
            parts.append(_edge(place[source], place[spec.name], entry_y, f"{output} → {port}"))
    for name, (x, y) in place.items():
        kind = graph.nodes[name].type_name.rpartition(":")[2]
        parts.append(
            f'<rect x="{x}" y="{y}" width="{_NODE_W}" height="{_NODE_H}" rx="9" fill="#ffffff"'
            ' stroke="#475569" stroke-width="1.4"/>'
            f'<text x="{x + _NODE_W / 2}" y="{y + 23}" text-anchor="middle" font-size="15"'
            f' font-weight="600" fill="#0f172a">{escape(name)}</text>'
            f'<text x="{x + _NODE_W / 2}" y="{y + 41}" text-anchor="middle" font-size="12"'
            f' fill="#64748b">{escape(kind)}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _edge(start: tuple[int, int], end: tuple[int, int], entry_y: int, label: str) -> str:
    x1, y1 = start[0] + _NODE_W, start[1] + _NODE_H // 2
    x2, y2 = end[0] - 2, end[1] + entry_y
    bend = max(40, (x2 - x1) // 2)
    return (
        f'<path d="M{x1} {y1} C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}" fill="none"'
        ' stroke="#475569" stroke-width="1.6" marker-end="url(#tip)"/>'
        f'<text x="{(x1 + x2) / 2}" y="{(y1 + y2) / 2 - 6}" text-anchor="middle" font-size="11"'
        ' fill="#334155" stroke="#ffffff" stroke-width="3" paint-order="stroke">'
        f"{escape(label)}</text>"
    )
