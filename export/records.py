"""Make what cards say of their data true again: nc is yes, no or unknown, as the licences permit.

    python -m export.records weights/rig weights/clean/visual

A card is rewritten where that changes it; nothing is trained or exported anew. "yes" stays; "no"
stays where no licence on the card calls rights unverified; whatever else is unknown.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

from engine.errors import MienError
from engine.files import atomic_write
from export.write_card import TERMS, with_terms
from inference.card import CARD
from inference.terms import together
from training import command


def main(argv: list[str] | None = None) -> int:
    """Rewrite cards; the exit code: 0 done, 1 failed, 2 wrong use."""
    parser = command.parser_of("export.records", __doc__)
    parser.add_argument("folders", type=Path, nargs="+", help="weights, each with its card")
    options = parser.parse_args(sys.argv[1:] if argv is None else argv)
    return command.run("export.records", lambda: _all(options.folders))


def _all(folders: list[Path]) -> None:
    for folder in folders:
        print(f"{folder}: {corrected(folder)}")


def corrected(folder: Path) -> str:
    """Rewrite a weight's card; what was changed. Raises MienError."""
    path = folder / CARD
    try:
        text = path.read_text(encoding="utf-8")
        card: dict[str, Any] = tomllib.loads(text)
        data = dict(card.get("data", {}))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValueError) as error:
        raise MienError(f"{path} cannot be read ({' '.join(str(error).split())})") from None
    before = card.get("nc")
    data = with_terms({"nc": before} | data)
    after = together(data[name] for name in TERMS if name in data)
    if (before, card.get("data")) == (after, data):
        return f"nc is {after}, as it says"
    with atomic_write(path) as part:
        part.write_text(_said(text, {"": {"nc": after}, "[data]": data}), encoding="utf-8")
    return f"nc was {before}, is {after}"


def _said(text: str, terms: dict[str, dict[str, Any]]) -> str:
    """A card with other ``terms`` by table; whatever else it has stays as it is written."""
    table, lines, placed = "", list[str](), set[tuple[str, str]]()
    for line in text.splitlines():
        name = line.partition(" = ")[0]
        if line.startswith("["):
            table = line
        elif name in TERMS and name in terms.get(table, {}):
            line = f'{name} = "{terms[table][name]}"'
            placed.add((table, name))
        lines.append(line)
    for table, said in terms.items():  # what the card had nothing of
        at = lines.index(table) + 1 if table else 1
        missing = [name for name in TERMS if name in said and (table, name) not in placed]
        lines[at:at] = [f'{name} = "{said[name]}"' for name in missing]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
