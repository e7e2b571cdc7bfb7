"""Offers and agreements: the study's answer becomes "yes, if", and acceptance freezes it."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from derms.agreement import Curtailment, Terms
from derms.errors import Conflict, InputError
from derms.limits import Limit
from derms.units import kilowatts_to_watts
from interconnection.models import Agreement, Application, Event, Offer, Study
from interconnection.services.applications import move

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
    )


def issue_offer(application: Application, study: Study, terms: Terms, *, engineer: Any) -> Offer:
    """Issue an offer; raises Conflict when one is open or the study is another application's."""
    if study.application_id != application.pk:
        raise InputError("the study belongs to another application", where="study")
    firm = _limit(json.loads(study.result), "firm")
    if not terms.failsafe.within(firm):
        raise InputError("the failsafe limit is above what the study found firm", where="failsafe")
    try:
        with transaction.atomic():
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
                issued_by=engineer,
            )
            move(application, "offer", actor=str(engineer), offer=offer.pk, sha256=offer.sha256)
    except IntegrityError as error:
        raise Conflict("an offer is open already", where="offer", remedy="Withdraw it first.") from error
    return offer


def accept_offer(offer: Offer, *, applicant: Any) -> Agreement:
    """Accept: the offer's very document becomes the agreement. A second acceptance is a Conflict."""
    terms = offer.terms
    with transaction.atomic():
        if not Offer.objects.filter(pk=offer.pk, open=True).update(open=False):
            raise Conflict("this offer is not open any more", where="offer", remedy="Look at the application's state.")
        agreement = Agreement.objects.create(
            offer=offer, site=terms.site, document=offer.document, sha256=offer.sha256, accepted_by=applicant
        )
        move(offer.application, "accept", actor=str(applicant), sha256=offer.sha256)
        Event.objects.create(
            application=offer.application, actor=str(applicant), action="agreement", after={"sha256": offer.sha256}
        )
    return agreement


def _limit(answer: dict[str, Any], which: str) -> Limit:
    return Limit(
        kilowatts_to_watts(answer[f"{which}_import_kw"], where="study"),
        kilowatts_to_watts(answer[f"{which}_export_kw"], where="study"),
    )
