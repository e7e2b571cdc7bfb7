"""The commissioning gate: a test's result is recorded as a fact, and only a passing, unexpired one permits operation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from derms.errors import Conflict, InputError
from interconnection import roles, states
from interconnection.models import Agreement, Application, CommissioningResult
from interconnection.services import applications, audit
from interconnection.services.applications import may, move

VALID_DAYS = 90
"""How long a result counts towards permission, unless the test says less. A utility's own rule may differ."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a test: its name, whether it held, what was seen against what was asked."""

    name: str
    passed: bool
    value: str = ""
    limit: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """A finished test: by wire or witnessed; passed only when there are steps and each held."""

    kind: str
    steps: Sequence[Step]
    at: datetime
    trace: Mapping[str, Any] = field(default_factory=dict)
    expires: date | None = None

    @property
    def passed(self) -> bool:
        """Say whether every step held."""
        return bool(self.steps) and all(step.passed is True for step in self.steps)


def record(application: Application, result: Result, *, by: Any, witness: Any = None) -> CommissioningResult:
    """Store a test's result under the agreement in force; an accepted application moves to commissioning.

    A test that fails takes back the permission of a site that has one: it is suspended until it passes again.
    `witness`: the second person, needed for a witnessed result. Raises Conflict without an agreement or in a state
    that is not tested, InputError for a result that cannot be.
    """
    agreement = Agreement.objects.filter(offer__application=application).order_by("-accepted", "-pk").first()
    if agreement is None or application.state not in states.COMMITTED:
        raise Conflict("there is no agreement to test against", where="state", remedy="The offer must be accepted first.")
    _check(result, by, witness)
    expires = result.expires or timezone.localdate(result.at) + timedelta(days=VALID_DAYS)
    steps = [asdict(step) for step in result.steps]
    facts = {"agreement": agreement.sha256, "kind": result.kind, "steps": steps, "trace": dict(result.trace),
             "at": result.at.isoformat(), "expires": expires.isoformat()}  # fmt: skip
    with transaction.atomic():
        if application.state == states.ACCEPTED:
            move(application, "commission", actor=str(by))
        stored = CommissioningResult.objects.create(
            application=application, agreement=agreement, kind=result.kind, passed=result.passed, steps=steps,
            trace=dict(result.trace), at=result.at, expires=expires, recorded_by=by, witnessed_by=witness,
            sha256=hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest(),
        )  # fmt: skip
        audit.record(
            "commissioned", actor=str(by), application=application,
            after={"result": stored.pk, "passed": stored.passed, "sha256": stored.sha256, "witness": str(witness or "")},
        )  # fmt: skip
        if application.state == states.PERMITTED and standing_result(application, today=timezone.localdate()) is None:
            move(application, "suspend", actor=str(by), reason="a commissioning test failed", result=stored.pk)
    return stored


def _check(result: Result, by: Any, witness: Any) -> None:
    if result.kind not in (CommissioningResult.WIRE, CommissioningResult.WITNESS):
        raise InputError(f"unknown kind of test {result.kind!r}", where="kind", remedy="wire or witness")
    if result.at.utcoffset() is None:
        raise InputError("the time of the test has no zone", where="at")
    if result.at > timezone.now() + timedelta(minutes=5):
        raise InputError("the test lies in the future", where="at", remedy="Check the clock.")
    if not result.steps:
        raise InputError("the test has no steps", where="steps", remedy="A test without steps proves nothing.")
    if result.kind == CommissioningResult.WITNESS:
        if witness is None or witness.pk == by.pk:
            raise InputError(
                "a witnessed result needs a second person", where="witness", remedy="An approver who was there."
            )
        if not roles.has(by, roles.ENGINEER) or not roles.has(witness, roles.APPROVER):
            raise InputError("an engineer records and an approver witnesses", where="witness")


def standing_result(application: Application, *, today: date) -> CommissioningResult | None:
    """Return the result that permission may stand on: the newest, if it passed and still counts."""
    agreement = Agreement.objects.filter(offer__application=application).order_by("-accepted", "-pk").first()
    if agreement is None:
        return None
    newest = agreement.commissioning_results.order_by("-at", "-pk").first()
    return newest if newest is not None and newest.passed and today < newest.expires else None


def _open_condition(application: Application) -> Application | None:
    """Return the application that must not be connected for this agreement to hold, while it still might be."""
    offer = application.offers.filter(status="accepted").select_related("conditional_on").first()
    other = offer.conditional_on if offer is not None else None
    return other if other is not None and other.state not in states.FINAL else None


def permit(application: Application, action: str = "permit", *, by: Any, now: datetime | None = None) -> Application:
    """Give permission to operate, or lift a suspension ("resume"); raises Conflict in another state than the action's,
    and unless the newest test passed and still counts."""
    states.after(action, application.state)
    may(application, action, by)
    hangs_on = _open_condition(application)
    if hangs_on is not None:
        raise Conflict(
            f"the agreement holds only if {hangs_on.reference} is not connected, and that is '{hangs_on.state}'",
            where="conditional_on", remedy="Wait until it is withdrawn or ended, or study this one again beside it.",
        )  # fmt: skip
    result = standing_result(application, today=timezone.localdate(now))
    if result is None:
        raise Conflict(
            "no commissioning result that passed and still counts", where="commissioning",
            remedy="Run the commissioning test over the wire, or record a witnessed one.",
        )  # fmt: skip
    return move(application, action, actor=str(by), result=result.pk, sha256=result.sha256)


def act(application: Application, action: str, *, by: Any, reason: str = "") -> Application:
    """Take an action of the table that has no page of its own; raises what `permit` and `applications.act` raise."""
    if action in ("permit", "resume"):
        return permit(application, action, by=by)
    return applications.act(application, action, by=by, reason=reason)
