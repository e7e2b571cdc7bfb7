"""`python -m telemetry.benchmarks.dnp3_seed NAME:PORT …`: agreements in force on IEEE 13, for `bench dnp3` only.

Puts rows straight into an empty database: their history (study, two people, commissioning) is not what is measured.
"""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime

FAILSAFE_W, FLEXIBLE_W = 20_000, 100_000


def seed(places: list[str]) -> None:
    """Store one agreement in force, and one address, for each "name:port"."""
    from django.contrib.auth import get_user_model

    from derms.agreement import Curtailment, Terms
    from derms.limits import Limit
    from interconnection.models import Agreement, Application, Offer, Study
    from interconnection.services.feeders import feeder_version
    from telemetry import services

    version = feeder_version("ieee13", actor="bench")
    one, _ = get_user_model().objects.get_or_create(username="bench-one")
    two, _ = get_user_model().objects.get_or_create(username="bench-two")
    firm, flexible = Limit(FAILSAFE_W, FAILSAFE_W), Limit(FLEXIBLE_W, FLEXIBLE_W)
    for place in places:
        name, port = place.split(":")
        terms = Terms(
            site=name, feeder="ieee13", feeder_sha256=version.sha256, bus="671", phases=(1, 2, 3), firm=firm,
            flexible=flexible, failsafe=firm, ramp_w_per_s=50_000, response_s=2, telemetry_s=2, lease_s=60, protocol="dnp3",
            curtailment=Curtailment(0, 0.0, 0, 0.0), starts=date(2026, 1, 1), ends=None, study_sha256="0" * 64,
        )  # fmt: skip
        application = Application.objects.create(
            applicant=one, name=name, feeder=version.feeder, bus="671", charger_model="bench", charger_count=1,
            charger_import_w=FLEXIBLE_W, charger_export_w=FLEXIBLE_W, import_w=FLEXIBLE_W, export_w=FLEXIBLE_W,
            wanted=date(2026, 1, 1), state="permitted",
        )  # fmt: skip
        study = Study.objects.create(
            application=application, version=version, request={}, inputs_sha256="0" * 64, engine="bench", status="done",
            total_hours=1, done_hours=1, result="{}",
        )  # fmt: skip
        document, digest = terms.document().decode(), terms.sha256()
        offer = Offer.objects.create(
            application=application, study=study, document=document, sha256=digest, status="accepted", prepared_by=one,
            issued_by=two, issued=datetime.now(UTC), firm_import_w=FAILSAFE_W, firm_export_w=FAILSAFE_W,
            flexible_import_w=FLEXIBLE_W, flexible_export_w=FLEXIBLE_W, failsafe_import_w=FAILSAFE_W,
            failsafe_export_w=FAILSAFE_W,
        )  # fmt: skip
        Agreement.objects.create(offer=offer, site=name, document=document, sha256=digest, accepted_by=one)
        services.place_site(name, "dnp3", "127.0.0.1", int(port))


if __name__ == "__main__":
    import django

    django.setup()
    seed(sys.argv[1:])
