"""A worker's own HTTP server: only for sessions that the front has begun there.

Nobody is asked for a token: a session's name, which nobody can guess, is what lets one in, and no
cookie of anybody counts. So pages of the front may ask from their origin.
"""

from __future__ import annotations

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from nodes.web.options import Options
from nodes.web.security import FOR_PLAYERS, refuse
from serving.front import LINES, Front, NoPlaceError
from serving.session_host import SessionHandle


class WorkerFront(Front):
    """Routes of a worker's sessions."""

    async def start(self, options: Options) -> None:
        """Bind. Raises MienError."""
        await self.binding.open(options, self._add_routes)
        self.binding.guard.let_in = True

    def _add_routes(self, app: web.Application) -> None:
        app.middlewares.append(_for_other_origins)
        router = app.router
        for line in LINES:
            router.add_get(f"/s/{{name}}/{line}", self._line)
        router.add_route("*", "/s/{name}/{path:(?:session|whip|whep)(?:/.*)?}", self._signal)
        router.add_get("/s/{name}/{path:metrics|avatar}", self._signal)
        router.add_post("/s/{name}/{path:reference}", self._signal)

    async def _session(self, name: str, *, waits: bool) -> SessionHandle:
        session = self.sessions.by_name.get(name)
        if session is None or session.state == "ending":
            raise NoPlaceError(refuse(404, "there is no such session here"))
        await session.ready()
        return session


@web.middleware
async def _for_other_origins(request: web.Request, handler: Handler) -> web.StreamResponse:
    origin = request.headers.get(hdrs.ORIGIN)
    if request.method == hdrs.METH_OPTIONS and origin is not None:
        response: web.StreamResponse = web.Response(status=204)
    else:
        response = await handler(request)
    if origin is not None and not response.prepared:
        response.headers.update(FOR_PLAYERS)
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
    return response
