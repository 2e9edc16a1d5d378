"""Who may speak to the server: host, origin, token, rate. Every refusal is one plain line."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from nodes.web.proxy import Proxy

logger = logging.getLogger(__name__)

COOKIE = "mien_token"
TOKEN_LEAST = 12  # characters: the right token always passes, so it mustn't be found by trying
BODY_MOST = 64 * 1024
BODY_S = 5.0  # a body is here by then
CLIENTS_MOST = 1024
NEGOTIATIONS = (30.0, 3.0)  # burst, per second and address
REQUESTS = (200.0, 60.0)
WRONG_TOKENS = (10.0, 0.2)
NEGOTIATION_PATHS = ("/session", "/whip", "/whep")
PLAYER_PATHS = ("/whip", "/whep")
REFERENCE_PATH = "/reference"  # takes pictures and clips, up to a size of its own
FOR_PLAYERS = {
    "Access-Control-Allow-Methods": "POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Accept-Patch, Retry-After",
    "Access-Control-Max-Age": "600",
    "Vary": "Origin",
}


def is_loopback(host: str) -> bool:
    """Whether a bind address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Buckets:
    """A token bucket per client address; the table is bounded."""

    def __init__(self, burst: float, per_s: float) -> None:
        self.burst, self.per_s = burst, per_s
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def level(self, client: str) -> float:
        level, at_s = self._levels.get(client, (self.burst, time.monotonic()))
        return min(self.burst, level + (time.monotonic() - at_s) * self.per_s)

    def take(self, client: str) -> float:
        """0 where the client may go on, else the seconds to wait."""
        level = self.level(client)
        if level < 1:
            return (1 - level) / self.per_s
        self._levels[client] = (level - 1, time.monotonic())
        self._levels.move_to_end(client)
        while len(self._levels) > CLIENTS_MOST:
            self._levels.popitem(last=False)
        return 0.0

    def give_back(self, client: str) -> None:
        """What was taken last cost nothing."""
        level, at_s = self._levels.get(client, (self.burst, 0.0))
        self._levels[client] = (level + 1, at_s)


class Guard:
    """The rules for one bound address; ``middleware`` applies them to every request."""

    def __init__(self, host: str, token: str, proxy: Proxy, let_in: bool = False) -> None:
        """``let_in``: another server has judged what comes, as a session's front has."""
        self.host = host
        self.let_in = let_in
        self.elsewhere: Callable[[], list[str]] = list
        """origins to which this server may send the page with its offers"""
        self.proxy = proxy
        self.loopback = is_loopback(host)
        alone = (self.loopback and not proxy.public) or let_in
        self.token = token or ("" if alone else secrets.token_urlsafe(18))
        self.scheme = proxy.scheme
        self.judged_elsewhere: tuple[str, ...] = ("/healthz",)
        """paths, and what lies below them, that the token neither opens nor closes"""
        self._negotiations = Buckets(*NEGOTIATIONS)
        self._requests = Buckets(*REQUESTS)
        self._wrong = Buckets(*WRONG_TOKENS)

    def middleware(self) -> Middleware:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            response: web.StreamResponse | None
            try:
                if self.let_in:
                    response = await handler(request)
                else:
                    response = self._refusal(request) or await self._within_rate(request, handler)
            except web.HTTPException as error:
                response = _in_words(request, error)
            except ConnectionError:
                raise  # nobody is there to be told
            except TimeoutError:
                text = f"the body wasn't here within {BODY_S:.0f} s"
                response = refuse(408, text, {"Connection": "close"})
            except web.RequestPayloadError:
                response = refuse(
                    400, "the body isn't what its headers say (length, chunks, encoding)"
                )
            except OSError:  # a name that no file can have
                response = refuse(404, f"there is nothing at {_short(request.path)}")
            except Exception:
                logger.exception("%s %s failed", _short(request.method), _short(request.path))
                response = refuse(500, "the engine failed at this request; its terminal says how")
            if not response.prepared:
                self._harden(request, response)
            return response

        return guard

    def _refusal(self, request: web.Request) -> web.Response | None:
        """Who may not speak here at all: it costs nothing, so nothing is counted against them."""
        if self.loopback and not self._host_known(request):
            return refuse(
                403,
                f"the server answers to {self.host} only, not to '{_short(request.host)}'; "
                f"open it at {self.scheme}://{bracketed(self.host)}:{_port(request)}, or name the "
                "address of a proxy by --public-url",
            )
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and self.is_foreign(request) and not self._is_player(request):
            return refuse(403, f"another page ('{_short(origin)}') may not drive this one")
        if origin is None and _is_part_of_another_page(request):
            return refuse(403, "another page may not load this; open it in a tab of its own")
        large = path_in_session(request.path) == REFERENCE_PATH
        if (request.content_length or 0) > BODY_MOST and not large:
            return refuse(
                413, f"the body is over {BODY_MOST // 1024} KiB; an SDP offer is smaller",
                {"Connection": "close"},
            )  # fmt: skip
        if self.token and request.method != hdrs.METH_OPTIONS and not self._elsewhere(request):
            return self._token_refusal(request)
        return None

    def _elsewhere(self, request: web.Request) -> bool:
        return any(
            request.path == path or request.path.startswith(path + "/")
            for path in self.judged_elsewhere
        )

    def is_foreign(self, request: web.Request) -> bool:
        """Whether it is a page of another origin that asks."""
        origin = request.headers.get(hdrs.ORIGIN)
        return origin is not None and origin.lower() not in self.proxy.origins(request)

    def _is_player(self, request: web.Request) -> bool:
        """Whether a page may ask from anywhere: it names the token, which no browser adds."""
        endpoint = "/" + path_in_session(request.path).split("/")[1]
        return bool(self.token) and endpoint in PLAYER_PATHS and (
            request.method == hdrs.METH_OPTIONS or bool(_given_token(request))
        )  # fmt: skip

    async def _within_rate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Requests are bounded per address; so are connections made, bad offers apart."""
        client = self.proxy.client(request)
        if wait_s := self._requests.take(client):
            return _too_many(wait_s)
        path = path_in_session(request.path).rstrip("/")
        if request.method != "POST" or path not in NEGOTIATION_PATHS:
            return await handler(request)
        if wait_s := self._negotiations.take(client):
            return _too_many(wait_s)
        made = False
        try:
            response = await handler(request)
            made = response.status < 400
            return response
        finally:
            if not made:
                self._negotiations.give_back(client)

    def _host_known(self, request: web.Request) -> bool:
        try:
            name = urlsplit(f"//{request.host}").hostname or ""
        except ValueError:
            return False
        known = (self.host, "localhost", self.proxy.public_host)
        return bool(name) and (name in known or is_loopback(name))

    def _token_refusal(self, request: web.Request) -> web.Response | None:
        given = _given_token(request) or request.cookies.get(COOKIE) or ""
        if hmac.compare_digest(_bytes(given), _bytes(self.token)):
            return None
        if given and self._wrong.take(self.proxy.client(request)):
            return refuse(429, "too many wrong tokens; wait a minute", {"Retry-After": "60"})
        return refuse(
            401,
            "a token is needed: open the address that was printed at the start, with ?token=...; "
            "WHIP and WHEP send it as 'Authorization: Bearer ...'",
            {"WWW-Authenticate": "Bearer"},
        )

    def _harden(self, request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        headers.setdefault(
            "Content-Security-Policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
            f"media-src 'self' blob:; connect-src 'self'{self._sockets(request)}; "
            "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        )
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Referrer-Policy", "no-referrer")
        headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        headers.setdefault("Permissions-Policy", "camera=(self), microphone=(self)")
        headers.setdefault("Cache-Control", "no-cache")
        if self.is_foreign(request) and self._is_player(request):
            headers.update(FOR_PLAYERS)
            headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = request.headers[hdrs.ORIGIN]
        if self.token and request.query.get("token") == self.token:
            response.set_cookie(
                COOKIE, self.token, httponly=True, samesite="Strict",
                secure=self.proxy.over_tls(request), path="/",
            )  # fmt: skip

    def _sockets(self, request: web.Request) -> str:
        """The page's WebSocket for browsers whose 'self' doesn't mean it, and workers of a cluster;
        policies take names and IPv4 addresses only."""
        pages = sorted(page for page in self.proxy.origins(request) if "[" not in page)
        sockets = [page.replace("http", "ws", 1) for page in pages]
        return "".join(" " + _short(place) for place in (*sockets, *self.elsewhere()))


def path_in_session(path: str) -> str:
    """A path without what names one of many sessions: /s/NAME/whip is /whip there."""
    parts = path.split("/", 3)
    return "/" + parts[3] if len(parts) == 4 and parts[1] == "s" else path


async def read_body(request: web.Request) -> bytes:
    """The body, within its deadline; the guard says what is wrong where it doesn't come."""
    async with asyncio.timeout(BODY_S):
        return await request.read()


def refuse(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    """A plain-text answer of one line."""
    return web.Response(status=status, text=text + "\n", headers=headers)


def _too_many(wait_s: float) -> web.Response:
    seconds = math.ceil(wait_s)
    return refuse(
        429, f"too many requests; try again in {seconds} s", {"Retry-After": str(seconds)}
    )


def _is_part_of_another_page(request: web.Request) -> bool:
    """Images, scripts and frames come without an origin; browsers say whose they are."""
    if request.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin"):
        return False
    return request.headers.get("Sec-Fetch-Dest") != "document"


def _given_token(request: web.Request) -> str:
    """What is sent on purpose, as the cookie isn't."""
    authorization = request.headers.get(hdrs.AUTHORIZATION, "")
    if authorization.lower().startswith("bearer "):
        return authorization[7:].strip()
    return str(request.query.get("token", ""))


def bracketed(host: str) -> str:
    """A host as it stands in an address."""
    return f"[{host}]" if ":" in host else host


def _bytes(text: str) -> bytes:
    return text.encode(errors="backslashreplace")  # headers may hold what isn't UTF-8


def _in_words(request: web.Request, error: web.HTTPException) -> web.Response:
    text = {
        404: f"there is nothing at {_short(request.path)}",
        405: f"{_short(request.method)} doesn't work at {_short(request.path)}",
        413: f"the body is over {BODY_MOST // 1024} KiB; an SDP offer is smaller",
    }.get(error.status, error.reason)
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    if "Location" in error.headers:
        headers["Location"] = error.headers["Location"]
    return refuse(error.status, text, headers)


def _short(text: str) -> str:
    kept = "".join(letter for letter in text if letter.isprintable() and letter not in "'\";,")
    return kept[:80]


def _port(request: web.Request) -> int:
    name = request.transport.get_extra_info("sockname") if request.transport else None
    return int(name[1]) if name else 0
