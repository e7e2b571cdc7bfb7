"""Sites by API: limits in force, the feed of limits, the curtailment ledger, and an operator's cap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import OuterRef, Subquery
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from derms.access import SIGNED_IN, access
from derms.errors import InputError, NotFound
from derms.limits import Limit
from interconnection import queries as desk
from interconnection import roles, states
from interconnection.api import etag, schemas
from interconnection.api.base import Api, page
from interconnection.api.fields import Kilowatts, Text
from interconnection.models import Agreement
from telemetry import curtailment, order_queries, order_services
from telemetry.control.grant import Outcome
from telemetry.control.orders import CAP
from telemetry.models import GrantRow

LONGEST_DAYS = 92
TOOK = Outcome.ACKNOWLEDGED.value
"""Only a grant that the device was read back to obey counts as in force."""


class SiteShown(serializers.Serializer[Any]):
    """A site and the limit in force at it."""

    site = serializers.CharField()
    feeder = serializers.CharField()
    application = serializers.IntegerField()
    import_kw = serializers.FloatField()
    export_kw = serializers.FloatField()
    reason = serializers.CharField()
    until = serializers.CharField(allow_null=True)
    state = serializers.CharField()
    failsafe = serializers.DictField(child=serializers.FloatField())
    flexible = serializers.DictField(child=serializers.FloatField())


class LimitShown(serializers.Serializer[Any]):
    """A limit that was sent, and what explains it."""

    at = serializers.CharField()
    until = serializers.CharField()
    epoch = serializers.IntegerField()
    sequence = serializers.IntegerField()
    import_kw = serializers.FloatField()
    export_kw = serializers.FloatField()
    outcome = serializers.CharField()
    criterion = serializers.CharField()
    element = serializers.CharField()
    share = serializers.FloatField(allow_null=True)
    snapshot = serializers.CharField()


class DayShown(serializers.Serializer[Any]):
    """One day of the ledger."""

    day = serializers.CharField()
    hours = serializers.FloatField()
    limited_hours = serializers.FloatField()
    withheld_import_kwh = serializers.FloatField()
    withheld_export_kwh = serializers.FloatField()


class LedgerShown(serializers.Serializer[Any]):
    """The ledger, and what the agreement expected."""

    site = serializers.CharField()
    since = serializers.CharField()
    until = serializers.CharField()
    expected = serializers.DictField()
    limited_hours = serializers.FloatField()
    days = DayShown(many=True)


def agreements(user: Any) -> Any:
    """Return the agreements that a user may see, by their applications."""
    rows = Agreement.objects.select_related("offer__application__feeder")
    return rows.filter(offer__application__in=desk.applications(user))


def agreement(user: Any, site: str) -> Agreement:
    """Return a site's agreement; another's answers as a missing one."""
    found = agreements(user).filter(site=site).first()
    if found is None:
        raise NotFound(f"there is no site {site}", where="site", remedy="GET /api/v1/sites/ lists yours.")
    return found


def _kilowatts(limit: Limit) -> dict[str, float]:
    return {"import_kw": limit.import_w / 1000, "export_kw": limit.export_w / 1000}


def in_force(row: Agreement, now: datetime) -> dict[str, Any]:
    """Return a site with the limit that holds now: the last one it took while its lease runs, else the failsafe."""
    return _in_force(row, GrantRow.objects.filter(site=row.site, outcome=TOOK).first(), now)


def all_in_force(rows: Sequence[Agreement], now: datetime) -> list[dict[str, Any]]:
    """Return what `in_force` returns for each, in two statements."""
    newest = GrantRow.objects.filter(site=OuterRef("site"), outcome=TOOK).values("pk")[:1]
    asked = Agreement.objects.filter(pk__in=[row.pk for row in rows]).annotate(newest=Subquery(newest))
    numbers = [number for number in asked.order_by().values_list("newest", flat=True) if number is not None]
    found = {grant.site: grant for grant in GrantRow.objects.filter(pk__in=numbers)}
    return [_in_force(row, found.get(row.site), now) for row in rows]


def _in_force(row: Agreement, grant: GrantRow | None, now: datetime) -> dict[str, Any]:
    terms = row.terms
    until = grant.at + timedelta(seconds=grant.ttl_s) if grant is not None else now
    shown: dict[str, Any] = {"site": row.site, "feeder": terms.feeder, "application": row.offer.application_id}
    if grant is not None and until > now:
        limit, reason, end = Limit(grant.import_w, grant.export_w), _reason(grant), until.isoformat()
    else:
        limit, reason, end = terms.failsafe, "failsafe: no lease runs", None
    return shown | _kilowatts(limit) | {
        "reason": reason, "until": end, "state": row.offer.application.state,
        "failsafe": _kilowatts(terms.failsafe), "flexible": _kilowatts(terms.flexible),
    }  # fmt: skip


def _reason(grant: GrantRow) -> str:
    reason = grant.reason
    return f"{reason.get('criterion', '')} {reason.get('element', '')}".strip() or "none"


def _limit(grant: GrantRow) -> dict[str, Any]:
    reason = grant.reason
    share = reason.get("share")
    return {
        "at": grant.at.isoformat(), "until": (grant.at + timedelta(seconds=grant.ttl_s)).isoformat(),
        "epoch": grant.epoch, "sequence": grant.sequence, **_kilowatts(Limit(grant.import_w, grant.export_w)),
        "outcome": grant.outcome,
        "criterion": str(reason.get("criterion") or ""), "element": str(reason.get("element") or ""),
        "share": None if share is None else float(share), "snapshot": str(reason.get("snapshot") or ""),
    }  # fmt: skip


@access(own_login=True, get=SIGNED_IN)
class SiteList(Api):
    """Sites with an agreement."""

    scopes = {"GET": "sites:read"}

    @extend_schema(operation_id="sites_list", responses=schemas.paged("Site", SiteShown), parameters=schemas.CURSOR)
    def get(self, request: Request) -> Response:
        """Return a page of the sites that you may see, each with the limit in force now."""
        now = timezone.now()
        rows = agreements(request.user).exclude(offer__application__state__in=states.FINAL)
        return page(self, request, rows, lambda row: in_force(row, now), ordering=("-accepted", "-id"))


@access(own_login=True, get=SIGNED_IN)
class SiteDetail(Api):
    """One site."""

    scopes = {"GET": "sites:read"}

    @extend_schema(operation_id="sites_read", responses=SiteShown)
    def get(self, request: Request, site: str) -> Response:
        """Return the limit in force now, why, and until when."""
        return etag.tagged(in_force(agreement(request.user, site), timezone.now()), request)


@access(own_login=True, get=SIGNED_IN)
class SiteLimits(Api):
    """The feed of limits."""

    scopes = {"GET": "sites:read"}

    @extend_schema(operation_id="sites_limits", responses=schemas.paged("Limit", LimitShown), parameters=schemas.CURSOR)
    def get(self, request: Request, site: str) -> Response:
        """Return a page of the limits that were sent, newest first: element, share and snapshot explain each."""
        agreement(request.user, site)
        return page(self, request, GrantRow.objects.filter(site=site), _limit, ordering=("-id",))


def _day(request: Request, name: str, default: date) -> date:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        if not text.isascii() or len(text) != 10:
            raise ValueError
        day = date.fromisoformat(text)
    except ValueError as error:
        raise InputError("this is no day", where=name, remedy="Give YYYY-MM-DD.") from error
    if not date(2020, 1, 1) <= day <= date(2100, 12, 31):
        raise InputError("the date is not in 2020..2100", where=name)
    return day


@access(own_login=True, get=SIGNED_IN)
class SiteCurtailment(Api):
    """The curtailment ledger."""

    scopes = {"GET": "sites:read"}

    @extend_schema(
        operation_id="sites_curtailment", responses=LedgerShown,
        parameters=[
            OpenApiParameter("since", {"type": "string", "format": "date"}),
            OpenApiParameter("until", {"type": "string", "format": "date"}, description="The first day that is left out."),
        ],
    )  # fmt: skip
    def get(self, request: Request, site: str) -> Response:
        """Return by UTC day what limits withheld below the flexible limit, beside what the agreement expected."""
        row = agreement(request.user, site)
        now = timezone.now()
        until = _day(request, "until", now.date() + timedelta(days=1))
        since = _day(request, "since", until - timedelta(days=31))
        if not timedelta() < until - since <= timedelta(days=LONGEST_DAYS):
            raise InputError(f"ask for 1 to {LONGEST_DAYS} days", where="since", remedy="since is before until.")
        terms = row.terms
        start = max(datetime.combine(since, datetime.min.time(), UTC), row.accepted)
        end = min(datetime.combine(until, datetime.min.time(), UTC), now)
        days = (
            curtailment.ledger(_lent(site, start, end), terms.failsafe, terms.flexible, start, end) if start < end else []
        )
        expected = terms.curtailment
        return Response(
            {
                "site": site, "since": since.isoformat(), "until": until.isoformat(),
                "expected": asdict(expected),
                "limited_hours": round(sum(day.limited_hours for day in days), 3),
                "days": [
                    {
                        "day": day.day.isoformat(), "hours": round(day.hours, 3),
                        "limited_hours": round(day.limited_hours, 3),
                        "withheld_import_kwh": round(day.import_wh / 1000, 3),
                        "withheld_export_kwh": round(day.export_wh / 1000, 3),
                    }
                    for day in days
                ],
            }
        )  # fmt: skip


def _lent(site: str, start: datetime, end: datetime) -> Any:
    rows = GrantRow.objects.filter(site=site, outcome=TOOK, at__lt=end)
    before = rows.filter(at__lt=start).order_by("-at", "-id").first()
    inside = rows.filter(at__gte=start).order_by("at", "id").iterator(chunk_size=2000)
    for grant in [*([before] if before is not None else []), *inside]:
        yield curtailment.Lent(grant.at, grant.ttl_s, Limit(grant.import_w, grant.export_w))


class CapForm(serializers.Serializer[Any]):
    """A cap: how much, why, for how long."""

    import_kw = Kilowatts(source="import_w")
    export_kw = Kilowatts(source="export_w")
    reason = Text(max_length=300)
    minutes = serializers.IntegerField(min_value=1, max_value=7 * 24 * 60)


class CapsShown(serializers.Serializer[Any]):
    """The caps on a site."""

    site = serializers.CharField()
    feeder = serializers.CharField()
    caps = serializers.ListField(child=serializers.DictField())


@access(own_login=True, get=roles.UTILITY, post=(roles.OPERATOR,))
class SiteCap(Api):
    """Caps of the control room: they only ever lower."""

    scopes = {"GET": "sites:read", "POST": "limits:write"}

    @extend_schema(operation_id="sites_caps", responses=CapsShown)
    def get(self, request: Request, site: str) -> Response:
        """Return the caps in force on a site (or on its whole feeder), with the ETag that a new one needs."""
        return etag.tagged(_caps(agreement(request.user, site)), request)

    @extend_schema(
        operation_id="sites_cap", request=CapForm, responses={201: CapsShown},
        parameters=[schemas.ONCE, schemas.if_match()],
    )  # fmt: skip
    def post(self, request: Request, site: str) -> Response:
        """Cap a site from now on for some minutes; one person may lower, nobody raises by API."""
        row = agreement(request.user, site)
        etag.must_match(request, _caps(row))
        form = CapForm(data=request.data)
        form.is_valid(raise_exception=True)
        asked, now = form.validated_data, timezone.now()
        order_services.cap_site(
            row.terms.feeder, site, Limit(asked["import_w"], asked["export_w"]), by=str(request.user),
            reason=asked["reason"], now=now, expires=now + timedelta(minutes=asked["minutes"]),
        )  # fmt: skip
        return etag.tagged(_caps(row), status=201)


def _caps(row: Agreement) -> dict[str, Any]:
    feeder = row.terms.feeder
    orders = order_queries.in_force(feeder, timezone.now()).filter(kind=CAP, site__in=("", row.site)).order_by("id")
    return {
        "site": row.site, "feeder": feeder,
        "caps": [
            {
                "id": order.pk, "by": order.by, "reason": order.reason,
                "import_kw": (order.import_w or 0) / 1000, "export_kw": (order.export_w or 0) / 1000,
                "expires": None if order.expires is None else order.expires.isoformat(),
            }
            for order in orders
        ],
    }  # fmt: skip
