"""Offers and agreements: the study's answer becomes "yes, if", and acceptance freezes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.text import slugify

from derms.agreement import Conditions, Curtailment, Terms
from derms.errors import Conflict, InputError
from derms.limits import Limit
from derms.units import kilowatts_to_watts
from interconnection import states
from interconnection.models import Agreement, Application, Feeder, Offer, Study
from interconnection.offer_check import faults
from interconnection.offer_options import STATIC_MARGIN
from interconnection.services import joint_check
from interconnection.services.applications import move
from interconnection.services.audit import record

RAMP_W_PER_S = 200_000
RESPONSE_S = 10
TELEMETRY_S = 10
LEASE_S = 60
POLLED = "ieee2030_5"
POLLED_TELEMETRY_S, POLLED_LEASE_S, POLLED_RESPONSE_S = 60, 900, 70
POLLED_RAMP_PER_S = 0.0027
"""A site over IEEE 2030.5 polls once a minute, holds three events of 300 s, and ramps by setGradW (CSIP-AUS: 27)."""
CAP_FACTOR = 1.25
"""The curtailment cap is the study's expectation and a quarter more."""


def draft_terms(application: Application, study: Study, *, starts: date, ends: date | None) -> Terms:
    """Return the terms that a study supports: flexible up to the request, failsafe equal to firm."""
    if study.status != Study.DONE:
        raise Conflict("the study is not done", where="study", remedy="Wait for it, or run it again.")
    answer = json.loads(study.result)
    firm = _limit(answer, "firm")
    scale = 8760 / max(1, answer["hours"])
    hours = round(answer["limited_hours_import"] * scale)
    energy = answer["limited_energy_percent_import"]
    polled = application.protocol == POLLED
    largest = max(application.import_w, application.export_w)
    inverter = study.request.get("inverter", "unity")
    ramp = int(POLLED_RAMP_PER_S * largest) if polled else min(RAMP_W_PER_S, largest // 10)
    return Terms(
        site=f"{slugify(application.name)[:48] or 'site'}-{application.pk}",
        feeder=study.version.feeder.name,
        feeder_sha256=study.version.sha256,
        bus=application.bus.lower(),
        phases=application.phase_numbers,
        firm=firm,
        flexible=_limit(answer, "flexible").cover(firm),
        failsafe=firm,
        ramp_w_per_s=max(1, ramp),
        response_s=POLLED_RESPONSE_S if polled else RESPONSE_S,
        telemetry_s=POLLED_TELEMETRY_S if polled else TELEMETRY_S,
        lease_s=POLLED_LEASE_S if polled else LEASE_S,
        protocol=application.protocol,
        curtailment=Curtailment(hours, energy, round(hours * CAP_FACTOR), round(energy * CAP_FACTOR, 3)),
        starts=starts,
        ends=ends,
        study_sha256=study.inputs_sha256,
        inverter=inverter,
    )


def prepare_offer(
    application: Application, study: Study, terms: Terms, *, engineer: Any, kind: str = "dynamic",
    valid_until: date | None = None, margin: float = STATIC_MARGIN, conditional_on: Application | None = None,
) -> Offer:  # fmt: skip
    """Store an offer for a second person to look at; raises Conflict when one is open or waits already.

    `conditional_on`: an application ahead that must not be connected for this one to hold. Raises InputError when the
    study is another application's, or for the first fault of `offer_check.faults`: nothing is above what was studied;
    Conflict when it, the agreements and the offers that stand on the feeder cannot all be at their firm limits
    (`joint_check`), or when these changed while that was looked at.
    """
    if study.application_id != application.pk:
        raise InputError("the study belongs to another application", where="study")
    if application.state != states.STUDY:
        raise Conflict(
            f"an application in state '{application.state}' gets no offer", where="state", remedy="Study it first."
        )
    beside = joint_check.others(application, conditional_on)
    check_terms(study, terms, kind, beside, margin=margin)
    if conditional_on is not None:
        terms = _conditional(application, terms, conditional_on)
    try:
        with transaction.atomic():
            Feeder.objects.select_for_update().get(pk=application.feeder_id)  # two offers are not looked at side by side
            if joint_check.others(application, conditional_on) != beside:
                raise Conflict(
                    "another offer on this feeder was made or ended meanwhile", where="offer", remedy="Prepare it again."
                )
            offer = Offer.objects.create(
                application=application,
                study=study,
                document=terms.document().decode(),
                sha256=terms.sha256(),
                firm_import_w=terms.firm.import_w,
                firm_export_w=terms.firm.export_w,
                flexible_import_w=terms.flexible.import_w,
                flexible_export_w=terms.flexible.export_w,
                failsafe_import_w=terms.failsafe.import_w,
                failsafe_export_w=terms.failsafe.export_w,
                kind=kind,
                valid_until=valid_until,
                margin=margin,
                conditional_on=conditional_on,
                prepared_by=engineer,
            )
            record(
                "prepare", actor=str(engineer), application=application, after={"offer": offer.pk, "sha256": offer.sha256}
            )
    except IntegrityError as error:
        raise Conflict(
            "an offer is prepared or open already", where="offer", remedy="Issue it, take it back, or study again."
        ) from error
    return offer


def check_terms(study: Study, terms: Terms, kind: str, beside: Sequence[Offer], *, margin: float = STATIC_MARGIN) -> None:
    """Raise InputError for terms above their study, Conflict for terms that cannot stand beside what is agreed and
    offered on the feeder (`joint_check.others`)."""
    answer = json.loads(study.result)
    found = faults(answer, terms, kind, margin, inverter=study.request.get("inverter", "unity"))
    if found:
        raise InputError(found[0].what, where=found[0].where, remedy=found[0].remedy)
    worst = {answer[f"binding_{side}"]["hour"] for side in ("import", "export")}
    joint_check.check(study.version, terms, [item.terms for item in beside], worst)


def _conditional(application: Application, terms: Terms, other: Application) -> Terms:
    if other.feeder_id != application.feeder_id or other.pk == application.pk or other.state not in states.QUEUED:
        raise InputError(
            "the condition is not an application that waits on the same feeder", where="conditional_on",
            remedy="Name one that is ahead in a queue that this one stands in.",
        )  # fmt: skip
    return replace(terms, conditions=replace(terms.conditions or Conditions(), conditional_on=other.reference))


def approve_offer(offer: Offer, *, approver: Any) -> Offer:
    """Issue a prepared offer as a second person; raises Conflict for the one who prepared it, or when it is not waiting."""
    if approver.pk == offer.prepared_by_id:
        raise Conflict("the one who prepared an offer does not issue it", where="approver", remedy="Ask another approver.")
    with transaction.atomic():
        changed = Offer.objects.filter(pk=offer.pk, status=Offer.PREPARED).update(
            status=Offer.OPEN, issued_by=approver, issued=timezone.now()
        )
        if not changed:
            raise Conflict("this offer does not wait to be issued", where="offer", remedy="Look at the application again.")
        offer.refresh_from_db()
        move(offer.application, "offer", actor=str(approver), offer=offer.pk, sha256=offer.sha256)
    return offer


def issue_offer(application: Application, study: Study, terms: Terms, *, engineer: Any, approver: Any) -> Offer:
    """Prepare as one person and issue as another, in one go."""
    with transaction.atomic():
        offer = approve_offer(prepare_offer(application, study, terms, engineer=engineer), approver=approver)
    application.state = offer.application.state
    return offer


def take_back(offer: Offer, *, by: Any, reason: str) -> Offer:
    """Take back an offer that waits or is open; an open one sends the application back to its study."""
    if not reason.strip():
        raise InputError("taking an offer back needs a reason", where="reason")
    return _close(offer, Offer.LAPSED, "lapse", by=by, reason=reason)


def decline_offer(offer: Offer, *, applicant: Any, reason: str = "") -> Offer:
    """Decline an open offer as the applicant: back to the study, where another option can be offered."""
    return _close(offer, Offer.DECLINED, "decline", by=applicant, reason=reason)


def _close(offer: Offer, status: str, action: str, *, by: Any, reason: str) -> Offer:
    with transaction.atomic():
        was = Offer.objects.select_for_update().get(pk=offer.pk).status
        open_ones = (Offer.OPEN,) if action == "decline" else (Offer.OPEN, Offer.PREPARED)
        if was not in open_ones or not Offer.objects.filter(pk=offer.pk, status=was).update(status=status):
            raise Conflict(f"this offer is {was}", where="offer", remedy="Look at the application again.")
        offer.refresh_from_db()
        if was == Offer.OPEN:
            move(offer.application, action, actor=str(by), offer=offer.pk, reason=reason)
        else:
            record("discard", actor=str(by), application=offer.application, after={"offer": offer.pk, "reason": reason})
    return offer


def accept_offer(offer: Offer, *, applicant: Any, typed_name: str, now: datetime | None = None) -> Agreement:
    """Accept: the offer's very document becomes the agreement, signed by a typed name. A second time is a Conflict."""
    terms = offer.terms
    if not typed_name.strip() or len(typed_name) > 120:
        raise InputError("nobody signed", where="typed_name", remedy="Type your full name, at most 120 characters.")
    if offer.valid_until is not None and timezone.localdate(now) > offer.valid_until:
        raise Conflict(f"this offer ended on {offer.valid_until}", where="offer", remedy="Ask the engineer to renew it.")
    with transaction.atomic():
        if not Offer.objects.filter(pk=offer.pk, status=Offer.OPEN).update(status=Offer.ACCEPTED):
            raise Conflict("this offer is not open any more", where="offer", remedy="Look at the application's state.")
        agreement = Agreement.objects.create(
            offer=offer, site=terms.site, document=offer.document, sha256=offer.sha256, accepted_by=applicant,
            typed_name=typed_name.strip(),
        )  # fmt: skip
        move(offer.application, "accept", actor=str(applicant), sha256=offer.sha256, typed_name=typed_name.strip())
        record("agreement", actor=str(applicant), application=offer.application, after={"sha256": offer.sha256})
    return agreement


def _limit(answer: dict[str, Any], which: str) -> Limit:
    return Limit(
        kilowatts_to_watts(answer[f"{which}_import_kw"], where="study"),
        kilowatts_to_watts(answer[f"{which}_export_kw"], where="study"),
    )
