"""The listener: TLS 1.2 with client certificates, one thread pool for the database, one task for the outbox."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

import uvicorn
from django.db import DatabaseError, close_old_connections
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from derms.errors import LocalError
from telemetry.protocols.ieee2030_5 import codec, outbox, xml
from telemetry.protocols.ieee2030_5.handlers import Answer, Request, handle
from telemetry.utility_models import WireIdentity

LOG = logging.getLogger(__name__)
CCM8, GCM = "ECDHE-ECDSA-AES128-CCM8", "ECDHE-ECDSA-AES128-GCM-SHA256"
THREADS = 4
OUTBOX_S = 0.3
REVOKE_S = 20.0
Scope = MutableMapping[str, Any]
OPEN: dict[str, set[MutualTlsProtocol]] = {}


def context(certificate: str, key: str, authorities: str) -> ssl.SSLContext:
    """Return the server's TLS context: 1.2 only, CCM-8 then GCM, P-256, client certificate required (2030.5 6.7)."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1_2
    # OpenSSL 3.2 rates the 8-octet tag below level 1 and would drop the suite in silence.
    made.set_ciphers(f"{CCM8}:{GCM}:@SECLEVEL=0")
    if CCM8 not in {item["name"] for item in made.get_ciphers()}:
        raise LocalError(f"this OpenSSL ({ssl.OPENSSL_VERSION}) has no CCM-8", where="TLS")
    made.set_ecdh_curve("prime256v1")
    made.load_cert_chain(certificate, key)
    made.load_verify_locations(authorities)
    made.verify_mode = ssl.CERT_REQUIRED
    made.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    return made


class MutualTlsProtocol(HttpToolsProtocol):
    """Hands the LFDI of the verified certificate to the application, and can be cut off."""

    lfdi = ""

    def connection_made(self, transport: Any) -> None:
        """Hash the certificate once a connection."""
        tls = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        self.lfdi = codec.lfdi_of(certificate) if certificate else ""
        OPEN.setdefault(self.lfdi, set()).add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        OPEN.get(self.lfdi, set()).discard(self)
        if not OPEN.get(self.lfdi):
            OPEN.pop(self.lfdi, None)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Put the identity in the request's scope."""
        super().on_message_begin()
        self.scope.setdefault("extensions", {})["lfdi"] = {"value": self.lfdi}  # type: ignore[typeddict-item]


class UtilityApp:
    """The ASGI application of the listener."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="2030.5")
        self._tasks: list[asyncio.Task[None]] = []

    async def __call__(
        self, scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        """Answer a request, or start and stop with the server."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            answer = await self._answer(scope, receive)
            body = answer.body.encode()
            headers = {"Content-Type": xml.MEDIA_TYPE, "Content-Length": str(len(body))} | answer.headers
            if scope["method"] == "HEAD" or answer.status == 204:
                headers.pop("Content-Length")
            raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
            await send({"type": "http.response.start", "status": answer.status, "headers": raw})
            await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Callable[[], Awaitable[Any]]) -> Answer:
        lfdi = scope.get("extensions", {}).get("lfdi", {}).get("value", "")
        if not lfdi:
            return Answer(403)
        if any(name == b"content-encoding" for name, _ in scope["headers"]):
            return Answer(415)
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > xml.LARGEST_BODY:
                return Answer(413)
            if not message.get("more_body"):
                break
        request = Request(
            scope["method"], scope["path"], lfdi, datetime.now(UTC), scope["query_string"].decode("latin-1"), body
        )
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(serve_one, request))

    async def _lifespan(self, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        await receive()
        self._tasks = [asyncio.create_task(self._deliver()), asyncio.create_task(self._cut())]
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for task in self._tasks:
            task.cancel()
        self._pool.shutdown(wait=False)
        await send({"type": "lifespan.shutdown.complete"})

    async def _deliver(self) -> None:
        """Send what waits, for ever; a broken database makes it wait, nothing makes it end."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                rows = await loop.run_in_executor(self._pool, outbox.due, int(datetime.now(UTC).timestamp()))
                outcomes = await asyncio.gather(*(asyncio.to_thread(outbox.send, row) for row in rows))
                now = int(datetime.now(UTC).timestamp())
                for row, outcome in zip(rows, outcomes, strict=True):
                    await loop.run_in_executor(self._pool, outbox.settle, row, outcome, now)
            except DatabaseError:
                LOG.exception("the outbox could not be read or written")
            await asyncio.sleep(OUTBOX_S)

    async def _cut(self) -> None:
        """Close the sockets of certificates whose access was taken away."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(REVOKE_S)
            try:
                denied = await loop.run_in_executor(self._pool, _denied, list(OPEN))
            except DatabaseError:
                LOG.exception("revoked certificates could not be read")
                continue
            for lfdi in denied:
                for protocol in list(OPEN.get(lfdi, ())):
                    protocol.transport.abort()


def _denied(open_now: list[str]) -> list[str]:
    return list(WireIdentity.objects.filter(lfdi__in=open_now, granted=False).values_list("lfdi", flat=True))


def serve_one(request: Request) -> Answer:
    """Answer a request and write the notifications it causes before the answer goes out."""
    try:
        answer = handle(request)
        if answer.touched:
            outbox.enqueue(answer.touched, request.seconds)
        return answer
    except DatabaseError:
        LOG.exception("the database failed a request")
        close_old_connections()
        return Answer(503, headers={"Retry-After": "30"})


def _factory(certificate: str, key: str, authorities: str, config: uvicorn.Config, default: Any) -> ssl.SSLContext:
    return context(certificate, key, authorities)


def server(certificate: str, key: str, authorities: str, host: str, port: int) -> uvicorn.Server:
    """Return a server that is ready to run."""
    config = uvicorn.Config(
        UtilityApp(), host=host, port=port, http=MutualTlsProtocol, ws="none", log_level="warning", lifespan="on",
        ssl_context_factory=partial(_factory, certificate, key, authorities), timeout_keep_alive=120, server_header=False,
        access_log=False,
    )  # fmt: skip
    return uvicorn.Server(config)
