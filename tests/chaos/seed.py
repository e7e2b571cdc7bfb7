"""Three agreements in force on the shipped IEEE 123 feeder: `python -m tests.chaos.seed FOLDER`, on an empty database.

Failsafe limits are small enough for a certificate over the whole year; flexible limits are together far above what the
feeder can take, so that the envelope binds and a wrong one would burn something.
"""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.utils import timezone  # noqa: E402

from derms.agreement import Curtailment, Terms  # noqa: E402
from derms.limits import Limit  # noqa: E402
from interconnection import states  # noqa: E402
from interconnection.models import Agreement, Application, FeederVersion, Offer, Study  # noqa: E402
from interconnection.services.feeders import feeder_version  # noqa: E402
from telemetry import services  # noqa: E402

FEEDER = "ieee123"
BUSES = {"east": "250", "north": "300", "south": "83"}
FAILSAFE, FLEXIBLE = Limit(120_000, 0), Limit(2_500_000, 1_500_000)
LEASE_S, RESPONSE_S, RAMP_W_PER_S = 12, 2, 1_000_000


def main(folder: Path) -> None:
    """Write the rows, and beside them what each site process reads."""
    version = feeder_version(FEEDER, actor="chaos")
    user, second = (get_user_model().objects.create_user(name) for name in ("chaos", "chaos-approver"))
    ports = json.loads((folder / "ports.json").read_text())
    for name, bus in BUSES.items():
        _agreement(version, (user, second), name, bus)
        services.place_site(name, "dnp3", "127.0.0.1", ports[name]["proxy"])
        facts = {"failsafe": [FAILSAFE.import_w, FAILSAFE.export_w], "nameplate": [FLEXIBLE.import_w, FLEXIBLE.export_w],
                 "lease_s": LEASE_S, "response_s": RESPONSE_S, "ramp_w_per_s": RAMP_W_PER_S, "bus": bus}  # fmt: skip
        (folder / f"{name}.json").write_text(json.dumps(facts))
    (folder / "model.dss").write_text(version.text)


def _agreement(version: FeederVersion, people: tuple[object, object], name: str, bus: str) -> None:
    user, second = people
    application = Application.objects.create(
        applicant=user, name=name, feeder=version.feeder, bus=bus, import_w=FLEXIBLE.import_w, export_w=FLEXIBLE.export_w,
        charger_model="chaos", charger_count=1, charger_import_w=FLEXIBLE.import_w, charger_export_w=FLEXIBLE.export_w,
        wanted=date(2026, 1, 1), protocol="dnp3", state=states.PERMITTED,
    )  # fmt: skip
    study = Study.objects.create(
        application=application, version=version, request={}, inputs_sha256="0" * 64, engine="chaos", status=Study.DONE,
        total_hours=0, result="{}",
    )  # fmt: skip
    terms = Terms(
        site=name, feeder=FEEDER, feeder_sha256=version.sha256, bus=bus, phases=(1, 2, 3), firm=FAILSAFE, flexible=FLEXIBLE,
        failsafe=FAILSAFE, ramp_w_per_s=RAMP_W_PER_S, response_s=RESPONSE_S, telemetry_s=2, lease_s=LEASE_S,
        protocol="dnp3",
        curtailment=Curtailment(0, 0.0, 0, 0.0), starts=date(2026, 1, 1), ends=None, study_sha256="0" * 64,
    )  # fmt: skip
    document = terms.document().decode()
    offer = Offer.objects.create(
        application=application, study=study, document=document, sha256=terms.sha256(),
        firm_import_w=FAILSAFE.import_w, firm_export_w=FAILSAFE.export_w, flexible_import_w=FLEXIBLE.import_w,
        flexible_export_w=FLEXIBLE.export_w, failsafe_import_w=FAILSAFE.import_w, failsafe_export_w=FAILSAFE.export_w,
        status=Offer.ACCEPTED, prepared_by=user, issued_by=second, issued=timezone.now(),
    )  # fmt: skip
    Agreement.objects.create(offer=offer, site=name, document=document, sha256=terms.sha256(), accepted_by=user)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
