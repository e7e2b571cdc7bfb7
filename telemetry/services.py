"""The only writers of the control room's tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q

from interconnection import audit
from telemetry.control.grant import Acknowledgement, Grant
from telemetry.models import CycleRow, GrantRow, HeadMeasurement, LeaderLease, SiteEndpoint

LEASE_S = 5.0
KEEP_CYCLES = 10_000


def take_lead(feeder: str, holder: str, now: datetime) -> int | None:
    """Return the epoch under which `holder` leads from now on, or None while another's lease runs.

    A conditional UPDATE decides: of two engines one wins, and each new leadership has a higher epoch than any before.
    """
    LeaderLease.objects.get_or_create(feeder=feeder, defaults={"expires": now, "holder": "", "epoch": 0})
    expires = now + timedelta(seconds=LEASE_S)
    with transaction.atomic():
        won = LeaderLease.objects.filter(Q(feeder=feeder) & Q(expires__lte=now)).update(
            holder=holder, epoch=F("epoch") + 1, expires=expires
        )
        if not won:
            return None
        return LeaderLease.objects.get(feeder=feeder).epoch


def keep_lead(feeder: str, holder: str, epoch: int, now: datetime) -> bool:
    """Renew the lease; False when it was lost, even if nobody took it: then a new epoch is needed."""
    rows = LeaderLease.objects.filter(feeder=feeder, holder=holder, epoch=epoch, expires__gt=now)
    return bool(rows.update(expires=now + timedelta(seconds=LEASE_S)))


def audit_grants(feeder: str, grants: Sequence[Grant]) -> bool:
    """Write grants before they go out, if their epoch still leads; False (and nothing written) when it does not."""
    with transaction.atomic():
        epochs = {grant.epoch for grant in grants}
        if LeaderLease.objects.select_for_update().filter(feeder=feeder, epoch__in=epochs).count() != len(epochs):
            return False
        GrantRow.objects.bulk_create([_row(grant) for grant in grants])
        audit.append("engine", "raise", f"feeder {feeder}", {}, {"grants": [_facts(grant) for grant in grants]})
    return True


def record_outcomes(feeder: str, answers: Sequence[Acknowledgement]) -> None:
    """Note what became of grants; those not audited before (tightenings) are written now."""
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


def record_cycle(feeder: str, at: datetime, snapshot: str, epoch: int, board: dict[str, Any]) -> None:
    """Store what the board shows, and let old rows go."""
    row = CycleRow.objects.create(feeder=feeder, at=at, snapshot=snapshot, epoch=epoch, board=board)
    if row.pk % 500 == 0:
        CycleRow.objects.filter(feeder=feeder, pk__lt=row.pk - KEEP_CYCLES).delete()


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
