"""Run a pack's screens on an application: the facts are gathered from the queue and the engine, the rest is pure."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import Any

from django.db import transaction

from derms.errors import Conflict
from derms.grid.criteria import CriteriaSettings
from derms.limits import NOTHING, Limit
from derms.sandbox.warm_children import CHILDREN
from interconnection import queue_order, rule_packs, screens, states
from interconnection.models import Application, FeederVersion, ScreenRun, SectionLoad
from interconnection.packs import folders
from interconnection.services import what_if
from interconnection.services.applications import current_request, find_gaps, move

HOURS = 288
CRITERION_SETTINGS = {"overvoltage": "v_high_pu", "undervoltage": "v_low_pu", "thermal": "thermal_pu"}
CALL_S = 60.0
MOST_FAULT_PU = 5.0
"""The engine's own bound; what is above it is scaled, since fault currents are linear in the inverters."""


def screen(application: Application, *, actor: str, hours: int = HOURS) -> ScreenRun:
    """Run the application's pack and keep the results; the application moves to screening.

    Raises Conflict in a state that is not screened, and what the engine raises (NotConverged, LocalError).
    """
    if application.state not in states.BY_ACTION["screen"].sources:
        states.after("screen", application.state)
    began = time.perf_counter()
    found = rule_packs.pack(application.rule_pack, folders())
    version = application.feeder.versions.first()
    if version is None:
        raise Conflict("the feeder has no model", where="feeder")
    facts = gather(application, version, found, hours=hours)
    results = screens.evaluate(found.screens, facts)
    with transaction.atomic():
        move(application, "screen", actor=actor, pack=found.name, version=found.version, **screens.summary(results))
        return ScreenRun.objects.create(
            application=application, version=version, request_number=application.versions.count(), pack=found.name,
            pack_version=found.version, results=[asdict(item) for item in results], facts=_numbers(facts, version, hours),
            seconds=round(time.perf_counter() - began, 3), by=actor,
        )  # fmt: skip


def indicative(request: Any, version: FeederVersion, *, hours: int = HOURS) -> list[screens.Result]:
    """Return the results that a request would get if nobody were ahead; nothing is stored."""
    found = rule_packs.pack(request.rule_pack, folders())
    facts = _facts(request, version, found, NOTHING, hours=hours)
    return screens.evaluate(found.screens, facts)


def gather(
    application: Application, version: FeederVersion, pack: rule_packs.RulePack, *, hours: int = HOURS
) -> screens.Facts:
    """Return what the screens may know about an application."""
    faults = [gap.what for gap in find_gaps(application) if gap.requirement == "certificates"]
    return _facts(
        current_request(application), version, pack, queue_order.ahead_w(application), certified="; ".join(faults),
        bank_w=application.feeder.firm_bank_w, hours=hours,
    )  # fmt: skip


def criteria(pack: rule_packs.RulePack, fault_pu: float) -> CriteriaSettings:
    """Return the engine's criteria with the pack's own thresholds, so that what would pass is what the pack lets pass."""
    found: dict[str, float] = {}
    for item in pack.screens:
        name = CRITERION_SETTINGS.get(str(item.parameters.get("criterion", "")))
        if item.measure == "criterion" and name is not None and item.threshold is not None:
            value = item.threshold / 100 if item.unit == "%" else item.threshold
            # Two screens of one criterion: the stricter holds.
            pick = max if name == "v_low_pu" else min
            found[name] = pick(found.get(name, value), value)
    return replace(CriteriaSettings(**found), fault_current_pu=fault_pu)  # type: ignore[arg-type]


def _facts(
    request: Any, version: FeederVersion, pack: rule_packs.RulePack, ahead: Limit, *, certified: str = "",
    bank_w: int | None = None, hours: int,
) -> screens.Facts:  # fmt: skip
    empty = screens.Facts(request, screens.Load(0, 0, 0, 0, 0), {})
    judged = empty.judged_export_w
    wanted_pu = request.charger_fault_pu * empty.nameplate_w / judged if request.export_w else 1.2
    fault_pu = min(max(wanted_pu, 0.01), MOST_FAULT_PU)
    settings = criteria(pack, fault_pu)
    phases = tuple(int(letter) for letter in request.phases)
    export_w = judged if request.export_w else 0
    # Who is ahead is added by hand below, at the site's own bus.
    answer = what_if.answer(
        version, request.bus, phases, request.import_w, export_w, hours=hours, criteria=settings, existing=()
    )
    pending = None
    if ahead != NOTHING:
        pending = what_if.answer(
            version, request.bus, phases, request.import_w + (ahead.import_w if request.import_w else 0),
            export_w + (ahead.export_w if request.export_w else 0), hours=hours, criteria=settings, existing=(),
        )  # fmt: skip
    return replace(
        empty, load=section_load(version), answer=answer, pending=pending, ahead_import_w=ahead.import_w,
        ahead_export_w=ahead.export_w, certified=certified, firm_bank_w=bank_w, site_bus=request.bus.lower(),
        fault_pu=fault_pu, fault_scale=wanted_pu / fault_pu,
    )  # fmt: skip


def section_load(version: FeederVersion, *, hours: int = HOURS) -> screens.Load:
    """Return the head's largest and least load, measured once for a model over hours spread evenly over its year."""
    row = SectionLoad.objects.filter(version=version).first()
    if row is None:
        available = int(version.description["hours"])
        places = sorted({place * available // min(hours, available) for place in range(min(hours, available))})
        found = CHILDREN.call(version.sha256, version.text, "head_profile", {"hours": places}, timeout_s=CALL_S)["head_w"]
        most, least = max(found), min(found)
        row, _ = SectionLoad.objects.get_or_create(
            version=version,
            defaults={"hours": len(places), "most_w": most, "most_hour": places[found.index(most)], "least_w": least,
                      "least_hour": places[found.index(least)]},
        )  # fmt: skip
    return screens.Load(row.most_w, row.most_hour, row.least_w, row.least_hour, row.hours)


def _numbers(facts: screens.Facts, version: FeederVersion, hours: int) -> dict[str, Any]:
    return {
        "model_sha256": version.sha256, "hours": hours, "load": asdict(facts.load), "ahead_import_w": facts.ahead_import_w,
        "ahead_export_w": facts.ahead_export_w, "judged_export_w": facts.judged_export_w,
        "nameplate_w": facts.nameplate_w, "fault_pu": facts.fault_pu, "firm_bank_w": facts.firm_bank_w,
        "passing_kw": facts.answer["passing"]["kw"],
    }  # fmt: skip
