"""The house stands: each package imports only what lies below it, and nothing goes in a circle."""

from __future__ import annotations

import re

from docs.layers import LAYERS, ROOT, drawing, imported, modules

ORDER = [name for name, _ in LAYERS]
KNOWN = modules()
FACE_WORDS = re.compile(
    r"\b(face|faces|landmark|landmarks|blendshape|blendshapes|emotion|emotions|mouth|lips|eyes)\b"
)


def test_nothing_is_imported_from_above() -> None:
    upward = [
        f"{name} imports {other}"
        for name, path in KNOWN.items()
        for other in imported(path, KNOWN)
        if ORDER.index(other.partition(".")[0]) > ORDER.index(name.partition(".")[0])
    ]
    assert not upward


def test_nothing_goes_in_a_circle() -> None:
    uses = {name: imported(path, KNOWN) for name, path in KNOWN.items()}
    # A recipe is read without torch; it only says, for types, that a trainer is what it makes.
    uses["training.recipe"].remove("training.loop")
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join([*way[way.index(name) :], name])
        if name not in done:
            for other in sorted(uses[name]):
                if not name.startswith(f"{other}."):  # a module's own package
                    visit(other, (*way, name))
            done.add(name)

    for name in uses:
        visit(name, ())


def test_the_engine_knows_no_face() -> None:
    said = [
        f"{path.relative_to(ROOT)}: {found[0]}"
        for name, path in KNOWN.items()
        if name.partition(".")[0] == "engine"
        for found in FACE_WORDS.finditer(path.read_text("utf-8"))
    ]
    assert not said


def test_the_drawing_is_that_of_the_imports() -> None:
    assert (ROOT / "docs" / "layers.svg").read_text("utf-8") == drawing()
