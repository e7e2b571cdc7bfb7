"""The listener: TLS 1.2 with client certificates, or a unix socket behind a proxy that does the TLS.

One event loop, one thread pool for the database, and three tasks: the outbox, revocations, and who was seen. It needs no
web process, no queue and no Redis, and is fed by the database alone.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import stat
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from django.db import DatabaseError, close_old_connections, connection
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from derms.clock import Clock, SystemClock
from derms.errors import InputError, LocalError
from telemetry import utility_services
from telemetry.progress import Progress
from telemetry.protocols.ieee2030_5 import codec, outbox, xml
from telemetry.protocols.ieee2030_5.directory import RememberingDirectory
from telemetry.protocols.ieee2030_5.handlers import Answer, Request, handle
from telemetry.utility_models import WireIdentity

LOG = logging.getLogger(__name__)
CCM8, GCM = "ECDHE-ECDSA-AES128-CCM8", "ECDHE-ECDSA-AES128-GCM-SHA256"
THREADS = 4
OUTBOX_S = 0.3
LEAVE_S = 2.0
TEND_S = 5.0
"""How often revocations are looked up and visits written: a revoked client is refused, and its socket cut, within this."""
BACKLOG = 2048
"""After an outage all clients come back at once: they queue for their handshake and are not turned away."""
CUT = 421
"""Behind a proxy the answer to a revoked certificate: the proxy closes the client's connection on it."""
CERTIFICATE_HEADER, ADDRESS_HEADER = b"x-forwarded-client-cert", b"x-real-ip"
Scope = MutableMapping[str, Any]
OPEN: dict[str, set[MutualTlsProtocol]] = {}
VISITS: dict[str, tuple[datetime, str, bytes]] = {}
"""Who came in since the last look: {LFDI: (when, from where, certificate in DER)}."""


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

    lfdi, address, certificate = "", "", b""

    def connection_made(self, transport: Any) -> None:
        """Hash the certificate once a connection."""
        tls = transport.get_extra_info("ssl_object")
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else ""
        self.certificate = (tls.getpeercert(binary_form=True) or b"") if tls is not None else b""
        self.lfdi = codec.lfdi_of(self.certificate) if self.certificate else ""
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
        if self.lfdi:
            VISITS[self.lfdi] = (datetime.now(UTC), self.address, self.certificate)


class ProxiedProtocol(HttpToolsProtocol):
    """Takes the identity from the proxy's header, on a unix socket only: nobody else can reach it there."""

    def connection_made(self, transport: Any) -> None:
        """Refuse what is no unix socket, whatever the configuration says."""
        if transport.get_extra_info("socket").family != socket.AF_UNIX:
            transport.abort()
            return
        super().connection_made(transport)

    def on_headers_complete(self) -> None:
        """Put the identity in the request's scope."""
        held = {name: value for name, value in self.headers if name in (CERTIFICATE_HEADER, ADDRESS_HEADER)}
        der = proxied(held.get(CERTIFICATE_HEADER, b""))
        lfdi = codec.lfdi_of(der) if der else ""
        self.scope.setdefault("extensions", {})["lfdi"] = {"value": lfdi}  # type: ignore[typeddict-item]
        if lfdi:
            VISITS[lfdi] = (datetime.now(UTC), held.get(ADDRESS_HEADER, b"").decode("latin-1")[:64], der)
        super().on_headers_complete()


@lru_cache(maxsize=20_000)
def proxied(header: bytes) -> bytes:
    """Return the certificate (DER) in a proxy's header, a PEM in percent-encoding; empty when it is none."""
    try:
        return x509.load_pem_x509_certificate(unquote(header.decode("ascii")).encode()).public_bytes(Encoding.DER)
    except ValueError:
        return b""


class UtilityApp:
    """The ASGI application of the listener."""

    def __init__(self, *, proxied: bool = False, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.directory = RememberingDirectory()
        self._proxied = proxied
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="2030.5")
        self._senders = ThreadPoolExecutor(outbox.AT_ONCE, thread_name_prefix="2030.5 outbox")
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
            scope["method"], scope["path"], lfdi, self._clock.now(), scope["query_string"].decode("latin-1"), body
        )
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._serve, request)

    def _serve(self, request: Request) -> Answer:
        """Answer a request and write the notifications it causes before the answer goes out."""
        try:
            if self._proxied and (identity := self.directory.identity(request.lfdi)) and not identity.granted:
                return Answer(CUT)
            answer = handle(request, self.directory)
            if answer.touched:
                outbox.enqueue(answer.touched, request.seconds)
            return answer
        except DatabaseError:
            LOG.exception("the database failed a request")
            close_old_connections()
            return Answer(503, headers={"Retry-After": "30"})

    async def _lifespan(self, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        await receive()
        self._tasks = [asyncio.create_task(self._deliver()), asyncio.create_task(self._tend())]
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for task in self._tasks:
            task.cancel()
        await self.leave()
        await send({"type": "lifespan.shutdown.complete"})

    async def leave(self) -> None:
        """End the threads; each gives its connection of the database back."""
        all_here = threading.Barrier(THREADS)
        leaving = [asyncio.get_running_loop().run_in_executor(self._pool, _leave, all_here) for _ in range(THREADS)]
        await asyncio.wait(leaving, timeout=2 * LEAVE_S)
        self._pool.shutdown(wait=False)
        self._senders.shutdown(wait=False, cancel_futures=True)

    async def _deliver(self) -> None:
        """Send what waits, for ever; a broken database makes it wait, nothing makes it end."""
        loop, sent = asyncio.get_running_loop(), set[asyncio.Task[None]]()
        while True:
            try:
                free = outbox.AT_ONCE - len(sent)
                now = int(self._clock.now().timestamp())
                for lane in await loop.run_in_executor(self._pool, outbox.due, now, free) if free else []:
                    task = asyncio.create_task(self._send(lane))
                    sent.add(task)
                    task.add_done_callback(sent.discard)
            except DatabaseError:
                LOG.exception("the outbox could not be read")
            await asyncio.sleep(OUTBOX_S)

    async def _send(self, lane: outbox.Lane) -> None:
        """Send a lane. Its threads wait for far ends and hold no connection of the database: those are few."""
        loop, begun = asyncio.get_running_loop(), time.monotonic()
        try:
            with closing(outbox.Line()) as line:
                for number, row in enumerate(lane):
                    outcome = await loop.run_in_executor(self._senders, outbox.send, row, line)
                    now = int(self._clock.now().timestamp())
                    if not await loop.run_in_executor(self._pool, outbox.settle_in, lane, number, outcome, begun, now):
                        return
        except DatabaseError:  # the claim runs out, and it is sent again
            LOG.exception("the outbox could not be written")

    async def _tend(self) -> None:
        """Forget and cut off whose access was taken away; write who was seen; show progress."""
        loop, progress = asyncio.get_running_loop(), Progress("utility", within_s=6 * TEND_S)
        while True:
            await asyncio.sleep(TEND_S)
            visits = {lfdi: VISITS.pop(lfdi) for lfdi in list(VISITS)}
            try:
                revoked = await loop.run_in_executor(self._pool, _tended, visits)
            except DatabaseError:
                LOG.exception("revocations could not be read, or visits written")
                self.directory.forget()  # who was revoked is not known: ask for everybody
                continue
            progress.move()
            self.directory.refuse(revoked)
            for lfdi in revoked:
                for protocol in list(OPEN.get(lfdi, ())):
                    protocol.transport.abort()


def _leave(all_here: threading.Barrier) -> None:
    """Give a thread's connection back; the barrier makes each thread of a pool do it."""
    with suppress(threading.BrokenBarrierError):
        all_here.wait(LEAVE_S)
    connection.close()


def _tended(visits: dict[str, tuple[datetime, str, bytes]]) -> list[str]:
    """Write the visits; return the identities whose access was taken away."""
    if visits:
        utility_services.saw(visits)
    return list(WireIdentity.objects.filter(granted=False).values_list("lfdi", flat=True))


def _factory(certificate: str, key: str, authorities: str, config: uvicorn.Config, default: Any) -> ssl.SSLContext:
    return context(certificate, key, authorities)


def server(app: UtilityApp, certificate: str, key: str, authorities: str, host: str, port: int) -> uvicorn.Server:
    """Return a server with TLS of its own that is ready to run."""
    config = uvicorn.Config(
        app, host=host, port=port, http=MutualTlsProtocol, ws="none", log_level="warning", lifespan="on",
        ssl_context_factory=partial(_factory, certificate, key, authorities), timeout_keep_alive=120, server_header=False,
        access_log=False, backlog=BACKLOG,
    )  # fmt: skip
    return uvicorn.Server(config)


def server_behind_proxy(app: UtilityApp, path: str) -> uvicorn.Server:
    """Return a server on a unix socket, for a proxy on this machine that ends the TLS and hands the certificate on.

    Raises InputError where others than the owner and its group could reach the socket: they could claim any certificate.
    """
    if Path(path).absolute().parent.stat().st_mode & stat.S_IRWXO:
        raise InputError("everybody can reach this socket", where=path, remedy="Put it in a folder of mode 0750.")
    config = uvicorn.Config(
        app, uds=path, http=ProxiedProtocol, ws="none", log_level="warning", lifespan="on",
        timeout_keep_alive=120, server_header=False, access_log=False, backlog=BACKLOG, proxy_headers=False,
    )  # fmt: skip
    return uvicorn.Server(config)
