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


class _Families:
    """What is collected so far, by name."""

    def __init__(self) -> None:
        self._by_name: dict[str, Any] = {}

    def gauge(self, name: str, doc: str, labels: dict[str, str], value: Any) -> None:
        from prometheus_client.core import GaugeMetricFamily

        self._add(GaugeMetricFamily, name, doc, labels, value)

    def count(self, name: str, doc: str, labels: dict[str, str], value: Any) -> None:
        from prometheus_client.core import CounterMetricFamily

        self._add(CounterMetricFamily, name, doc, labels, value)

    def quantiles(self, name: str, doc: str, labels: dict[str, str], values: Any) -> None:
        """Of percentiles in ms."""
        for key, quantile in QUANTILES.items():
            if isinstance(values, Mapping) and values.get(key) is not None:
                self.gauge(name, doc, {**labels, "quantile": quantile}, values[key] / 1000)

    def all(self) -> list[Any]:
        return list(self._by_name.values())

    def _add(self, kind: Any, name: str, doc: str, labels: dict[str, str], value: Any) -> None:
        if not isinstance(value, int | float):
            return
        family = self._by_name.get(name)
        if family is None:
            family = self._by_name[name] = kind(f"mien_{name}", doc, labels=list(labels))
        family.add_metric(list(labels.values()), float(value))


def _families(snapshot: Mapping[str, Any]) -> list[Any]:
    families = _Families()
    families.gauge("uptime_seconds", "Since the start", {}, snapshot.get("uptime_s"))
    for sink, figures in snapshot.get("end_to_end", {}).items():
        label, latency = {"sink": sink}, figures.get("latency_ms")
        families.quantiles("latency_seconds", "From capture to the sink", label, latency)
        families.gauge("fps", "At the sink", label, figures.get("fps"))
    for node, figures in snapshot.get("nodes", {}).items():
        _add_node(families, {"node": node}, figures)
    for edge, figures in snapshot.get("edges", {}).items():
        for key, doc in EDGE_COUNTS.items():
            families.count(f"edge_{key}", f"Messages {doc}", {"edge": edge}, figures.get(key))
    for process, figures in snapshot.get("processes", {}).items():
        label = {"process": process}
        for key, (name, doc, factor) in PROCESS_FIGURES.items():
            value = figures.get(key)
            if value is not None:
                families.gauge(f"process_{name}", doc, label, value * factor)
        for key, doc in PROCESS_COUNTS.items():
            families.count(f"process_{key}", doc, label, figures.get(key))
    return families.all()


def _add_node(families: _Families, label: dict[str, str], figures: Mapping[str, Any]) -> None:
    families.quantiles("process_seconds", "Time in process", label, figures.get("process_ms"))
    families.quantiles("age_seconds", "Age of what came in", label, figures.get("age_ms"))
    for key, doc in NODE_FIGURES.items():
        families.gauge(f"node_{key}", doc, label, figures.get(key))
    for key, doc in NODE_COUNTS.items():
        families.count(f"node_{key}", doc, label, figures.get(key))
    for name, value in figures.get("gauges", {}).items():
        families.gauge("node_gauge", "A node's own figures", {**label, "name": name}, value)
    for name, value in figures.get("counters", {}).items():
        families.count("node_counter", "A node's own counters", {**label, "name": name}, value)
    for name, values in figures.get("observed", {}).items():
        families.quantiles(
            "observed_seconds", "A node's own latencies", {**label, "name": name}, values
        )
    state = str((figures.get("status") or ["ok", ""])[0])
    families.gauge(
        "node_state", "1 for the state that the node is in", {**label, "state": state}, 1
    )
