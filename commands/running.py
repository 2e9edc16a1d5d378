"""What every command that runs a live graph shares: signals, news on the terminal, a last table."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from rich.table import Table
from rich.text import Text

from commands.tally import Tally
from engine import signals, terminal
from engine.graph_spec import Graph
from engine.loops import run_loop
from engine.settings import Settings
from engine.supervisor import Supervisor

console = terminal.console(stderr=True)


def run_supervised(
    graph: Graph,
    *,
    host: str = "",
    seconds: float = 0,
    on_ready: Callable[[Supervisor], Awaitable[None]] | None = None,
    settings: Settings | None = None,
) -> int:
    """Run a graph until it ends, Ctrl-C, or ``seconds`` are over. Raises MienError, and
    KeyboardInterrupt where it was stopped before it ran."""
    if not run_loop(_run(graph, host, seconds, on_ready, settings)):
        raise KeyboardInterrupt
    return 0


async def _run(
    graph: Graph,
    host: str,
    seconds: float,
    on_ready: Callable[[Supervisor], Awaitable[None]] | None,
    settings: Settings | None,
) -> bool:
    """Whether it ran, rather than being interrupted while it started."""
    news = Tally(print_news)
    supervisor = Supervisor(graph, host, news.add, settings)
    main = asyncio.current_task()
    assert main is not None
    started = False

    def interrupt() -> None:
        if started:
            supervisor.request_stop()
        else:
            main.cancel()

    with signals.told(interrupt):
        try:
            async with supervisor:
                started = True
                if on_ready is not None:
                    await on_ready(supervisor)
                try:
                    await asyncio.wait_for(supervisor.wait(), seconds or None)
                except TimeoutError:
                    supervisor.request_stop()
                metrics = supervisor.metrics()
        except asyncio.CancelledError:
            return False
        finally:
            news.end()
    if sys.stderr.isatty() or seconds:
        print_metrics(metrics)
    return True


def print_news(level: str, text: str) -> None:
    """What a person should know, as one line."""
    sign = Text(level, "red" if level == "error" else "yellow")
    console.print(Text.assemble(sign, f": {text}"))


def print_metrics(metrics: dict[str, Any]) -> None:
    """The table at exit."""
    console.print(f"{metrics['name']}, {metrics['uptime_s']:.0f} s")
    table = Table()
    for heading in ("node", "in", "out", "ms p50", "p95", "p99", "age p50", "p95", "errors"):
        table.add_column(heading, justify="left" if heading == "node" else "right")
    for name, node in metrics["nodes"].items():
        process, age = node["total"]["process_ms"], node["total"]["age_ms"]
        table.add_row(
            name,
            str(node["count_in"] or ""),
            str(node["count_out"] or ""),
            *(_ms(process.get(key)) for key in ("p50", "p95", "p99")),
            *(_ms(age.get(key)) for key in ("p50", "p95")),
            str(node["errors"] or ""),
        )
    console.print(table)
    lost = {
        name: edge for name, edge in metrics["edges"].items() if edge["dropped"] or edge["gaps"]
    }
    for name, edge in lost.items():
        console.print(f"{name}: {edge['dropped']} of {edge['sent']} dropped, {edge['gaps']} gaps")
    for name, process in metrics["processes"].items():
        counts = {
            "restarted {} times": process["restarts"],
            "hung {} times": process.get("hangs"),
            "{} messages refused": process.get("refused"),
            "{} reports dropped": process.get("reports_dropped"),
        }
        told = "".join(f", {text.format(number)}" for text, number in counts.items() if number)
        console.print(f"process {name}: {process['rss_mb']:.0f} MB{told}")


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
