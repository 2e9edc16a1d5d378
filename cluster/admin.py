"""For who runs the cluster: workers beside sessions, and one that is drained; /metrics, too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from cluster.sessions import FarSessions
from engine.errors import MienError
from nodes.web.security import refuse
from serving.admin import Admin
from serving.places import Places


class ClusterAdmin(Admin):
    """The same routes, with POST /admin/workers/NUMBER/drain."""

    def __init__(self, sessions: FarSessions, places: Places, token: str) -> None:
        super().__init__(sessions, places, token)
        self._far = sessions

    def add_routes(self, app: web.Application) -> None:
        super().add_routes(app)
        drain = self._asked(self._drain_worker)
        app.router.add_post("/admin/workers/{number}/drain", drain)

    async def _drain_worker(self, request: web.Request) -> web.Response:
        """Its sessions move to others, and it ends; the answer comes once they have."""
        worker = self._far.workers.by_name.get(f"worker {request.match_info['number']}")
        if worker is None or worker not in self._far.workers.there:
            return refuse(404, "there is no worker of that number, or it has ended")
        try:
            await self._far.drain(worker)
        except MienError as error:
            return refuse(409, str(error))
        return web.Response(status=204)

    def state(self) -> dict[str, Any]:
        workers = list(self._far.workers.by_name.values())
        return super().state() | {
            "workers": [
                {
                    "number": int(worker.name.rpartition(" ")[2]),
                    "state": worker.state,
                    "sessions": len(worker.taken),
                    "places": worker.most,
                    "free": worker.free,
                }
                for worker in workers
            ],
            "devices": [
                {**worker.device, "device": f"{worker.name} {worker.device.get('device', '')}"}
                for worker in workers
                if worker.device
            ],
        }

    def families(self, state: dict[str, Any]) -> Iterable[Any]:
        """The signals of an autoscaler: mien_free, mien_waiting and these."""
        from prometheus_client.core import GaugeMetricFamily

        yield from super().families(state)
        family = GaugeMetricFamily("mien_workers", "Workers", labels=["state"])
        for name, count in Counter(row["state"] for row in state["workers"]).items():
            family.add_metric([name], count)
        yield family
