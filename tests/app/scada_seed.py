"""Agreements without their history: what the control room needs to know of sites, put straight into the tables.

Also run as a process that plays the engine: `python -m tests.app.scada_seed` records a cycle and a verdict every second.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from derms.limits import Limit
from tests.unit.terms import terms

SITES = {
    "depot-1": ("ieee13", Limit(1_500_000, 1_500_000)),
    "depot-2": ("ieee13", Limit(500_000, 250_000)),
    "mall-3": ("ieee123", Limit(800_000, 0)),
}


def seed(sites: dict[str, tuple[str, Limit]] | None = None) -> None:
    """Store one agreement in force for each site."""
    from django.contrib.auth import get_user_model

    from interconnection.models import Agreement, Application, Feeder, FeederVersion, Offer, Study

    user, _ = get_user_model().objects.get_or_create(username="seed")
    second, _ = get_user_model().objects.get_or_create(username="second")
    for site, (name, flexible) in (sites or SITES).items():
        feeder, _ = Feeder.objects.get_or_create(name=name)
        version = feeder.versions.first() or FeederVersion.objects.create(
            feeder=feeder, sha256="0" * 64, text="", description={}, findings=[]
        )
        kw = {"import_w": flexible.import_w, "export_w": flexible.export_w}
        application = Application.objects.create(
            applicant=user, name=site, feeder=feeder, bus="671", charger_model="x", charger_count=1,
            charger_import_w=flexible.import_w, charger_export_w=flexible.export_w, wanted=date(2026, 1, 1),
            state="permitted", **kw,
        )  # fmt: skip
        study = Study.objects.create(
            application=application, version=version, request={}, inputs_sha256="0" * 64, engine="test", status="done",
            total_hours=1, done_hours=1, result="{}",
        )  # fmt: skip
        failsafe = Limit(flexible.import_w // 5, flexible.export_w // 5)
        item = replace(terms(site, failsafe=failsafe, flexible=flexible), feeder=name)
        document = item.document().decode()
        offer = Offer.objects.create(
            application=application, study=study, document=document, sha256=item.sha256(), status="accepted",
            prepared_by=user, issued_by=second, issued=datetime.now(UTC),
            firm_import_w=0, firm_export_w=0, flexible_import_w=0, flexible_export_w=0, failsafe_import_w=0,
            failsafe_export_w=0,
        )  # fmt: skip
        Agreement.objects.create(offer=offer, site=site, document=document, sha256=item.sha256(), accepted_by=user)


def board(feeder: str, *, heard: bool = True) -> dict[str, Any]:
    """Return what the engine would show of a feeder: every site draws 200 kW and is allowed 300 / 100 kW."""
    sites = [
        {
            "site": site, "power_kw": 200.0, "import_limit_kw": 300.0, "export_limit_kw": 100.0, "heard": heard,
            "silent_s": 2 if heard else 90, "in_failsafe": False, "stage": "obeys", "state_of_charge_percent": 50.0,
            "available_import_kw": 250.0, "available_export_kw": 80.0, "energy_kwh": 500.0,
        }
        for site, (name, _) in SITES.items() if name == feeder
    ]  # fmt: skip
    return {
        "mode": "automatic", "problem": "", "head_kw": 2345.6, "head_kvar": -78.9, "loading_percent": 71.0,
        "v_min_pu": 0.981, "v_max_pu": 1.012, "sites": sites,
    }  # fmt: skip


def play(seconds: float) -> None:
    """Record cycles and say that all is well, for a while."""
    from telemetry import progress, services
    from telemetry.control.watch import Verdict

    for count in range(int(seconds)):
        for feeder in ("ieee13", "ieee123"):
            services.measure_head(feeder, datetime.now(UTC), 2_345_600.0, -78_900.0)
            services.record_cycle(feeder, datetime.now(UTC), f"1-{count}", 1, board(feeder))
        progress.publish(Verdict("controlling", "", ()), count)
        time.sleep(1.0)


if __name__ == "__main__":
    import django

    django.setup()
    seed() if sys.argv[1] == "seed" else play(float(sys.argv[1]))
