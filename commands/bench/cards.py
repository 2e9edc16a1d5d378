"""What NVIDIA's cards are doing while something is measured, as nvidia-smi says it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
from collections import defaultdict
from types import TracebackType
from typing import Any, Final, Self

EVERY_MS: Final = 500
ASKED: Final = ("index", "name", "utilization.gpu", "memory.used")


class Cards:
    """Looks while the block runs; nothing where there is no nvidia-smi."""

    def __init__(self) -> None:
        self._rows: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        self._names: dict[str, str] = {}
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        program = shutil.which("nvidia-smi")
        if program is not None:
            self._process = subprocess.Popen(
                [program, f"--query-gpu={','.join(ASKED)}", "--format=csv,noheader,nounits",
                 f"--loop-ms={EVERY_MS}"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                text=True,
            )  # fmt: skip
            self._reader = threading.Thread(target=self._read, args=(self._process,))
            self._reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._reader.join()
            self._process.wait()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                with contextlib.suppress(ValueError):  # "[N/A]", or half a line at the end
                    index, name, busy, memory = line.strip().split(", ")
                    row = float(busy), float(memory)
                    self._names[index] = name
                    self._rows[index].append(row)

    def figures(self) -> list[dict[str, Any]]:
        """Of each card: its name, its share in use [%] on average, its memory [MB] at most."""
        return [
            {
                "name": self._names[index],
                "percent": round(sum(busy for busy, _ in rows) / len(rows), 1),
                "memory_mb": max(memory for _, memory in rows),
            }
            for index, rows in sorted(self._rows.items())
        ]
