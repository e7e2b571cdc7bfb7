"""The only writers of the control room's tables."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from interconnection import audit
from telemetry.control.evidence import Bundle
from telemetry.control.grant import Acknowledgement, Grant
from telemetry.cycle_models import CycleDocument, EvidenceRow, LadderRow
from telemetry.lead_services import leads
from telemetry.models import CycleRow, GrantRow, HeadMeasurement, LeaderLease, SiteEndpoint

KEEP_CYCLES = 10_000


def audit_grants(feeder: str, grants: Sequence[Grant]) -> bool:
    """Write grants before they go out, if their epoch still leads; False (and nothing written) when it does not."""
    with transaction.atomic():
        # The chain's end is locked before the lease row: whoever waits for the chain must not keep the lease from renewal.
        audit.append("engine", "raise", f"feeder {feeder}", {}, {"grants": [_facts(grant) for grant in grants]})
        GrantRow.objects.bulk_create([_row(grant) for grant in grants])
        leading = all(leads(feeder, epoch) for epoch in {grant.epoch for grant in grants})
        transaction.set_rollback(not leading)
    return leading


def record_outcomes(feeder: str, answers: Sequence[Acknowledgement]) -> None:
    """Note what became of grants; those not audited before (tightenings) are written now.

    Not fenced: these are facts of what went out under an epoch that the row names, and a leader that hung may be the only
    one who knows them. They move no limit; what does (ladders, the board, raises) asks `leads` first.
    """
    late = []
    for answer in answers:
        grant = answer.grant
        rows = GrantRow.objects.filter(site=grant.site, epoch=grant.epoch, sequence=grant.sequence)
        if not rows.update(outcome=answer.outcome.value):
            row = _row(grant)
            row.outcome = answer.outcome.value
            row.save()
            late.append(_facts(grant) | {"outcome": answer.outcome.value})
    if late:
        audit.append_lowering("engine", "lower", f"feeder {feeder}", {}, {"grants": late})


def record_cycle(
    feeder: str, at: datetime, snapshot: str, epoch: int, board: dict[str, Any], *, document: str = "",
    ladders: Mapping[str, dict[str, Any]] | None = None,
) -> bool:  # fmt: skip
    """Store what the board shows, the cycle's document and the sites' ladders, and let old rows go.

    False, and nothing stored, when another engine leads by now: a leader that hung must not show old news as new.
    """
    with transaction.atomic():
        for site, state in (ladders or {}).items():
            keep_ladder(feeder, site, state, at)
        row = CycleRow.objects.create(feeder=feeder, at=at, snapshot=snapshot, epoch=epoch, board=board)
        if document:
            digest = hashlib.sha256(document.encode()).hexdigest()
            CycleDocument.objects.create(cycle=row, sha256=digest, text=document)
        leading = leads(feeder, epoch) or not LeaderLease.objects.filter(feeder=feeder).exists()
        transaction.set_rollback(not leading)
    if leading and row.pk % 500 == 0:
        CycleRow.objects.filter(feeder=feeder, pk__lt=row.pk - KEEP_CYCLES).delete()
    return leading


def keep_ladder(feeder: str, site: str, state: dict[str, Any], at: datetime) -> None:
    """Store where a site stands; a step of its stage is logged, a lock is SCADA's request for the trip."""
    row = LadderRow.objects.filter(feeder=feeder, site=site).first()
    before, stage = row.stage if row is not None else "obeys", state["stage"]
    since = row.since if row is not None and before == stage else at
    LadderRow.objects.update_or_create(
        feeder=feeder, site=site, defaults={"stage": stage, "state": state, "since": since, "at": Now()}
    )  # aged by the database's clock: two machines' clocks differ, and either may jump
    if before != stage:
        facts = {"stage": stage, "worst_w": state["worst_w"], "trip_asked": stage == "locked"}
        audit.append_lowering("engine", "ladder", f"site {feeder}/{site}", {"stage": before}, facts)


def keep_evidence(feeder: str, bundles: Sequence[Bundle], at: datetime) -> None:
    """Store evidence bundles, each with its hash in the audit chain. Late ones too: what was seen stays true."""
    for bundle in bundles:
        text = audit.canonical(bundle.facts)
        digest = hashlib.sha256(text.encode()).hexdigest()
        EvidenceRow.objects.create(
            feeder=feeder, site=bundle.site, stage=bundle.stage, snapshot=bundle.snapshot, at=at, facts=text, sha256=digest
        )
        facts = {"stage": bundle.stage, "snapshot": bundle.snapshot, "sha256": digest}
        audit.append_lowering("engine", "evidence", f"site {feeder}/{bundle.site}", {}, facts)


def measure_head(feeder: str, at: datetime, power_w: float, reactive_var: float) -> None:
    """Store the latest measurement of a feeder's head."""
    HeadMeasurement.objects.update_or_create(
        feeder=feeder, defaults={"at": at, "power_w": power_w, "reactive_var": reactive_var}
    )


def place_site(site: str, protocol: str, host: str, port: int) -> None:
    """Store where a site's wire ends."""
    SiteEndpoint.objects.update_or_create(site=site, defaults={"protocol": protocol, "host": host, "port": port})


def _facts(grant: Grant) -> dict[str, Any]:
    return {
        "site": grant.site, "epoch": grant.epoch, "sequence": grant.sequence, "import_w": grant.limit.import_w,
        "export_w": grant.limit.export_w, "why": f"{grant.reason.criterion} at {grant.reason.element}",
        "snapshot": grant.reason.snapshot,
    }  # fmt: skip


def describe_device(site: str, device: dict[str, Any]) -> None:
    """Store what the commissioning test found a site's device to speak."""
    SiteEndpoint.objects.filter(site=site).update(device=device)


def _row(grant: Grant) -> GrantRow:
    reason = grant.reason
    return GrantRow(
        site=grant.site,
        epoch=grant.epoch,
        sequence=grant.sequence,
        import_w=grant.limit.import_w,
        export_w=grant.limit.export_w,
        ttl_s=grant.ttl_s,
        reason={
            "criterion": reason.criterion, "element": reason.element, "share": reason.share, "snapshot": reason.snapshot,
        },
    )  # fmt: skip
