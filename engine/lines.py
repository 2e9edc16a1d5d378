"""Where a table or a key stands in TOML text, so that a mistake can be shown."""

from __future__ import annotations

import re


def find_line(text: str, table: str, key: str = "", word: str = "") -> int | None:
    """The 1-based line of a key (or of the table's head) in TOML text, as well as can be told."""
    lines = text.splitlines()
    head = re.compile(r"\s*\[\s*" + r"\s*\.\s*".join(map(re.escape, table.split("."))) + r"\s*\]")
    start = next((i for i, line in enumerate(lines) if head.match(line)), None)
    if start is None:
        parent, _, last = table.rpartition(".")
        return find_line(text, parent, last, word or key) if parent else None
    if key:
        for index in range(start + 1, len(lines)):
            if re.match(r"\s*\[[^=]*\]\s*(#.*)?$", lines[index]):
                break
            if re.match(rf"\s*\"?{re.escape(key)}\"?\s*=", lines[index]):
                if word:
                    for inner in range(index, len(lines)):
                        if re.search(rf"\b{re.escape(word)}\b", lines[inner]):
                            return inner + 1
                        if re.match(r"\s*\[", lines[inner]):
                            break
                return index + 1
    return start + 1
