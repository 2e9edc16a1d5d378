"""The engine's figures as Prometheus text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

QUANTILES = {"p50": "0.5", "p95": "0.95", "p99": "0.99"}
NODE_FIGURES = {
    "fps_in": "Messages taken per second",
    "fps_out": "Messages emitted per second",
    "queue": "Messages that wait",
}
NODE_COUNTS = {
    "count_in": "Messages taken",
    "count_out": "Messages emitted",
    "errors": "Failures of process",
    "restarts": "Times it was set up again",
}
EDGE_COUNTS = {"sent": "sent", "received": "received", "dropped": "replaced", "gaps": "missing"}
PROCESS_FIGURES = {
    "rss_mb": ("resident_bytes", "Resident memory", 1024 * 1024),
    "cpu_percent": ("cpu_ratio", "Processor time per second", 0.01),
}
PROCESS_COUNTS = {
    "restarts": "Times it was started again",
    "hangs": "Times it hung, whether it recovered or not",
    "refused": "Messages refused as malformed",
    "escaped": "Errors outside of nodes",
    "reports_dropped": "Reports that the supervisor didn't read",
}


def exposition(snapshot: Mapping[str, Any]) -> bytes:
    """The text for GET /metrics out of a snapshot of op ``metrics``."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class Snapshot(Collector):
        def collect(self) -> Iterable[Any]:
            return _families(snapshot)

    registry = CollectorRegistry()
    registry.register(Snapshot())
    return generate_latest(registry)


def _families(snapshot: Mapping[str, Any]) -> list[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    families: dict[str, Any] = {}

    def add(kind: Any, name: str, doc: str, labels: dict[str, str], value: Any) -> None:
        if not isinstance(value, int | float):
            return
        family = families.get(name)
        if family is None:
            family = families[name] = kind(f"mien_{name}", doc, labels=list(labels))
        family.add_metric(list(labels.values()), float(value))

    def quantiles(name: str, doc: str, labels: dict[str, str], values: Any) -> None:
        for key, quantile in QUANTILES.items():
            if isinstance(values, Mapping) and values.get(key) is not None:
                add(
                    GaugeMetricFamily, name, doc, {**labels, "quantile": quantile},
                    values[key] / 1000,
                )  # fmt: skip

    add(GaugeMetricFamily, "uptime_seconds", "Since the start", {}, snapshot.get("uptime_s"))
    for sink, figures in snapshot.get("end_to_end", {}).items():
        quantiles(
            "latency_seconds", "From capture to the sink", {"sink": sink}, figures.get("latency_ms")
        )
        add(GaugeMetricFamily, "fps", "At the sink", {"sink": sink}, figures.get("fps"))
    for node, figures in snapshot.get("nodes", {}).items():
        label = {"node": node}
        quantiles("process_seconds", "Time in process", label, figures.get("process_ms"))
        quantiles("age_seconds", "Age of what came in", label, figures.get("age_ms"))
        for key, doc in NODE_FIGURES.items():
            add(GaugeMetricFamily, f"node_{key}", doc, label, figures.get(key))
        for key, doc in NODE_COUNTS.items():
            add(CounterMetricFamily, f"node_{key}", doc, label, figures.get(key))
        for name, value in figures.get("gauges", {}).items():
            doc = "A node's own figures"
            add(GaugeMetricFamily, "node_gauge", doc, {**label, "name": name}, value)
        for name, value in figures.get("counters", {}).items():
            doc = "A node's own counters"
            add(CounterMetricFamily, "node_counter", doc, {**label, "name": name}, value)
        for name, values in figures.get("observed", {}).items():
            quantiles("observed_seconds", "A node's own latencies", {**label, "name": name}, values)
        state = figures.get("status") or ["ok", ""]
        add(
            GaugeMetricFamily, "node_state", "1 for the state that the node is in",
            {**label, "state": str(state[0])}, 1,
        )  # fmt: skip
    for edge, figures in snapshot.get("edges", {}).items():
        for key, doc in EDGE_COUNTS.items():
            add(
                CounterMetricFamily, f"edge_{key}", f"Messages {doc}", {"edge": edge},
                figures.get(key),
            )  # fmt: skip
    for process, figures in snapshot.get("processes", {}).items():
        for key, (name, doc, factor) in PROCESS_FIGURES.items():
            value = figures.get(key)
            if value is not None:
                add(
                    GaugeMetricFamily, f"process_{name}", doc, {"process": process}, value * factor
                )  # fmt: skip
        for key, doc in PROCESS_COUNTS.items():
            add(
                CounterMetricFamily, f"process_{key}", doc, {"process": process}, figures.get(key)
            )  # fmt: skip
    return list(families.values())
