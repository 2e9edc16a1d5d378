"""An HTTP server bound where its options say: guarded, gated, over TLS where it is asked for."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from engine.errors import MienError
from engine.files import check_source
from nodes.web.gate import Connection, Gate
from nodes.web.listening import listen, page_url, why_not_bound
from nodes.web.options import Options
from nodes.web.proxy import Proxy
from nodes.web.security import BODY_MOST, TOKEN_LEAST, Guard


class Binding:
    """One address at most; ``open`` binds it, ``close`` gives it back."""

    def __init__(self) -> None:
        self.options = Options()
        self.guard = Guard(self.options.host, "", Proxy("http"))
        self.gate = Gate()
        self._runner: web.AppRunner | None = None
        self._listening: asyncio.Server | None = None

    @property
    def bound(self) -> bool:
        return self._runner is not None

    @property
    def port(self) -> int:
        """The port that was really taken (``port`` 0 asks for a free one)."""
        if self._listening is None or self.options.socket:
            return self.options.port
        return int(self._listening.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """What a person opens; with the token where one is needed."""
        return page_url(self.guard, self.port)

    async def open(self, options: Options, add_routes: Callable[[web.Application], None]) -> None:
        """Bind as ``options`` say. Raises MienError where that can't be done."""
        if 0 < len(options.token) < TOKEN_LEAST:
            raise MienError(
                f"the token could be guessed: take {TOKEN_LEAST} characters or more, "
                "or leave --token out and one is made up"
            )
        tls = _tls(options)
        proxy = Proxy.parse("https" if tls else "http", options.public_url, options.trusted_proxies)
        self.options = options
        self.guard = Guard(options.host, options.token, proxy, let_in=bool(options.socket))
        app = web.Application(
            middlewares=[self.gate.middleware(), self.guard.middleware()],
            client_max_size=BODY_MOST,
        )
        add_routes(app)
        runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            self._listening = await self._listen(runner, tls)
        except OSError as error:
            await runner.cleanup()
            raise MienError(why_not_bound(options.host, options.port, error)) from None
        self._runner = runner

    async def _listen(self, runner: web.AppRunner, tls: ssl.SSLContext | None) -> asyncio.Server:
        def connection() -> Connection:
            return Connection(runner.server, self.gate)

        if self.options.socket:
            loop = asyncio.get_running_loop()
            return await loop.create_unix_server(connection, self.options.socket, backlog=64)
        return await listen(connection, self.options.host, self.options.port, tls)

    async def close(self) -> None:
        """Unbind."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


def _tls(options: Options) -> ssl.SSLContext | None:
    if bool(options.cert) != bool(options.key):
        raise MienError("TLS needs both files: --cert CERT.pem and --key KEY.pem")
    if not options.cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for path in (options.cert, options.key):
        check_source(Path(path))

    def no_phrase() -> str:
        raise MienError(
            f"{options.key} asks for a pass phrase, which nobody could type here; take it off: "
            f"openssl pkey -in {options.key} -out plain.pem"
        )

    try:
        context.load_cert_chain(options.cert, options.key, no_phrase)
    except FileNotFoundError:
        missing = options.key if Path(options.cert).is_file() else options.cert
        raise MienError(f"{missing}: there is no such file; --cert and --key take PEM") from None
    except (OSError, ssl.SSLError) as error:
        raise MienError(
            f"{options.cert} and {options.key} aren't a PEM certificate and its key "
            f"({getattr(error, 'reason', None) or error})"
        ) from None
    return context
