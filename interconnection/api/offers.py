"""Offers: prepared, issued by a second person, accepted or declined. Every write names the state it saw (If-Match)."""

from __future__ import annotations

import json
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from derms.access import SIGNED_IN, access
from derms.errors import InputError, NotFound
from derms.limits import Limit
from interconnection import offer_options, queries, roles
from interconnection.api import desk_schemas, etag, schemas
from interconnection.api.base import Api
from interconnection.api.fields import Count, Day, Text
from interconnection.models import Application, Offer, Study
from interconnection.services import offer_editor
from interconnection.services import offers as services


def newest(user: Any, application: Application) -> Offer:
    """Return the newest offer: applicants see none before it is issued."""
    rows = application.offers.all()
    if not roles.sees_all(user):
        rows = rows.exclude(status=Offer.PREPARED)
    offer = rows.first()
    if offer is None:
        raise NotFound("there is no offer yet", where="offer", remedy="It follows the study.")
    return offer


def shown(offer: Offer) -> dict[str, Any]:
    """Return an offer: its document and where it stands."""
    return {
        "id": offer.pk,
        "status": offer.status,
        "open": offer.open,
        "kind": offer.kind,
        "valid_until": None if offer.valid_until is None else offer.valid_until.isoformat(),
        "study": offer.study_id,
        "sha256": offer.sha256,
        "terms": json.loads(offer.document),
    }


class Preparation(serializers.Serializer[Any]):
    """Which option of which study to offer, for how long, on what condition."""

    kind = serializers.ChoiceField(choices=sorted(offer_options.OFFERED), default="dynamic")
    study = Count(most=2**53, required=False)
    starts = Day(required=False)
    ends = Day(required=False, allow_null=True, default=None)
    valid_until = Day(required=False, allow_null=True, default=None)
    cap_hours = Count(least=0, most=8760, required=False)
    bridge_for = Text(max_length=200, required=False, allow_blank=True, default="")
    conditional_on = Count(most=2**53, required=False)


@access(own_login=True, get=SIGNED_IN, post=(roles.ENGINEER,))
class ApplicationOffer(Api):
    """The newest offer of an application."""

    scopes = {"GET": "applications:read", "POST": "offers:write"}
    engine = True

    @extend_schema(operation_id="offers_read", responses=schemas.Offer)
    def get(self, request: Request, number: int) -> Response:
        """Return the terms' document, its hash and the ETag that writes need."""
        return etag.tagged(shown(newest(request.user, queries.application(request.user, number))), request)

    @extend_schema(
        operation_id="offers_prepare", request=Preparation, responses={201: schemas.Offer}, parameters=[schemas.ONCE]
    )
    def post(self, request: Request, number: int) -> Response:
        """Prepare the offer that a study supports; a second person issues it."""
        application = queries.application(request.user, number)
        form = Preparation(data=request.data)
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        study = _study(application, asked.get("study"))
        starts = asked.get("starts", application.wanted)
        if asked["ends"] is not None and asked["ends"] <= starts:
            raise InputError("it ends before it starts", where="ends", remedy="Give a later day, or none.")
        other = None
        if "conditional_on" in asked:
            other = queries.application(request.user, asked["conditional_on"])
        edit = offer_editor.chosen(
            application, study, asked["kind"], starts=starts, ends=asked["ends"], valid_until=asked["valid_until"],
            cap_hours=asked.get("cap_hours"), bridge_for=asked["bridge_for"], conditional_on=other,
        )  # fmt: skip
        offer = offer_editor.prepare(application, study, edit, engineer=request.user)
        return etag.tagged(shown(offer), status=201)


def _study(application: Application, number: int | None) -> Study:
    rows = application.studies.filter(status=Study.DONE)
    study = rows.first() if number is None else rows.filter(pk=number).first()
    if study is None:
        raise InputError("there is no finished study of that number here", where="study", remedy="Run one first.")
    return study


@access(own_login=True, get=roles.UTILITY)
class ApplicationOptions(Api):
    """What may be offered."""

    scopes = {"GET": "applications:read"}

    @extend_schema(
        operation_id="offers_options", responses=desk_schemas.OfferOptions,
        parameters=[OpenApiParameter("study", {"type": "integer", "minimum": 1}, description="Default: the newest.")],
    )  # fmt: skip
    def get(self, request: Request, number: int) -> Response:
        """Return the options of a finished study side by side: firm, static, dynamic, volt-var, the upgrade."""
        application = queries.application(request.user, number)
        text = request.query_params.get("study")
        if text is not None and not (text.isascii() and text.isdigit() and len(text) < 16):
            raise InputError("this is no number", where="study")
        study = _study(application, None if text is None else int(text))
        found = [_option(item) for item in offer_editor.options(application, study)]
        return etag.tagged({"study": study.pk, "options": found}, request)


def _option(option: offer_options.Option) -> dict[str, Any]:
    def limit(item: Limit) -> dict[str, float]:
        return {"import_kw": item.import_w / 1000, "export_kw": item.export_w / 1000}

    return {
        "kind": option.kind, "title": option.title, "missing": option.missing, "firm": limit(option.firm),
        "flexible": limit(option.flexible), "energy_percent": dict(option.energy), "usd": option.usd,
        "months": option.months,
        "schedule_kw": {
            side: [[watts / 1000 for watts in row] for row in grid] for side, grid in option.schedule.items()
        },
    }  # fmt: skip


class OfferWrite(Api):
    """Base of writes to the newest offer."""

    scopes = {"POST": "offers:write"}

    def offer(self, request: Request, number: int) -> Offer:
        """Return the newest offer when the caller has seen it as it is: 428 without If-Match, 412 when stale."""
        found = newest(request.user, queries.application(request.user, number))
        etag.must_match(request, shown(found))
        return found


class TakeBack(serializers.Serializer[Any]):
    """Why."""

    reason = Text(max_length=500)


@access(own_login=True, post=(roles.ENGINEER, roles.APPROVER))
class OfferTakeBack(OfferWrite):
    """Take an offer back."""

    @extend_schema(
        operation_id="offers_take_back", request=TakeBack, responses=schemas.Offer,
        parameters=[schemas.ONCE, schemas.if_match()],
    )  # fmt: skip
    def post(self, request: Request, number: int) -> Response:
        """Take back an offer that waits or is open, with a reason: an open one sends the application back to its study."""
        offer = self.offer(request, number)
        form = TakeBack(data=request.data)
        form.is_valid(raise_exception=True)
        return etag.tagged(shown(services.take_back(offer, by=request.user, reason=form.validated_data["reason"])))


@access(own_login=True, post=(roles.APPROVER,))
class OfferIssue(OfferWrite):
    """Issue a prepared offer."""

    @extend_schema(
        operation_id="offers_issue", request=None, responses=schemas.Offer, parameters=[schemas.ONCE, schemas.if_match()]
    )
    def post(self, request: Request, number: int) -> Response:
        """Issue it as a second person."""
        return etag.tagged(shown(services.approve_offer(self.offer(request, number), approver=request.user)))


class Signature(serializers.Serializer[Any]):
    """What one agrees to, and the name typed under it."""

    sha256 = serializers.RegexField(r"^[0-9a-f]{64}$")
    typed_name = Text(max_length=120, required=False)


@access(own_login=True, post=(roles.APPLICANT,))
class OfferAccept(OfferWrite):
    """Accept the open offer."""

    @extend_schema(
        operation_id="offers_accept", request=Signature, responses={201: schemas.Agreement},
        parameters=[schemas.ONCE, schemas.if_match()],
    )  # fmt: skip
    def post(self, request: Request, number: int) -> Response:
        """Accept by naming the hash of the document that you agree to."""
        offer = self.offer(request, number)
        form = Signature(data=request.data)
        form.is_valid(raise_exception=True)
        if form.validated_data["sha256"] != offer.sha256:
            raise InputError(
                "the hash is not that of the offer", where="sha256", remedy="Read the offer again and name its sha256."
            )
        name = form.validated_data.get("typed_name") or request.user.get_full_name() or str(request.user)
        agreement = services.accept_offer(offer, applicant=request.user, typed_name=name)
        return Response(agreed(agreement), status=201)


def agreed(agreement: Any) -> dict[str, Any]:
    """Return an agreement as the API shows it."""
    return {
        "site": agreement.site,
        "sha256": agreement.sha256,
        "accepted": agreement.accepted.isoformat(),
        "typed_name": agreement.typed_name,
        "terms": json.loads(agreement.document),
    }


class Refusal(serializers.Serializer[Any]):
    """Why not."""

    reason = Text(max_length=500, required=False, allow_blank=True, default="")


@access(own_login=True, post=(roles.APPLICANT,))
class OfferDecline(OfferWrite):
    """Decline the open offer."""

    @extend_schema(
        operation_id="offers_decline", request=Refusal, responses=schemas.Offer,
        parameters=[schemas.ONCE, schemas.if_match()],
    )  # fmt: skip
    def post(self, request: Request, number: int) -> Response:
        """Decline it: the application goes back to its study."""
        offer = self.offer(request, number)
        form = Refusal(data=request.data)
        form.is_valid(raise_exception=True)
        return etag.tagged(
            shown(services.decline_offer(offer, applicant=request.user, reason=form.validated_data["reason"]))
        )


@access(own_login=True, get=SIGNED_IN)
class ApplicationAgreement(Api):
    """The agreement of an application."""

    scopes = {"GET": "applications:read"}

    @extend_schema(operation_id="agreements_read", responses=schemas.Agreement)
    def get(self, request: Request, number: int) -> Response:
        """Return the signed document."""
        application = queries.application(request.user, number)
        offer = application.offers.filter(agreement__isnull=False).select_related("agreement").first()
        if offer is None:
            raise NotFound("there is no agreement yet", where="agreement", remedy="It follows the acceptance.")
        return etag.tagged(agreed(offer.agreement), request)
