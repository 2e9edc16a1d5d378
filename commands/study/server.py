"""The study's page: what a rater sees by names of their own, and the votes that come back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from commands.study.sheet import QUESTIONS, Clip, Sheet, is_film
from commands.study.votes import Rater, Votes, digest, shuffled
from engine.errors import MienError, UsageError
from nodes.web.gate import Connection, Gate
from nodes.web.listening import listen, page_url, why_not_bound
from nodes.web.proxy import Proxy
from nodes.web.security import BODY_MOST, TOKEN_LEAST, Guard, read_body, refuse

STATIC: Final = Path(__file__).parent / "static"
SHARED: Final = Path(__file__).parents[2] / "nodes" / "web" / "static"
FILES: Final = {
    "study.js": STATIC,
    "study.css": STATIC,
    "theme.css": SHARED,
    "theme.js": SHARED,
    "dom.js": SHARED,
    "icon.svg": SHARED,
}
COOKIE: Final = "mien_rater"

Asked = TypeVar("Asked")


class Enter(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    again: bool = False


class Cast(msgspec.Struct, forbid_unknown_fields=True):
    """``choice`` is a place in the rater's own order of methods, from 0."""

    trial: str
    question: str
    choice: int


class StudyServer:
    """Serves one sheet. No name of a method, and no path that could hold one, leaves it."""

    def __init__(self, sheet: Sheet, votes: Votes, log: Callable[[str], None]) -> None:
        self._sheet, self._votes, self._log = sheet, votes, log
        self._gate = Gate()
        self._runner: web.AppRunner | None = None
        self._listening: asyncio.Server | None = None

    async def serve(self, host: str, port: int, token: str) -> str:
        """Bind; the page's address. Raises MienError."""
        if 0 < len(token) < TOKEN_LEAST:
            raise MienError(f"the token could be guessed: take {TOKEN_LEAST} characters or more")
        guard = Guard(host, token, Proxy("http"))
        app = web.Application(
            middlewares=[self._gate.middleware(), guard.middleware(), _in_words],
            client_max_size=BODY_MOST,
        )
        app.router.add_get("/", self._index)
        app.router.add_get("/static/{name}", self._static)
        app.router.add_get("/study", self._study)
        app.router.add_post("/rater", self._enter)
        app.router.add_post("/vote", self._cast)
        app.router.add_get("/media/{trial}/{slot}", self._media)
        runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            self._listening = await listen(
                lambda: Connection(runner.server, self._gate), host, port
            )
        except OSError as error:
            await runner.cleanup()
            raise MienError(why_not_bound(host, port, error)) from None
        self._runner = runner
        return page_url(guard, int(self._listening.sockets[0].getsockname()[1]))

    async def close(self) -> None:
        """Unbind."""
        if self._listening is not None:
            self._listening.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _index(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("token"):  # the cookie holds it from here on
            return web.Response(status=302, headers={"Location": "/"})
        return web.FileResponse(STATIC / "index.html")

    async def _static(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in FILES:
            raise web.HTTPNotFound
        return web.FileResponse(FILES[name] / name)

    async def _study(self, request: web.Request) -> web.Response:
        """The whole study as this rater sees it; without trials where they are unknown."""
        rater = self._rater(request)
        told: dict[str, Any] = {
            "title": self._sheet.title,
            "clips": len(self._sheet.clips),
            "questions": [{"key": one.key, "text": one.text} for one in QUESTIONS],
        }
        if rater is not None:
            told |= {"rater": rater.name, "trials": self._trials(rater)}
        return web.json_response(told)

    async def _enter(self, request: web.Request) -> web.Response:
        asked = await _body(request, Enter)
        rater = self._votes.enter(asked.name.strip(), asked.again)
        if rater is None:
            return refuse(409, "somebody of this name has begun")
        self._log(f"{rater.name} {'goes on' if asked.again else 'begins'}")
        response = web.json_response({"rater": rater.name})
        response.set_cookie(COOKIE, rater.key, httponly=True, samesite="Strict", max_age=90 * 86400)
        return response

    async def _cast(self, request: web.Request) -> web.Response:
        rater, asked = self._rater(request), await _body(request, Cast)
        clip = rater and self._clip(rater, asked.trial)
        if not rater or not clip:
            return refuse(404, "there is no such clip for you; load the page again")
        if asked.question not in {question.key for question in QUESTIONS}:
            return refuse(400, "there is no such question")
        if not 0 <= asked.choice < len(self._sheet.methods):
            return refuse(400, "there is no such choice")
        before = len(self._votes.all(rater))
        method = self._order(rater, clip)[asked.choice]
        self._votes.cast(rater, clip.name, asked.question, method, asked.choice)
        every = len(self._sheet.clips) * len(QUESTIONS)
        if before < every == len(self._votes.all(rater)):
            self._log(f"{rater.name} is done")
        return web.json_response({"kept": True})

    async def _media(self, request: web.Request) -> web.StreamResponse:
        rater = self._rater(request)
        clip = rater and self._clip(rater, request.match_info["trial"])
        if not rater or not clip:
            raise web.HTTPNotFound
        file = self._shown(rater, clip).get(request.match_info["slot"])
        if file is None or not file.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(file)

    def _trials(self, rater: Rater) -> list[dict[str, Any]]:
        voted = {
            (vote.clip, vote.question): self._place(rater, vote.clip, vote.method)
            for vote in self._votes.all(rater)
        }
        return [
            {
                "id": digest(rater, clip.name),
                "films": {slot: is_film(file) for slot, file in self._shown(rater, clip).items()},
                "votes": {
                    question.key: voted[clip.name, question.key]
                    for question in QUESTIONS
                    if (clip.name, question.key) in voted
                },
            }
            for clip in sorted(self._sheet.clips, key=lambda clip: digest(rater, clip.name))
        ]

    def _shown(self, rater: Rater, clip: Clip) -> dict[str, Path]:
        """Files by the names that the page has for them."""
        made = {
            str(place): clip.made[method] for place, method in enumerate(self._order(rater, clip))
        }
        return {"source": clip.source, "reference": clip.reference, **made}

    def _order(self, rater: Rater, clip: Clip) -> list[str]:
        return shuffled(self._sheet.methods, rater, clip.name)

    def _place(self, rater: Rater, clip: str, method: str) -> int:
        return shuffled(self._sheet.methods, rater, clip).index(method)

    def _clip(self, rater: Rater, trial: str) -> Clip | None:
        found = (clip for clip in self._sheet.clips if digest(rater, clip.name) == trial)
        return next(found, None)

    def _rater(self, request: web.Request) -> Rater | None:
        key = request.cookies.get(COOKIE, "")
        return self._votes.known(key) if key else None


@web.middleware
async def _in_words(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What a person can correct, in a line: a name that is none, a disk that is full."""
    try:
        return await handler(request)
    except MienError as error:
        return refuse(400 if isinstance(error, UsageError) else 503, str(error))


async def _body(request: web.Request, kind: type[Asked]) -> Asked:
    try:
        return msgspec.json.decode(await read_body(request), type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise UsageError(f"this request isn't the page's: {error}") from None
