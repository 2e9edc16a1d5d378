"""Which package imports which, drawn from the imports: `python -m docs.layers docs/layers.svg`."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

ROOT: Final = Path(__file__).resolve().parents[1]
LAYERS: Final = (
    ("engine", "the graph runtime; no word of faces"),
    ("media", "what is known of pictures and sound"),
    ("inference", "how a network is run"),
    ("face", "what is known of faces"),
    ("nodes", "one file each: sources, readers, face, sinks, web"),
    ("serving", "many people's sessions on one machine"),
    ("cluster", "work and sessions on several machines"),
    ("training", "networks and statistics from data"),
    ("export", "trained networks into weights"),
    ("commands", "the command line"),
    ("mien", "the public API"),
)
"""from below; each may import what is below it"""
WIDTH, ROW, BOX, LEFT, TOP = 980, 74, 50, 30, 30
BOX_WIDTH: Final = 470


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Every module of the layers, by name."""
    found = {}
    for package, _ in LAYERS:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of ``known`` that a file imports, wherever in it, for types alone too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{item.name}" for item in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            names |= {item.name for item in node.names}
    return {name for name in names if name in known and known[name] != path}


def used() -> set[tuple[str, str]]:
    """The pairs of packages of which the first imports from the second."""
    known = modules()
    return {
        (name.partition(".")[0], other.partition(".")[0])
        for name, path in known.items()
        for other in imported(path, known)
        if name.partition(".")[0] != other.partition(".")[0]
    }


def drawing() -> str:
    """The layers as SVG: the lowest at the bottom, a line to each that is used."""
    height = TOP * 2 + ROW * len(LAYERS)
    place = {name: height - TOP - ROW * (k + 1) for k, (name, _) in enumerate(LAYERS)}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="system-ui, sans-serif" role="img" aria-label="What packages import">',
        f'<rect width="{WIDTH}" height="{height}" fill="#f8fafc"/>',
    ]
    for above, below in sorted(used()):
        start, end = place[above] + BOX / 2, place[below] + BOX / 2
        x = LEFT + BOX_WIDTH
        reach = x + 40 + (end - start) * 0.75
        parts.append(
            f'<path d="M{x} {start} C{reach:.0f} {start} {reach:.0f} {end} {x + 6} {end}" '
            f'fill="none" stroke="#475569" stroke-opacity=".55" stroke-width="1.6">'
            f"<title>{above} imports {below}</title></path>"
        )
        parts.append(f'<circle cx="{x + 4}" cy="{end}" r="3.5" fill="#475569"/>')
    for name, says in LAYERS:
        y = place[name]
        parts.append(
            f'<rect x="{LEFT}" y="{y}" width="{BOX_WIDTH}" height="{BOX}" rx="9" fill="#ffffff" '
            'stroke="#475569" stroke-width="1.4"/>'
            f'<text x="{LEFT + 18}" y="{y + 31}" font-size="17" font-weight="600" '
            f'fill="#0f172a">{name}</text><text x="{LEFT + 128}" y="{y + 31}" font-size="14" '
            f'fill="#64748b">{escape(says)}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("python -m docs.layers FILE.svg")
    Path(sys.argv[1]).write_text(drawing(), encoding="utf-8")
