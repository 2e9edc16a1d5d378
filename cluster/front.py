"""The one address of a cluster's sessions: hands on to the worker that has each, or sends there."""

from __future__ import annotations

from aiohttp import hdrs, web

from cluster.admin import ClusterAdmin
from cluster.sessions import FarSessions
from cluster.workers import Workers
from nodes.web.options import Options
from serving.front import Front, NoPlaceError
from serving.places import Places

OFFERS = ("session", "whip", "whep")


class FarPlaces(Places):
    """As many as the workers carry."""

    def __init__(self, sessions: FarSessions, workers: Workers) -> None:
        self._workers = workers
        super().__init__(sessions.by_name, 0)

    @property
    def most(self) -> int:
        return self._workers.places

    @most.setter
    def most(self, most: int) -> None:
        """It isn't for others to say."""

    @property
    def free(self) -> int:
        return 0 if self.draining else self._workers.free


class ClusterFront(Front):
    """``redirects``: who can follow is sent to the worker itself (RFC 9725, section 4.5)."""

    def __init__(
        self, sessions: FarSessions, places: FarPlaces, admin_token: str = "", *, redirects: bool
    ) -> None:
        super().__init__(sessions, places, admin_token)
        self.admin = ClusterAdmin(sessions, places, self.admin.token)
        self._far = sessions
        self._redirects = redirects

    async def start(self, options: Options) -> None:
        """Bind. Raises MienError."""
        await super().start(options)
        if self._redirects:
            self.binding.guard.elsewhere = self._far.workers.origins

    async def _hand_on(
        self, request: web.Request, name: str, path: str, *, waits: bool
    ) -> web.Response:
        if self._follows(request, path):
            try:
                await self._session(name, waits=waits)
            except NoPlaceError as error:
                return error.response
            place = f"{self._far.by_name[name].url}/{path}"
            return web.Response(status=307, headers={hdrs.LOCATION: place})
        response = await super()._hand_on(request, name, path, waits=waits)
        if response.status == 503:
            self._far.suspect(name)
        return response

    async def _line(self, request: web.Request) -> web.StreamResponse:
        name, transport = request.match_info["name"], request.transport
        lines = self._far.lines[name]
        lines.add(transport)
        try:
            return await super()._line(request)
        finally:
            lines.discard(transport)
            if not lines:
                self._far.lines.pop(name, None)
            self._far.suspect(name)

    def _located(self, name: str, location: str) -> str:
        return location  # workers say it in full

    def _follows(self, request: web.Request, path: str) -> bool:
        """Whether a client is sent elsewhere with its offer: not a page of others, which may not be
        allowed to go there, and nobody who asks to be handed through."""
        foreign = self.binding.guard.is_foreign(request)
        offers = request.method == hdrs.METH_POST and path in OFFERS
        return self._redirects and offers and not foreign and "through" not in request.query
