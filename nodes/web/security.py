"""Who may speak to the server: host, origin, token, rate. Every refusal is one plain line."""

from __future__ import annotations

import hmac
import ipaddress
import math
import secrets
import time
from collections import OrderedDict
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

COOKIE = "mien_token"
BODY_MOST = 64 * 1024
CLIENTS_MOST = 1024
NEGOTIATIONS = (30.0, 3.0)  # burst, per second and address
REQUESTS = (200.0, 60.0)
WRONG_TOKENS = (10.0, 0.2)
NEGOTIATION_PATHS = ("/session", "/whip", "/whep")


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


class Guard:
    """The rules for one bound address; ``middleware`` applies them to every request."""

    def __init__(self, host: str, token: str, tls: bool) -> None:
        self.host = host
        self.loopback = is_loopback(host)
        self.token = token or ("" if self.loopback else secrets.token_urlsafe(18))
        self.scheme = "https" if tls else "http"
        self._negotiations = Buckets(*NEGOTIATIONS)
        self._requests = Buckets(*REQUESTS)
        self._wrong = Buckets(*WRONG_TOKENS)

    def middleware(self) -> Middleware:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            response: web.StreamResponse | None = self._refusal(request)
            if response is None:
                try:
                    response = await handler(request)
                except web.HTTPException as error:
                    response = _in_words(request, error)
            if not response.prepared:
                self._harden(request, response)
            return response

        return guard

    def _refusal(self, request: web.Request) -> web.Response | None:
        client = request.remote or ""
        wait_s = self._requests.take(client)
        if not wait_s and request.method == "POST" and request.path in NEGOTIATION_PATHS:
            wait_s = self._negotiations.take(client)
        if wait_s:
            seconds = math.ceil(wait_s)
            return refuse(
                429, f"too many requests; try again in {seconds} s", {"Retry-After": str(seconds)}
            )
        if self.loopback and not self._host_known(request):
            return refuse(
                403,
                f"the server answers to {self.host} only, not to '{_short(request.host)}'; "
                f"open it at {self.scheme}://{self.host}:{_port(request)}",
            )
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and origin.lower() != f"{self.scheme}://{request.host}".lower():
            return refuse(403, f"another page ('{_short(origin)}') may not drive this one")
        if (request.content_length or 0) > BODY_MOST:
            return refuse(
                413, f"the body is over {BODY_MOST // 1024} KiB; an SDP offer is smaller",
                {"Connection": "close"},
            )  # fmt: skip
        if self.token and request.path != "/healthz":
            return self._token_refusal(request, client)
        return None

    def _host_known(self, request: web.Request) -> bool:
        name = urlsplit(f"//{request.host}").hostname or ""
        return name == self.host or name == "localhost" or is_loopback(name)

    def _token_refusal(self, request: web.Request, client: str) -> web.Response | None:
        given = request.query.get("token") or request.cookies.get(COOKIE) or ""
        authorization = request.headers.get(hdrs.AUTHORIZATION, "")
        if authorization.lower().startswith("bearer "):
            given = authorization[7:].strip()
        if self._wrong.level(client) < 1:
            return refuse(429, "too many wrong tokens; wait a minute", {"Retry-After": "60"})
        if hmac.compare_digest(given.encode(), self.token.encode()):
            return None
        if given:
            self._wrong.take(client)
        return refuse(
            401,
            "a token is needed: open the address that was printed at the start, with ?token=...; "
            "WHIP and WHEP send it as 'Authorization: Bearer ...'",
            {"WWW-Authenticate": "Bearer"},
        )

    def _harden(self, request: web.Request, response: web.StreamResponse) -> None:
        socket = "wss" if self.scheme == "https" else "ws"
        headers = response.headers
        headers.setdefault(
            "Content-Security-Policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
            f"media-src 'self' blob:; connect-src 'self' {socket}://{_short(request.host)}; "
            "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        )
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Referrer-Policy", "no-referrer")
        headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        headers.setdefault("Permissions-Policy", "camera=(self), microphone=(self)")
        headers.setdefault("Cache-Control", "no-cache")
        if self.token and request.query.get("token") == self.token:
            response.set_cookie(
                COOKIE, self.token, httponly=True, samesite="Strict",
                secure=self.scheme == "https", path="/",
            )  # fmt: skip


def refuse(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    """A plain-text answer of one line."""
    return web.Response(status=status, text=text + "\n", headers=headers)


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
