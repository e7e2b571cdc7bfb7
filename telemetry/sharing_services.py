"""The only writers of sharing rules: one person proposes, another approves; in force from the next cycle on.

Another rule gives some sites more and others less: like a raise, it takes two people and an audit log that can be written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from derms.errors import Conflict, HeadroomError, InputError, NotFound
from derms.grid.sharing_rules import RULES
from derms.sandbox.warm_children import CHILDREN
from interconnection import audit, site_queries
from interconnection.models import FeederVersion
from interconnection.queries import agreements_in_force
from telemetry.cycle_models import CycleDocument
from telemetry.model_text import text_of_cycle
from telemetry.order_services import PROPOSAL_S
from telemetry.sharing_models import SharingChoice

DEFAULT = "pro_rata_capacity"
"""What the solver does where nobody chose (derms.grid.live)."""
PROMISED = {
    "pro_rata": "pro_rata_capacity", "equal": "equal", "need": "pro_rata_need", "last_in_first_off": "last_in_first_off",
}  # fmt: skip
"""An agreement's access principle and the rule that keeps it."""
SOLVE_S = 30.0


def in_force(feeder: str) -> dict[str, str]:
    """Return the rule of each element that has its own, and of all others under ""."""
    rows = SharingChoice.objects.filter(feeder=feeder, state=SharingChoice.ACTIVE)
    return {"": DEFAULT, **dict(rows.values_list("element", "rule"))}


def propose(feeder: str, element: str, rule: str, *, by: str, reason: str, now: datetime) -> SharingChoice:
    """Propose a rule for an element ("": all others); nothing changes until another person approves."""
    if rule not in RULES:
        raise InputError(f"unknown sharing rule {rule!r}", where="rule", remedy="One of " + ", ".join(RULES) + ".")
    if len(reason.strip()) < 3:
        raise InputError("a rule is changed for a reason", where="reason", remedy="Say why, in a few words.")
    description = site_queries.description(feeder)
    if description is None:
        raise NotFound(f"no feeder is named {feeder!r}", where="feeder")
    element = element.strip().lower()
    if element and element not in {item[0] for item in description["elements"]}:
        raise InputError(f"feeder {feeder} has no element {element!r}", where="element", remedy="The list shows all.")
    with transaction.atomic():
        row = SharingChoice.objects.create(
            feeder=feeder, element=element, rule=rule, reason=reason.strip()[:300], by=by, created=now
        )
        audit.append(by, "propose_sharing_rule", f"feeder {feeder}", {}, _facts(row))
    return row


def approve(number: int, *, by: str, now: datetime) -> SharingChoice:
    """Put a proposed rule in force as the second person; it takes the place of the element's earlier rule."""
    try:
        row = _approved(number, by, now)
    except IntegrityError as error:  # two proposals of one element, approved at once: the database lets one be in force
        raise Conflict(
            "another rule of this element was put in force meanwhile", where="number", remedy="Read the page again."
        ) from error
    row.refresh_from_db()
    return row


def _approved(number: int, by: str, now: datetime) -> SharingChoice:
    with transaction.atomic():
        row = _proposed(number)
        if row.by == by:
            raise Conflict("who proposes does not approve", where="by", remedy="Ask another person.")
        if now - row.created > timedelta(seconds=PROPOSAL_S):
            raise Conflict("the proposal is older than 15 minutes", where="created", remedy="Propose it again.")
        earlier = SharingChoice.objects.filter(feeder=row.feeder, element=row.element, state=SharingChoice.ACTIVE)
        was = earlier.values_list("rule", flat=True).first() or in_force(row.feeder)[""]
        earlier.update(state=SharingChoice.SUPERSEDED)
        _decide(row, SharingChoice.ACTIVE, by, now)
        audit.append(by, "set_sharing_rule", f"feeder {row.feeder}", {"rule": was}, _facts(row) | {"proposed_by": row.by})
    return row


def reject(number: int, *, by: str, now: datetime) -> SharingChoice:
    """Refuse a proposed rule; the person who proposed it may take it back so."""
    with transaction.atomic():
        row = _proposed(number)
        _decide(row, SharingChoice.REJECTED, by, now)
        audit.append(by, "reject_sharing_rule", f"feeder {row.feeder}", _facts(row), {})
    row.refresh_from_db()
    return row


def _proposed(number: int) -> SharingChoice:
    row = SharingChoice.objects.filter(pk=number).first()
    if row is None:
        raise NotFound(f"there is no proposal {number}", where="number", remedy="Read the page again.")
    if row.state != SharingChoice.PROPOSED:
        raise Conflict(f"the proposal is {row.state} already", where="number", remedy="Read the page again.")
    return row


def _decide(row: SharingChoice, state: str, by: str, now: datetime) -> None:
    rows = SharingChoice.objects.filter(pk=row.pk, state=SharingChoice.PROPOSED)
    if not rows.update(state=state, second=by, decided=now):
        raise Conflict("another person was faster", where="number", remedy="Read the page again.")


def _facts(row: SharingChoice) -> dict[str, Any]:
    return {"element": row.element, "rule": row.rule, "reason": row.reason}


@dataclass(frozen=True, slots=True)
class Promise:
    """What an agreement says of sharing: the rule that keeps it, its place, and whether the rule in force is it."""

    site: str
    access: str
    rule: str
    position: int
    kept: bool


def promises(feeder: str, now: datetime) -> list[Promise]:
    """Return what the agreements in force promise, in order of acceptance; an element's own rule may still differ."""
    rule, found = in_force(feeder)[""], []
    for terms in agreements_in_force(now.date(), feeder):
        access = terms.conditions.access if terms.conditions is not None else "pro_rata"
        position = terms.conditions.position if terms.conditions is not None else 0
        found.append(Promise(terms.site, access, PROMISED[access], position, PROMISED[access] == rule))
    return found


@dataclass(frozen=True, slots=True)
class Preview:
    """What each rule would give now, watts: `sites` with one [import, export] a rule (None: no answer)."""

    snapshot: str
    rules: tuple[str, ...]
    sites: list[tuple[str, list[tuple[int, int] | None]]]
    totals: list[tuple[int, int] | None]
    refusals: Mapping[str, str]


def preview(feeder: str) -> Preview:
    """Return what each rule would give in the newest recorded cycle, on that cycle's own model; stores nothing.

    The cycle's question is asked again with the one rule everywhere; raises NotFound where no cycle is recorded.
    """
    row = CycleDocument.objects.select_related("cycle").filter(cycle__feeder=feeder).order_by("-cycle_id").first()
    raw = json.loads(row.text) if row is not None else None
    if raw is None or raw["envelope"]["question"] is None:
        raise NotFound(
            f"no cycle of {feeder} is recorded yet", where="feeder", remedy="A preview needs a controlled feeder."
        )
    version = FeederVersion.objects.filter(feeder__name=feeder, sha256=raw["model_sha256"]).first()
    if version is None:
        raise NotFound("the cycle's model is not stored any more", where="feeder")
    text = text_of_cycle(version, feeder, raw["switching"])
    key = f"{version.sha256}/{raw['switching']}"
    answers: dict[str, dict[str, Any]] = {}
    refusals: dict[str, str] = {}
    for rule in RULES:
        asked = raw["envelope"]["question"] | {"rules": {"": rule}, "price_margin": False}
        try:
            answers[rule] = CHILDREN.call(key, text, "live_envelope", asked, timeout_s=SOLVE_S)["granted"]
        except HeadroomError as error:
            refusals[rule] = str(error)
    names = sorted({name for granted in answers.values() for name in granted})
    sites = [(name, [_limit(answers.get(rule), name) for rule in RULES]) for name in names]
    totals = [_total([limits[place] for _, limits in sites]) for place in range(len(RULES))]
    return Preview(raw["snapshot"], RULES, sites, totals, refusals)


def _limit(granted: Mapping[str, Any] | None, name: str) -> tuple[int, int] | None:
    if granted is None or name not in granted:
        return None
    return int(granted[name]["limit"]["import_w"]), int(granted[name]["limit"]["export_w"])


def _total(limits: list[tuple[int, int] | None]) -> tuple[int, int] | None:
    known = [limit for limit in limits if limit is not None]
    return (sum(limit[0] for limit in known), sum(limit[1] for limit in known)) if known else None
