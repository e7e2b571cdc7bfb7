"""A request of a 2030.5 client and who sent it; routes, lists and errors that all its resources share.

Identity and `now` are arguments; another's resource answers as a missing one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any
from urllib.parse import parse_qs

from django.conf import settings
from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from derms.errors import Conflict, HeadroomError, InputError, NotFound
from telemetry import hot_statements as hot
from telemetry.protocols.ieee2030_5 import resources, xml
from telemetry.protocols.ieee2030_5.directory import Directory, FreshDirectory
from telemetry.protocols.ieee2030_5.xml import PROFILES, Profile
from telemetry.utility_models import EndDevice, WireIdentity

LARGEST_PAGE = 255
FAILURES: tuple[tuple[type[Exception], int, int], ...] = (
    (Conflict, 409, 1),
    (NotFound, 404, 1),
    (PermissionError, 403, 1),
    (InputError, 400, 1),
    (HeadroomError, 503, 2),
)


@dataclass(frozen=True, slots=True)
class Request:
    """What came in; `now` is UTC and `lfdi` the verified certificate's."""

    method: str
    path: str
    lfdi: str
    now: datetime
    query: str = ""
    body: bytes = b""

    @property
    def seconds(self) -> int:
        """Return whole seconds UTC."""
        return int(self.now.timestamp())

    def page(self) -> Page:
        """Return what part of a list is asked for: the standard's defaults are s=0 and l=1 (2030.5 6.6)."""
        asked = parse_qs(self.query)
        found = {name: asked.get(name, [default])[0] for name, default in (("s", "0"), ("l", "1"), ("a", "0"))}
        if not all(text.isascii() and text.isdigit() and len(text) < 12 for text in found.values()):
            raise InputError("s, l and a are whole numbers", where="query")
        return Page(int(found["s"]), min(int(found["l"]), LARGEST_PAGE), int(found["a"]))


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list: from `start`, at most `limit`, only what was made or changed at `after` (seconds UTC) or later."""

    start: int
    limit: int
    after: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    touched: tuple[str, ...] = ()
    """Resources that changed: their subscribers are told."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: the certificate, its role, and the devices it may see."""

    lfdi: str
    identity: WireIdentity | None
    profile: Profile
    directory: Directory

    def rate(self, resource: str) -> int:
        """Return a resource's poll or post rate in seconds."""
        return self.directory.rate(resource)

    @property
    def aggregates(self) -> bool:
        """Say whether the client is an aggregator."""
        return self.identity is not None and self.identity.role == WireIdentity.AGGREGATOR

    def seen(self, through: str = "") -> Q:
        """Return the filter of devices that this client may see; `through` leads to the device, as in device__."""
        if self.aggregates:
            return Q(**{f"{through}aggregator": self.identity})
        return Q(**{f"{through}lfdi": self.lfdi, f"{through}aggregator": None})

    def who(self) -> tuple[str, Any]:
        """Return the same filter for plain SQL on a device named d, and its one parameter."""
        if self.aggregates:
            assert self.identity is not None
            return hot.BY_AGGREGATOR, self.identity.pk
        return hot.BY_LFDI, self.lfdi

    def device(self, number: str, *, own: bool | None = None) -> EndDevice:
        """Return a device by number; another's is missing."""
        rows = EndDevice.objects.filter(self.seen(), pk=int(number))
        found = (rows if own is None else rows.filter(own=own)).first()
        if found is None:
            raise NotFound("no such device", where="edev")
        return found


Handler = Callable[..., Answer]
ROUTES: list[tuple[re.Pattern[str], dict[str, Handler]]] = []


def route(pattern: str, *methods: str) -> Callable[[Handler], Handler]:
    """Register a handler for a path; numbers in it become arguments."""
    shape = re.compile(pattern.replace("#", r"([0-9]{1,12})"))

    def register(handler: Handler) -> Handler:
        table = next((found for known, found in ROUTES if known.pattern == shape.pattern), None)
        if table is None:
            ROUTES.append((shape, table := {}))
        table.update(dict.fromkeys(methods, handler))
        return handler

    return register


WELL_KNOWN = "/.well-known/csipaus"
FRESH = FreshDirectory()


def handle(request: Request, directory: Directory = FRESH) -> Answer:
    """Answer one request; every failure is a lawful Error document."""
    if request.path == WELL_KNOWN:
        answer = _well_known(request)
        return Answer(answer.status, "", answer.headers) if request.method == "HEAD" else answer
    profile = next(item for item in PROFILES if request.path.startswith(item.prefix + "/") or not item.prefix)
    try:
        answer = _dispatch(request, admit(request.lfdi, profile, directory))
        return Answer(answer.status, "", answer.headers, answer.touched) if request.method == "HEAD" else answer
    except (HeadroomError, PermissionError) as error:
        if isinstance(error, InputError) and error.where == "body":
            return failure(400, 0, profile)
        status, reason = next(found for kind, *found in FAILURES if isinstance(error, kind))
        return failure(status, reason, profile)


def _well_known(request: Request) -> Answer:
    """Say which schema versions are spoken behind which doors (CSIP-AUS v1.3), as JSON; before any registration."""
    if request.method not in ("GET", "HEAD"):
        return Answer(405, headers={"Allow": "GET, HEAD"})
    doors = {item.csipaus: {"dcap": [f"{item.prefix}/dcap"]} for item in PROFILES if item.csipaus}
    return Answer(200, json.dumps({"supportedSchemaVersions": doors}), {"Content-Type": "application/json"})


def _dispatch(request: Request, client: Client) -> Answer:
    path = request.path.removeprefix(client.profile.prefix)
    for shape, table in ROUTES:
        if found := shape.fullmatch(path):
            method = "GET" if request.method == "HEAD" else request.method
            if method in table:
                return table[method](request, client, *found.groups())
            allowed = sorted(table) + (["HEAD"] if "GET" in table else [])
            return Answer(405, headers={"Allow": ", ".join(allowed)})
    raise NotFound("no such resource", where="path")


def failure(status: int, reason: int, profile: Profile) -> Answer:
    """Return an Error document (2030.5 table 7: 0 format, 1 values, 2 resource limit)."""
    return Answer(status, xml.document("Error", {"reasonCode": reason}, profile))


def admit(lfdi: str, profile: Profile, directory: Directory = FRESH) -> Client:
    """Return the client behind a certificate; revoked ones, and unknown ones without in-band registration, are refused."""
    identity = directory.identity(lfdi)
    if not (settings.UTILITY_IN_BAND if identity is None else identity.granted):
        raise PermissionError
    return Client(lfdi, identity, profile, directory)


def shown(client: Client, kind: str, value: dict[str, Any]) -> Answer:
    """Return a resource as 200."""
    return Answer(200, xml.document(kind, value, client.profile))


def listing(
    request: Request, client: Client, kind: str, href: str, rows: Any, render: Callable[[Any], dict[str, Any]], *,
    polled: bool = True, subscribable: bool = False, changed: Sequence[str] = (),
) -> Answer:  # fmt: skip
    """Return one page of a list with its exact counts; past the end it is empty.

    `rows`: a query or a list. `changed`: the query's columns that say when a row was made or changed; `a` counts on them.
    """
    page = request.page()
    if page.after and changed:
        rows = rows.filter(reduce(or_, (Q(**{f"{name}__gte": page.after}) for name in changed)))
    shown_rows = list(rows[page.start : page.start + page.limit])
    if isinstance(rows, list):
        total = len(rows)
    elif shown_rows and len(shown_rows) < page.limit:
        total = page.start + len(shown_rows)  # the end is in sight: no second statement
    else:
        total = rows.order_by().count()
    value: dict[str, Any] = {
        "href": href, "all": total, "results": len(shown_rows),
        kind.removesuffix("List"): [render(row) for row in shown_rows],
    }  # fmt: skip
    if polled:
        value["pollRate"] = client.rate(kind)
    if subscribable:
        value["subscribable"] = resources.SUBSCRIBABLE
    return shown(client, kind, value)


def counted(model: Any, through: str, *where: Q) -> Coalesce:
    """Return an annotation: how many rows of a model point at this one; counted for the rows of the page only."""
    rows = model.objects.filter(*where, **{through: OuterRef("pk")}).order_by().values(through)
    return Coalesce(Subquery(rows.annotate(number=Count("pk")).values("number")), 0)


def created(client: Client, href: str, touched: Iterable[str] = ()) -> Answer:
    """Return 201 with its Location."""
    return Answer(201, headers={"Location": client.profile.prefix + href}, touched=tuple(touched))


def only(rows: Any) -> Any:
    """Return the one row there is; none is a missing resource."""
    found = rows.first()
    if found is None:
        raise NotFound("no such resource", where="path")
    return found
