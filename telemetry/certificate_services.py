"""Failsafe certificates: one for each model version, switching state and set of failsafe limits. None, no publishing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from derms.agreement import Terms
from derms.errors import Conflict
from derms.grid.switching import switched
from derms.sandbox.feeder_process import FeederProcess
from interconnection import audit
from interconnection.models import FeederVersion
from telemetry.cycle_models import Certificate, SwitchingState

CERTIFY_S = 1800.0
NORMAL = "normal"


def limits_sha256(terms: Sequence[Terms]) -> str:
    """Return the hash of where the sites are and what they fall to: what a certificate speaks for."""
    facts = sorted([t.site, t.bus, list(t.phases), t.failsafe.import_w, t.failsafe.export_w] for t in terms)
    return hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode()).hexdigest()


def certificate_of(version: FeederVersion, terms: Sequence[Terms], state: str = NORMAL) -> Certificate | None:
    """Return the certificate for a model, these failsafe limits and a switching state; None where none was tried."""
    return Certificate.objects.filter(
        feeder=version.feeder.name, model_sha256=version.sha256, state=state, limits_sha256=limits_sha256(terms)
    ).first()


def certify(
    version: FeederVersion, terms: Sequence[Terms], model: FeederProcess, elements: Sequence[str], *, now: datetime,
    state: str = NORMAL,
) -> Certificate:  # fmt: skip
    """Return the certificate, from the table or found now; raises Conflict when it does not hold.

    `model`: the feeder in that switching state; `elements`: what to watch.
    """
    found = certificate_of(version, terms, state)
    if found is None:
        sites = [[item.bus, list(item.phases), item.failsafe.import_w, item.failsafe.export_w] for item in terms]
        answer = model.call("certificate", {"sites": sites, "elements": list(elements)}, timeout_s=CERTIFY_S)
        found = keep(version, terms, answer, now=now, state=state)
    if not found.holds:
        detail = found.detail
        raise Conflict(
            f"no failsafe certificate: {detail['criterion']} at {detail['element']} with every site at its failsafe "
            f"{detail['side']} limit in hour {detail['hour']}, switching state {state!r}",
            where=version.feeder.name,
            remedy="Restudy the newest agreement with the others in place, or end one.",
        )
    return found


def keep(
    version: FeederVersion, terms: Sequence[Terms], answer: dict[str, object], *, now: datetime, state: str
) -> Certificate:
    """Store what the check of all hours gave."""
    with transaction.atomic():
        row, new = Certificate.objects.get_or_create(
            feeder=version.feeder.name, model_sha256=version.sha256, state=state, limits_sha256=limits_sha256(terms),
            defaults={"holds": bool(answer["holds"]), "detail": answer, "at": now},
        )  # fmt: skip
        if new:
            facts = {"model": version.sha256, "state": state, "limits": row.limits_sha256, **answer}
            audit.append("certificate", "certify", f"feeder {version.feeder.name}", {}, facts)
    return row


def switching_state(feeder: str) -> SwitchingState | None:
    """Return the newest switching state; None: nobody ever declared one, the model's own holds."""
    return SwitchingState.objects.filter(feeder=feeder).first()


def declare_state(
    version: FeederVersion, name: str, *, opened: Sequence[str], closed: Sequence[str], by: str, reason: str,
    now: datetime, confirmed: bool = True,
) -> SwitchingState:  # fmt: skip
    """Declare the feeder's switching state. Not confirmed: every site of it goes to its failsafe until it is."""
    switched(version.text, opened, closed)  # raises for names that the model does not have
    feeder = version.feeder.name
    before = switching_state(feeder)
    with transaction.atomic():
        row = SwitchingState.objects.create(
            feeder=feeder, name=name, opened=list(opened), closed=list(closed), confirmed=confirmed, by=by, reason=reason,
            at=now,
        )  # fmt: skip
        log = audit.append if confirmed else audit.append_lowering
        was = {"state": before.name if before else NORMAL}
        log(by, "switching", f"feeder {feeder}", was, {"state": name, "opened": list(opened), "closed": list(closed),
                                                       "confirmed": confirmed, "reason": reason})  # fmt: skip
    return row
