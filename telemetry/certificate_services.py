"""Failsafe certificates: one for each model version, switching state and set of failsafe limits. None, no publishing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import transaction

from derms.agreement import Terms
from derms.errors import Conflict
from derms.grid.switching import switched
from derms.grid.switching_states import SwitchingState as Declared
from derms.grid.switching_states import meaning_sha256
from derms.sandbox.feeder_process import FeederProcess
from interconnection import audit
from interconnection.models import FeederVersion
from interconnection.services.switching import known_states
from telemetry.cycle_models import Certificate, SwitchingState

CERTIFY_S = 1800.0
NORMAL = "normal"
NO_CHANGE = meaning_sha256()


def limits_sha256(terms: Sequence[Terms]) -> str:
    """Return the hash of where the sites are and what they fall to: what a certificate speaks for."""
    facts = sorted([t.site, t.bus, list(t.phases), t.failsafe.import_w, t.failsafe.export_w] for t in terms)
    return hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode()).hexdigest()


def certificate_of(
    version: FeederVersion, terms: Sequence[Terms], state: str = NORMAL, meaning: str = NO_CHANGE
) -> Certificate | None:
    """Return the certificate for a model, these failsafe limits and a switching state; None where none was tried.

    `meaning`: the hash of what the state is; a certificate of what the name stood for before is none.
    """
    return Certificate.objects.filter(
        feeder=version.feeder.name, model_sha256=version.sha256, state=state, state_sha256=meaning,
        limits_sha256=limits_sha256(terms),
    ).first()  # fmt: skip


def certificate_for(
    version: FeederVersion, terms: Sequence[Terms], opened: Sequence[str], closed: Sequence[str]
) -> Certificate | None:
    """Return the certificate of a state by its open and closed elements; None: nobody knows it, or none was tried."""
    name = name_of(version, opened, closed)
    if name is None:
        return None
    known = known_states(version).get(name)
    plain = meaning_sha256(opened, closed)
    return certificate_of(version, terms, name, plain if known is None or known.ties else known.sha256())


def certify(
    version: FeederVersion, terms: Sequence[Terms], model: FeederProcess, elements: Sequence[str], *, now: datetime,
    state: str = NORMAL, meaning: str = NO_CHANGE, criteria: Mapping[str, object] | None = None,
) -> Certificate:  # fmt: skip
    """Return the certificate, from the table or found now; raises Conflict when it does not hold.

    `model`: the feeder in that switching state; `meaning`: the hash of what that state is; `elements`: what to watch.
    """
    found = certificate_of(version, terms, state, meaning)
    if found is None:
        sites = [[item.bus, list(item.phases), item.failsafe.import_w, item.failsafe.export_w] for item in terms]
        asked = {"sites": sites, "elements": list(elements), "criteria": dict(criteria or {})}
        answer = model.call("certificate", asked, timeout_s=CERTIFY_S)
        found = keep(version, terms, answer, now=now, state=state, meaning=meaning)
    if not found.holds:
        detail = found.detail
        raise Conflict(
            f"no failsafe certificate: {detail['criterion']} at {detail['element']} with every site at its failsafe "
            f"{detail['side']} limit in hour {detail['hour']}, switching state {state!r}",
            where=version.feeder.name,
            remedy="Restudy the newest agreement with the others in place, or end one.",
        )
    return found


def certify_known(version: FeederVersion, terms: Sequence[Terms], *, now: datetime) -> dict[str, Certificate]:
    """Return the agreements' certificate in every state that the desk knows, found now where it is not there yet.

    So a switching finds its certificate ready. A state that leaves a site without supply gets one that does not hold.
    """
    found: dict[str, Certificate] = {}
    with FeederProcess(version.text) as normal:
        elements = list(normal.call("participants", {"sites": places_of(terms)})["elements"])
        for name, state in {NORMAL: None, **known_states(version)}.items():
            meaning = NO_CHANGE if state is None else state.sha256()
            row = certificate_of(version, terms, name, meaning)
            if row is None:
                answer = _answer(version, normal, terms, state, elements)
                row = keep(version, terms, answer, now=now, state=name, meaning=meaning)
            found[name] = row
    return found


def places_of(terms: Sequence[Terms]) -> list[list[object]]:
    """Return each site's bus, phases and a tenth of its largest power: what its power flows through is watched."""
    return [[item.bus, list(item.phases), 0.1 * max(item.flexible.import_w, item.flexible.export_w)] for item in terms]


def _answer(
    version: FeederVersion, normal: FeederProcess, terms: Sequence[Terms], state: Declared | None, watched: Sequence[str]
) -> dict[str, object]:
    sites = [[item.bus, list(item.phases), item.failsafe.import_w, item.failsafe.export_w] for item in terms]
    if state is None:
        return dict(normal.call("certificate", {"sites": sites, "elements": list(watched)}, timeout_s=CERTIFY_S))
    raw = normal.call("state_text", {"text": version.text, "state": state.to_dict()})
    dark = [item.site for item in terms if item.bus.lower() in raw["dead_buses"]]
    if dark:
        return {"holds": False, "hour": 0, "side": "import", "criterion": "no supply", "element": dark[0]}
    criteria = {} if state.thermal_pu is None else {"thermal_pu": state.thermal_pu}
    with FeederProcess(raw["text"]) as model:
        elements = list(model.call("participants", {"sites": places_of(terms)})["elements"])
        asked = {"sites": sites, "elements": elements, "criteria": criteria}
        return dict(model.call("certificate", asked, timeout_s=CERTIFY_S))


def keep(
    version: FeederVersion, terms: Sequence[Terms], answer: dict[str, object], *, now: datetime, state: str, meaning: str
) -> Certificate:
    """Store what the check of all hours gave."""
    with transaction.atomic():
        row, new = Certificate.objects.get_or_create(
            feeder=version.feeder.name, model_sha256=version.sha256, state=state, state_sha256=meaning,
            limits_sha256=limits_sha256(terms), defaults={"holds": bool(answer["holds"]), "detail": answer, "at": now},
        )  # fmt: skip
        if new:
            facts = {
                "model": version.sha256,
                "state": state,
                "state_sha256": meaning,
                "limits": row.limits_sha256,
                **answer,
            }
            audit.append("certificate", "certify", f"feeder {version.feeder.name}", {}, facts)
    return row


def name_of(version: FeederVersion, opened: Sequence[str], closed: Sequence[str]) -> str | None:
    """Return the name under which the control room or the desk knows these open and closed elements; None: nobody does."""
    if not opened and not closed:
        return NORMAL
    meant = _as_set(opened, closed)
    rows = SwitchingState.objects.filter(feeder=version.feeder.name)
    declared = [(row.name, row.opened, row.closed) for row in rows]
    declared += [(state.name, state.opened, state.closed) for state in known_states(version).values() if not state.ties]
    return next((name for name, *elements in declared if _as_set(*elements) == meant), None)


def _as_set(opened: Sequence[str], closed: Sequence[str]) -> tuple[list[str], list[str]]:
    return sorted(item.lower() for item in opened), sorted(item.lower() for item in closed)


def _one_meaning(
    feeder: str, name: str, opened: Sequence[str], closed: Sequence[str], known: Declared | None, meaning: str
) -> None:
    """A name stands for one set of elements, ties and ratings, for certificates and tables go by it; else Conflict."""
    before = SwitchingState.objects.filter(feeder=feeder, name=name).first()
    others = [(before.opened, before.closed)] if before is not None else []
    others += [([], [])] if name == NORMAL else []
    others += [(list(known.opened), list(known.closed))] if known is not None else []
    changed = before is not None and before.state_sha256 not in ("", meaning)
    if changed or any(_as_set(opened, closed) != _as_set(*other) for other in others):
        raise Conflict(
            f"state {name!r} stands for other elements, ties or ratings already", where="name",
            remedy="Give this state another name.",
        )  # fmt: skip


def switching_state(feeder: str) -> SwitchingState | None:
    """Return the newest switching state; None: nobody ever declared one, the model's own holds."""
    return SwitchingState.objects.filter(feeder=feeder).first()


def declare_state(
    version: FeederVersion, name: str, *, opened: Sequence[str], closed: Sequence[str], by: str, reason: str,
    now: datetime, confirmed: bool = True,
) -> SwitchingState:  # fmt: skip
    """Declare the feeder's switching state. Not confirmed: every site of it goes to its failsafe until it is."""
    known = known_states(version).get(name)
    if known is not None and not opened and not closed:
        opened, closed = known.opened, known.closed  # the desk's state by its name
    if known is None:
        switched(version.text, opened, closed)  # raises for names that the model does not have
    feeder = version.feeder.name
    meaning = meaning_sha256(opened, closed) if known is None else known.sha256()
    _one_meaning(feeder, name, opened, closed, known, meaning)
    before = switching_state(feeder)
    with transaction.atomic():
        row = SwitchingState.objects.create(
            feeder=feeder, name=name, opened=list(opened), closed=list(closed), confirmed=confirmed, by=by, reason=reason,
            at=now, state_sha256=meaning,
        )  # fmt: skip
        log = audit.append if confirmed else audit.append_lowering
        was = {"state": before.name if before else NORMAL}
        log(by, "switching", f"feeder {feeder}", was, {"state": name, "opened": list(opened), "closed": list(closed),
                                                       "confirmed": confirmed, "reason": reason})  # fmt: skip
    return row
