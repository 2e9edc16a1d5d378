"""The governor at work in a supervisor: figures in, parameters out, every half second."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import psutil

from engine.errors import MienError
from engine.governor import Governor, Plan, Seen
from engine.graph_spec import Graph

EVERY_S: Final = 0.5

Figures = tuple[dict[str, Any], dict[str, dict[str, int]]]
"""of nodes and of edges, by name"""


class Governing:
    """Looks at the figures of a running graph and sees to what its governor wants."""

    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        by_hand: Iterable[str],
        *,
        figures: Callable[[], Figures | None],
        put: Callable[[str, str, Any], Awaitable[Any]],
        tell: Callable[[str, str], None],
        now_s: Callable[[], float],
    ) -> None:
        """``figures``: None while a process is being started; ``put``: node, parameter, value."""
        configs = {name: spec.config for name, spec in graph.nodes.items()}
        self.governor = Governor(plan, configs, by_hand)
        self._graph = graph
        self._figures = figures
        self._put = put
        self._tell = tell
        self._now_s = now_s

    async def run(self) -> None:
        psutil.cpu_percent()  # counts from here
        while True:
            await asyncio.sleep(EVERY_S)
            self.look(psutil.cpu_percent() / 100)
            await self.see_to()

    def look(self, load: float) -> None:
        """Once: decide, and say so where the level changes."""
        figures = self._figures()
        if figures is None:
            self.governor.rest()
        elif self.governor.look(self._now_s(), self._seen(*figures, load)):
            self._tell("info", f"{self.governor.text or 'full picture'}: {self.governor.why}")

    async def see_to(self) -> None:
        """Set what isn't as it should be."""
        for (node, parameter), value in self.governor.wanted().items():
            if getattr(self._graph.nodes[node].config, parameter) != value:
                with contextlib.suppress(MienError):  # its process is being started: next time
                    await self._put(node, parameter, value)

    async def hold(self, level: int | None = None) -> dict[str, Any]:
        """Keep to a level, or None: choose again. Raises UsageError."""
        self.governor.hold(level, self._now_s())
        await self.see_to()
        return self.governor.describe()

    def _seen(self, nodes: dict[str, Any], edges: dict[str, dict[str, int]], load: float) -> Seen:
        plan = self.governor.plan
        sent = [row["sent"] for name, row in edges.items() if name.startswith(f"{plan.source}->")]
        came = [row["received"] for name, row in edges.items() if name.endswith(f"->{plan.sink}")]
        sink, port = plan.sink.split(".")
        before = nodes.get(self._graph.nodes[sink].inputs[port][0])
        ages = [nodes[sink]["observed"].get("capture_to_send", {}).get("p50", 0.0)]
        if before is not None:
            ages.append(before["age_ms"].get("p50", 0.0) + before["process_ms"].get("p50", 0.0))
        return Seen(max(sent, default=0), sum(came), max(ages), load)
