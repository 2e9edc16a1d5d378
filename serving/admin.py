"""For who runs the machine: sessions, load, end one, drain; a page, an API and Prometheus.

Asks for a token of its own, which no visitor has.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import psutil
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from engine.metrics import Latency
from nodes.web.security import refuse
from serving.device import Device
from serving.places import Places
from serving.session_host import SessionHost

STATIC: Final = Path(__file__).parent / "static"
COOKIE: Final = "mien_admin"
OWN: Final = ("/admin", "/metrics")
"""paths that the visitors' token neither opens nor closes"""


class Admin:
    """Routes below /admin, and /metrics. ``devices`` tells of the owners of shared networks."""

    def __init__(self, sessions: SessionHost, places: Places, token: str) -> None:
        self.token = token
        self.devices: list[Device] = []
        self._sessions = sessions
        self._places = places
        psutil.cpu_percent()  # counts from here

    def add_routes(self, app: web.Application) -> None:
        router = app.router
        router.add_get("/admin", self._asked(self._page))
        for name in ("admin.js", "admin.css"):
            router.add_get(f"/admin/{name}", self._asked(self._file))
        router.add_get("/admin/state", self._asked(self._state))
        router.add_delete("/admin/sessions/{number}", self._asked(self._end))
        router.add_post("/admin/drain", self._asked(self._drain))
        router.add_delete("/admin/drain", self._asked(self._drain))
        router.add_get("/metrics", self._asked(self._metrics))

    def _asked(self, handler: Handler) -> Handler:
        async def asked(request: web.Request) -> web.StreamResponse:
            given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")[2].strip()
            given = given or request.query.get("token", "") or request.cookies.get(COOKIE, "")
            if not hmac.compare_digest(given.encode(errors="replace"), self.token.encode()):
                return refuse(
                    401, "the admin's token is needed: open the address that was printed at the "
                    "start, or send 'Authorization: Bearer ...'", {"WWW-Authenticate": "Bearer"},
                )  # fmt: skip
            return await handler(request)

        return asked

    async def _page(self, request: web.Request) -> web.StreamResponse:
        if not request.query.get("token"):
            return web.FileResponse(STATIC / "admin.html")
        response = web.Response(status=302, headers={hdrs.LOCATION: "/admin"})
        response.set_cookie(
            COOKIE, self.token, httponly=True, samesite="Strict", path="/admin",
            secure=request.secure,
        )  # fmt: skip
        return response

    async def _file(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / request.path.rpartition("/")[2])

    async def _state(self, _: web.Request) -> web.Response:
        return web.json_response(self.state(), headers={"Cache-Control": "no-store"})

    async def _end(self, request: web.Request) -> web.Response:
        for session in list(self._sessions.by_name.values()):
            if str(session.number) == request.match_info["number"]:
                await self._sessions.end(session.name)
                return web.Response(status=204)
        return refuse(404, "there is no session of that number, or it has ended")

    async def _drain(self, request: web.Request) -> web.Response:
        """POST: let nobody new in; DELETE: do so again."""
        self._places.draining = request.method == hdrs.METH_POST
        return web.Response(status=204)

    def state(self) -> dict[str, Any]:
        """What there is, as plain data: no name, address or word of a visitor."""
        memory = psutil.virtual_memory()
        return {
            "sessions": self._sessions.figures(),
            "places": self._places.most,
            "free": self._places.free,
            "waiting": self._places.waiting,
            "draining": self._places.draining,
            "ended": dict(self._sessions.ended),
            "machine": {
                "cpu_percent": psutil.cpu_percent(),
                "cores": psutil.cpu_count(),
                "memory_percent": memory.percent,
            },
            "devices": [device.figures for device in self.devices],
        }

    def families(self, state: dict[str, Any]) -> Iterable[Any]:
        """What Prometheus is told of a state."""
        return families(state)

    async def _metrics(self, _: web.Request) -> web.Response:
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.registry import Collector

        state, told = self.state(), self.families

        class Snapshot(Collector):
            def collect(self) -> Iterable[Any]:
                return told(state)

        registry = CollectorRegistry()
        registry.register(Snapshot())
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": "text/plain; version=0.0.4"}
        )


def session_class(session: dict[str, Any]) -> str:
    """What a session is counted as: live, idle, or what it is going through."""
    if session["state"] != "running":
        return str(session["state"])
    return "live" if session.get("connected") else "idle"


def families(state: dict[str, Any]) -> Iterable[Any]:
    """Prometheus' figures, by class of session, never by session."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    def gauge(name: str, doc: str, rows: Mapping[str, float], label: str = "class") -> Any:
        family = GaugeMetricFamily(f"mien_{name}", doc, labels=[label])
        for key, value in rows.items():
            family.add_metric([key], value)
        return family

    sessions = state["sessions"]
    classes = Counter(session_class(session) for session in sessions)
    yield gauge("sessions", "Sessions", {"live": 0, "idle": 0, **classes})
    for key, name, factor in (
        ("pss_mb", "memory_bytes", 1 << 20), ("fps", "fps", 1), ("cpu_s", "cpu_seconds", 1),
    ):  # fmt: skip
        sums: dict[str, float] = {}
        for session in sessions:
            if session.get(key) is not None:
                kind = session_class(session)
                sums[kind] = sums.get(kind, 0.0) + session[key] * factor
        yield gauge(f"session_{name}", "Sum over the sessions of a class", sums)
    late = Latency()
    for session in sessions:
        if (figures := session.get("latency_ms")) and figures.get("p50") is not None:
            late.add(figures["p50"])
    quantiles = {key: value / 1000 for key, value in late.recent().items() if value is not None}
    yield gauge("session_latency_seconds", "Of the sessions' medians", quantiles, "quantile")
    for key in ("places", "free", "waiting"):
        yield GaugeMetricFamily(f"mien_{key}", f"Sessions: {key}", value=state[key])
    for key, value in state["ended"].items():
        yield CounterMetricFamily(
            f"mien_sessions_ended_{key}", f"Sessions ended: {key}", value=value
        )
    busy = state["machine"]["cpu_percent"] / 100
    yield GaugeMetricFamily("mien_machine_cpu_ratio", "Of all cores", value=busy)
    for device in state["devices"]:
        for network, row in device.get("networks", {}).items():
            family = CounterMetricFamily(
                "mien_inference_requests", "Answered, by network", labels=["device", "network"]
            )
            family.add_metric([device["device"], network], row["requests"])
            yield family
