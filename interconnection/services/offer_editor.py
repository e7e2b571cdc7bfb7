"""From a study to an offer that a person has shaped: each option's draft, an edit's terms, its preparation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from derms.agreement import Conditions, Curtailment, Terms
from derms.errors import Conflict, InputError
from derms.limits import Limit
from interconnection import offer_options
from interconnection.models import Application, Offer, Study
from interconnection.offer_options import SIDES, Grid, Option
from interconnection.services import joint_check, offers

VALID_DAYS = 60
"""How long an offer may be accepted unless the editor says otherwise; a utility's own rule may differ."""


@dataclass(frozen=True)
class Edit:
    """What the editor's fields say; watts, seconds, dates."""

    kind: str
    firm: Limit
    flexible: Limit
    failsafe: Limit
    ramp_w_per_s: int
    response_s: int
    telemetry_s: int
    lease_s: int
    cap_hours: int
    cap_energy_percent: float
    starts: date
    ends: date | None
    valid_until: date | None
    grids: Mapping[str, Grid]
    """Each side's 12 × 24 ceiling; empty: the flexible limit in every hour."""
    conditions: Conditions | None = None
    conditional_on: Application | None = None


def base(application: Application, study: Study) -> dict[str, Any]:
    """Return a finished study's answer; raises Conflict or InputError for another's or an unfinished one."""
    if study.application_id != application.pk:
        raise InputError("the study belongs to another application", where="study")
    if study.status != Study.DONE:
        raise Conflict("the study is not done", where="study", remedy="Wait for it, or let it go on.")
    answer: dict[str, Any] = json.loads(study.result)
    return answer


def options(application: Application, study: Study) -> list[Option]:
    """Return the options that an application's study supports, with its volt-var study and ladders where there are some."""
    answer = base(application, study)
    other = volt_var_study(application, study)
    volt_var = json.loads(other.result) if other is not None else None
    ladders = {row.side: row.result for row in study.ladders.filter(status="done")}
    return offer_options.options(answer, volt_var=volt_var, ladders=ladders, zone=settings.DISPLAY_TIME_ZONE)


def volt_var_study(application: Application, study: Study) -> Study | None:
    """Return the finished study of the same request with volt-var category B, if there is one.

    The fleet's need changes no limit: a study with it and one without are of the same request.
    """
    aside = {"inverter": "", "need": None}
    for other in application.studies.filter(status=Study.DONE).exclude(pk=study.pk):
        same = {**other.request, **aside} == {**study.request, **aside}
        if same and other.request.get("inverter") == "volt_var_b":
            return other
    return None


def draft(application: Application, study: Study, option: Option, *, today: date | None = None) -> Edit:
    """Return the fields with which the editor opens for an option."""
    starts = application.wanted
    terms = offers.draft_terms(application, study, starts=starts, ends=None)
    dynamic = option.kind in ("dynamic", "volt_var")
    cut = terms.curtailment
    return Edit(
        kind=option.kind, firm=option.firm, flexible=option.flexible, failsafe=option.firm.meet(terms.failsafe),
        ramp_w_per_s=terms.ramp_w_per_s, response_s=terms.response_s, telemetry_s=terms.telemetry_s, lease_s=terms.lease_s,
        cap_hours=min(8760, cut.cap_hours) if dynamic else 0,
        cap_energy_percent=min(100.0, cut.cap_energy_percent) if dynamic else 0.0,
        starts=starts, ends=None, valid_until=(today or timezone.localdate()) + timedelta(days=VALID_DAYS),
        grids=option.schedule or {side: offer_options.flat(getattr(option.flexible, f"{side}_w")) for side in SIDES},
    )  # fmt: skip


def chosen(
    application: Application, study: Study, kind: str, *, starts: date, ends: date | None, valid_until: date | None,
    cap_hours: int | None = None, bridge_for: str = "", conditional_on: Application | None = None,
) -> Edit:  # fmt: skip
    """Return an option as it stands, with its days, cap and conditions; raises Conflict where the study lacks something."""
    option = next(item for item in options(application, study) if item.kind == kind)
    if option.missing:
        raise Conflict(
            f"{option.title}: {option.missing}", where="kind", remedy="GET …/options/ lists what may be offered."
        )
    edit = draft(application, study, option)
    conditions = Conditions(bridge_for=bridge_for) if bridge_for else None
    return replace(
        edit, starts=starts, ends=ends, valid_until=valid_until, conditions=conditions, conditional_on=conditional_on,
        cap_hours=edit.cap_hours if cap_hours is None else cap_hours,
    )  # fmt: skip


def terms_of(application: Application, study: Study, edit: Edit, *, zone: str | None = None) -> Terms:
    """Return the terms that an edit says; raises InputError for the field that cannot be.

    `zone`: whose months and hours the grids count; by default the utility's (HEADROOM_TIME_ZONE).

    The expectation is the study's for exactly this grid, not the one that the editor opened with.
    """
    zone = zone or settings.DISPLAY_TIME_ZONE
    answer = base(application, study)
    if edit.kind not in offer_options.KINDS:
        raise InputError(f"unknown kind of offer {edit.kind!r}", where="kind", remedy=" or ".join(offer_options.KINDS))
    if edit.kind in ("upgrade", "volt_var"):
        raise InputError(
            f"{offer_options.TITLES[edit.kind]} rests on another study", where="kind",
            remedy="Offer from the study of the feeder with it.",
        )  # fmt: skip
    firm = offer_options.limit_of(answer, "firm")
    if not edit.firm.within(firm):
        raise InputError("firm is above what the study found firm", where="firm", remedy="Lower it to the study's.")
    grids = dict(edit.grids)
    offer_options.check_static(edit.kind, answer, grids, zone=zone)
    drafted = offers.draft_terms(application, study, starts=edit.starts, ends=edit.ends)
    found = {side: offer_options.meaning(answer, side, grids[side], zone) for side in SIDES} if grids else {}
    expected = (
        found["import"] if found else offer_options.meaning(answer, "import", offer_options.flat(edit.flexible.import_w))
    )
    static = edit.kind in ("firm", *offer_options.STATIC)
    hours, percent = (0, 0.0) if static else (expected.limited_hours, expected.limited_percent)
    schedule = _schedule(grids, edit.flexible)
    return replace(
        drafted, firm=edit.firm, flexible=edit.flexible, failsafe=edit.failsafe, ramp_w_per_s=edit.ramp_w_per_s,
        response_s=edit.response_s, telemetry_s=edit.telemetry_s, lease_s=edit.lease_s,
        curtailment=Curtailment(hours, percent, edit.cap_hours, edit.cap_energy_percent),
        schedule=schedule, schedule_zone=zone if schedule else "UTC",
        inverter=study.request.get("inverter", "unity"), conditions=edit.conditions,
    )  # fmt: skip


def prepare(application: Application, study: Study, edit: Edit, *, engineer: Any, zone: str | None = None) -> Offer:
    """Prepare the edited offer for a second person; raises what `terms_of` and `offers.prepare_offer` raise."""
    terms = terms_of(application, study, edit, zone=zone)
    _check_cap(edit, terms)
    return offers.prepare_offer(application, study, terms, engineer=engineer, kind=edit.kind, valid_until=edit.valid_until,
                                conditional_on=edit.conditional_on)  # fmt: skip


def check(application: Application, study: Study, edit: Edit, terms: Terms) -> None:
    """Raise what `prepare` would raise for these terms; nothing is stored."""
    offers.check_terms(study, terms, edit.kind, joint_check.others(application, edit.conditional_on))
    _check_cap(edit, terms)


def _check_cap(edit: Edit, terms: Terms) -> None:
    if edit.cap_hours < terms.curtailment.expected_hours:
        raise InputError(
            f"a cap of {edit.cap_hours} hours is below the {terms.curtailment.expected_hours} that the study expects",
            where="cap_hours", remedy="Raise the cap, or lower the grid.",
        )  # fmt: skip
    if edit.cap_energy_percent < terms.curtailment.expected_energy_percent:
        raise InputError(
            f"a cap of {edit.cap_energy_percent:g} % of the energy is below the "
            f"{terms.curtailment.expected_energy_percent:g} % that the study expects",
            where="cap_energy_percent", remedy="Raise the cap, or lower the grid.",
        )  # fmt: skip


def _schedule(grids: Mapping[str, Grid], flexible: Limit) -> tuple[tuple[Limit, ...], ...]:
    """Return the grid as limits, or nothing when every cell is the flexible limit."""
    if not grids:
        return ()
    rows = tuple(
        tuple(Limit(one, two) for one, two in zip(*pair, strict=True))
        for pair in zip(grids["import"], grids["export"], strict=True)
    )
    return () if all(cell == flexible for row in rows for cell in row) else rows
