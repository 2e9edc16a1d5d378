"""Pictures and clips that sessions wear, on their way to workers: by the hash of their content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster.messages import FILE_MOST
from cluster.session_files import ContentStore, digest_of
from engine.errors import MienError
from engine.roles import Roles
from face.reference_file import shared

Row = Sequence[Any]
"""of a file: the digest of its content, its name, its share in a blend"""


def packed(graph: Mapping[str, Any], kept: ContentStore) -> list[Row]:
    """What stands for each file that the graph's references name; ``kept`` has it from here on.
    Raises MienError where one can't be read."""
    rows: list[Row] = []
    for line in _parameters(graph).get("path", "").splitlines():
        file, share = shared(line)
        try:
            data = file.read_bytes()
        except OSError as error:
            raise MienError(f"{file} can't be read: {error.strerror}") from None
        if len(data) > FILE_MOST:
            raise MienError(f"{file} is larger than {FILE_MOST >> 20} MB, the most that travels")
        kept.hold(digest_of(data))
        rows.append((kept.put(data), file.name, share))
    return rows


def unpack(
    graph: Mapping[str, Any], rows: Sequence[Row], contents: Mapping[str, bytes], folder: Path
) -> None:
    """Write them into ``folder``, and let the graph's references name them there."""
    lines = []
    for digest, name, share in rows:
        place = folder / digest / Path(name).name
        place.parent.mkdir(mode=0o700, exist_ok=True)
        place.touch(mode=0o600)
        place.write_bytes(contents[digest])
        lines.append(f"{place}:{share}")
    if lines:
        _parameters(graph)["path"] = "\n".join(lines)


def _parameters(graph: Mapping[str, Any]) -> dict[str, Any]:
    """Of the node that reads references, or of none."""
    node = graph["nodes"].get(Roles(graph).get("reference"), {})
    parameters: dict[str, Any] = node.get("parameters", {})
    return parameters
