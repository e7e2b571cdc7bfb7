"""Set-up calls for conformance tests, as JSON over HTTP on loopback. Never mounted without UTILITY_TEST_API."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from derms.errors import HeadroomError, NotFound
from telemetry import utility_services as services
from telemetry.protocols.ieee2030_5 import outbox
from telemetry.protocols.ieee2030_5.directory import RATES, RememberingDirectory
from telemetry.protocols.ieee2030_5.resources import OTHER_MODES, POWER_MODES
from telemetry.utility_models import EndDevice, UsagePoint, WireIdentity, WireRate

DEFAULT_S = 8


class TestApi:
    """The ASGI application of the set-up calls."""

    __test__ = False

    def __init__(self, directory: RememberingDirectory | None = None) -> None:
        self._directory = directory
        if not settings.UTILITY_TEST_API or settings.PRODUCTION:
            raise ImproperlyConfigured("the test API needs UTILITY_TEST_API, and no production")

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        """Answer one call."""
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        asked = parse_qs(scope["query_string"].decode())
        call = partial_call(scope["method"], scope["raw_path"].decode().split("?")[0], asked, body)
        status, text = await asyncio.to_thread(call)
        if self._directory is not None:
            self._directory.forget()
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": text.encode()})


def partial_call(method: str, path: str, asked: dict[str, list[str]], body: bytes) -> Callable[[], tuple[int, str]]:
    """Return the work of one call, to be done in a thread."""

    def work() -> tuple[int, str]:
        now = int(datetime.now(UTC).timestamp())
        try:
            with transaction.atomic():
                touched = act(method, path, asked, json.loads(body or b"{}") or {}, now)
                outbox.enqueue(touched, now)
            outbox.deliver(now)  # a set-up call is over when its subscribers know
        except NotFound as error:
            return 404, str(error)
        except (HeadroomError, KeyError, TypeError, ValueError) as error:
            return 400, repr(error)
        return 200, "{}"

    return work


def act(method: str, path: str, asked: dict[str, list[str]], body: dict[str, Any], now: int) -> list[str]:
    """Do one call; return the resources that changed."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    match [method, *parts]:
        case ["POST", "reset"]:
            return _reset(body, now)
        case ["POST", "teardown"]:
            pass
        case ["PUT", "end-devices", lfdi]:
            return _ensure(lfdi, body["client"], body.get("client_type"), now)
        case ["DELETE", "end-devices", lfdi]:
            EndDevice.objects.filter(lfdi=lfdi.upper(), own=False).delete()
            return ["/edev"]
        case ["DELETE", "end-devices", lfdi, "mirror-usage-points"]:
            UsagePoint.objects.filter(device__lfdi=lfdi.upper()).delete()
        case ["PUT", "poll-rates" | "post-rates", resource] if resource in RATES:
            WireRate.objects.update_or_create(resource=resource, defaults={"seconds": int(body["seconds"])})
            if parts[0] == "post-rates":
                UsagePoint.objects.update(post_rate=int(body["seconds"]))
            return ["/edev"] if resource == "EndDeviceList" else []
        case ["PUT", "clients", lfdi, "access"]:
            role = {"granted": bool(body["granted"]), "role": body["client"]["type"]}
            WireIdentity.objects.update_or_create(lfdi=lfdi.upper(), defaults=role)
        case [_, "end-devices", lfdi, *rest]:
            return _device(method, _known(lfdi), rest, asked, body, now)
        case _:
            raise NotFound("no such call", where=path)
    return []


def _reset(body: dict[str, Any], now: int) -> list[str]:
    EndDevice.objects.all().delete()
    WireIdentity.objects.all().delete()
    WireRate.objects.all().delete()
    host = urlsplit(body.get("notification_uri") or "").hostname
    for client in body["clients"]:
        if client["type"] == WireIdentity.AGGREGATOR:
            services.know_identity(client["cert_lfdi"], client["type"], [host] if host else [], now)
    return []


def _ensure(lfdi: str, client: dict[str, Any], kind: str | None, now: int) -> list[str]:
    aggregator = None
    if (kind or client["type"]) == WireIdentity.AGGREGATOR:
        aggregator = WireIdentity.objects.get(lfdi=client["cert_lfdi"])
    if not EndDevice.objects.filter(lfdi=lfdi.upper()).exists():
        services.register_device(lfdi, aggregator=aggregator, now=now, pin=client.get("pin"))
    return ["/edev"]


def _known(lfdi: str) -> EndDevice:
    row = EndDevice.objects.filter(lfdi=lfdi.upper(), own=False).first()
    if row is None:
        raise NotFound("no such device", where="lfdi")
    return row


def _device(
    method: str, device: EndDevice, rest: list[str], asked: dict[str, list[str]], body: dict[str, Any], now: int
) -> list[str]:
    root, primacy = f"/edev/{device.pk}", int(body.get("primacy") or 1)
    match [method, *rest]:
        case ["PUT", "fsas", name]:
            row = services.ensure_assignment(device, name, primacy)
            return [f"{root}/fsa", f"{root}/fsa/{row.pk}"]
        case ["PUT", "fsas", name, "programs"]:
            row = device.assignments.filter(name=name).first() or services.ensure_assignment(device, name, primacy)
            services.ensure_program(row, primacy)
            return [f"{root}/derp", f"{root}/fsa/{row.pk}/derp", f"{root}/fsa"]
        case ["PUT", "control-list"]:
            program = device.programs.first() or services.program_of(device, 1)
            return [f"{root}/derp", f"{root}/fsa/{program.assignment_id}/derp"]
        case ["PUT", "default-control"]:
            program = services.program_of(device, primacy)
            wanted = {
                name: body[name] for name in body if re.fullmatch(r"opMod\w+|setGradW", name) and body[name] is not None
            }
            services.set_default(program, wanted)
            return [f"{root}/derp/{program.pk}/dderc"]
        case ["POST", "controls"]:
            return _control(device, body, primacy, now)
        case ["DELETE", "controls"]:
            rows = services.cancel(device, now=now, latest=asked.get("scope", ["all"])[0] != "all")
            return sorted({f"{root}/derp/{row.program_id}/derc" for row in rows})
    raise NotFound("no such call", where="/".join(rest))


def _control(device: EndDevice, body: dict[str, Any], primacy: int, now: int) -> list[str]:
    program = services.program_of(device, primacy)
    start = now - 1
    if body["status"] == "scheduled":
        offset, last = (
            body.get("start_offset_seconds"),
            program.controls.filter(end__gt=now, cancelled=None).order_by("end").last(),
        )
        start = now + int(offset) if offset is not None else last.end if last else now + 2
    modes = {name: body[name] for name in body if name in POWER_MODES | OTHER_MODES and body[name] is not None}
    for name in ("opModFixedW", "rampTms"):
        if name in modes:
            modes[name] = int(modes[name])
    services.create_control(
        program, modes, start=start, duration=int(body.get("duration_seconds") or DEFAULT_S), now=now,
        pen=settings.UTILITY_PEN, randomize_start=body.get("randomizeStart_seconds"),
        randomize_duration=body.get("randomizeDuration_seconds"),
    )  # fmt: skip
    return [f"/edev/{device.pk}/derp/{program.pk}/derc"]
