"""`manage.py demo`: the main job end to end, on the shipped feeder or on any other."""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from derms.errors import HeadroomError
from derms.progress import Bar
from derms.units import kilowatts_to_watts
from interconnection import states
from interconnection.models import Agreement, Application, FeederVersion, Study
from interconnection.services import commissioning
from interconnection.services.applications import Request, file_application, move, submit
from interconnection.services.certificates import register
from interconnection.services.feeders import feeder_version
from interconnection.services.offers import accept_offer, draft_terms, issue_offer
from interconnection.services.studies import build_request, order_study, perform
from telemetry.twin.report import headline, html, table
from telemetry.twin.story import RUNS, Depot, Story, write_json

STUDY_KEYS = (
    "firm_import_kw", "firm_export_kw", "flexible_import_kw", "flexible_export_kw", "limited_hours_import",
    "limited_energy_percent_import", "binding_import", "binding_export", "inputs_sha256", "engine",
)  # fmt: skip


class Command(BaseCommand):
    """Tell the story."""

    help = "50 bidirectional chargers ask; study, offer, agreement, and five runs of the peak day over real protocols."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--feeder", default="ieee123", help="stored or shipped name, or a path to a master file")
        parser.add_argument("--bus", help="default: 250 on the shipped feeder")
        parser.add_argument("--chargers", type=int, default=50)
        parser.add_argument("--charger-kw", type=float, help="default: 30 on the shipped feeder, 60 elsewhere")
        parser.add_argument("--battery-kwh", type=float, help="default: 200 on the shipped feeder, 226 elsewhere")
        parser.add_argument("--hours", type=int, default=8760)
        parser.add_argument("--step", type=float, default=10.0, help="control cycle and plant step, seconds")
        parser.add_argument("--runs", default=",".join(RUNS), help="for a look at some runs only: then no claim is made")
        parser.add_argument("--json", type=Path)
        parser.add_argument("--html", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        """Tell it; exit status 1 when a safety claim does not hold, 2 when the input is refused."""
        try:
            good = self._tell(options)
        except HeadroomError as error:
            self.stderr.write(f"{error.what}\n  at {error.where}\n  {error.remedy}".rstrip())
            raise SystemExit(2) from error
        if not good:
            raise SystemExit(1)

    def _tell(self, options: dict[str, Any]) -> bool:
        shipped = options["feeder"] == "ieee123"
        version = feeder_version(options["feeder"], actor="demo")
        watts = kilowatts_to_watts(options["charger_kw"] or (30.0 if shipped else 60.0), where="--charger-kw")
        battery_wh = (options["battery_kwh"] or (200.0 if shipped else 226.0)) * 1000.0
        depot = Depot(options["chargers"], watts, battery_wh)
        bus = options["bus"] or "250"
        agreement, study = self._promise(version, bus, depot, options)
        answer = json.loads(study.result)
        facts = {key: answer[key] for key in STUDY_KEYS}
        self.stdout.write(headline(facts, answer))
        story = Story(version.text, agreement.terms, depot, answer["binding_import"]["hour"], step_s=options["step"])
        names = [name for name in RUNS if name in options["runs"].split(",")]
        with Bar("the peak day", stream=sys.stderr) as bar:
            results = story.play(names, progress=bar.update)
        samples = {name: run.pop("samples") for name, run in results.items()}
        self.stdout.write(table(results))
        if names != list(RUNS):
            self.stdout.write("Only some runs: no safety claim is made.")
            return True
        claims = story.claims(results)
        for text, holds in claims:
            self.stdout.write(f"{'holds' if holds else 'DOES NOT HOLD'}: {text}")
        safe = all(holds for _, holds in claims)
        if safe:
            _permit(agreement, claims)
        document = {"study": facts, "runs": results, "safe": safe}
        if options["json"]:
            write_json(options["json"], document)
            self.stdout.write(f"figures: {options['json']}")
        if options["html"]:
            options["html"].parent.mkdir(parents=True, exist_ok=True)
            options["html"].write_text(html(document, answer, claims, samples))
            self.stdout.write(f"report with pictures: {options['html']}")
        return safe

    def _promise(self, version: FeederVersion, bus: str, depot: Depot, options: dict[str, Any]) -> tuple[Agreement, Study]:
        """File, study, offer and accept, by the same services that people use."""
        applicant, engineer = _person("demo-applicant", "applicant"), _person("demo-engineer", "engineer")
        with transaction.atomic():
            # An earlier demo's agreement on this feeder ends: two depots at one bus would need a study together.
            for earlier in Application.objects.filter(
                applicant=applicant, feeder=version.feeder, state__in=states.COMMITTED
            ):
                move(earlier, "end", actor=str(engineer))
            listing = register(
                make="Demo", model=f"{depot.charger_w / 1000:g} kW bidirectional DC", standard="UL 1741 SB",
                listing="DEMO-0001", issued=date(2026, 1, 1), expires=None, origin="made up for the demo", actor="demo",
            )  # fmt: skip
            application = file_application(
                Request(
                    name="Bus depot", feeder=version.feeder.name, bus=bus, phases="123",
                    import_w=depot.nameplate.import_w, export_w=depot.nameplate.export_w,
                    charger_model=f"{depot.charger_w / 1000:g} kW bidirectional DC", charger_count=depot.chargers,
                    charger_import_w=depot.charger_w, charger_export_w=depot.charger_w,
                    need_wh_per_day=int(depot.chargers * depot.battery_wh * 0.75), wanted=date(2027, 1, 1),
                    address="1 Depot Road", contact="Night desk", contact_email="night@depot.example",
                    contact_phone="+1 555 0100", charger_make="Demo", vehicle_count=depot.chargers,
                    vehicle_wh=int(depot.battery_wh), transformer_va=int(depot.nameplate.import_w * 1.1),
                    certificates=[{"standard": listing.standard, "listing": listing.listing}],
                    documents=[{"kind": "one_line", "status": "attached"}],
                ),
                applicant=applicant,
            )  # fmt: skip
            submit(application, actor=str(applicant))
        study = self._study(version, application, options["hours"])
        terms = draft_terms(application, study, starts=date(2026, 1, 1), ends=None)
        offer = issue_offer(application, study, terms, engineer=engineer, approver=_person("demo-approver", "approver"))
        return accept_offer(offer, applicant=applicant, typed_name="D. Applicant"), study

    def _study(self, version: FeederVersion, application: Application, hours: int) -> Study:
        request = build_request(
            version, application.bus, application.phase_numbers, application.import_w, application.export_w, hours=hours
        )
        study = order_study(version, request, actor="demo-engineer", application=application)
        with Bar("study", stream=sys.stderr) as bar:
            return perform(study.pk, progress=bar.update)


def _permit(agreement: Agreement, claims: list[tuple[str, bool]]) -> None:
    """Record the five runs as a witnessed test and permit operation: only a run with every claim held comes here."""
    application = agreement.offer.application
    engineer, approver = _person("demo-engineer", "engineer"), _person("demo-approver", "approver")
    steps = [commissioning.Step(text, holds, note="the demo's runs over the wire") for text, holds in claims]
    commissioning.record(
        application, commissioning.Result("witness", steps, at=datetime.now(UTC)), by=engineer, witness=approver
    )
    commissioning.permit(application, by=approver)


def _person(name: str, role: str) -> Any:
    """Return a person of the demo, who has no password and so cannot sign in."""
    user, new = get_user_model().objects.get_or_create(username=name)
    if new:
        user.set_unusable_password()
        user.save()
        user.groups.add(Group.objects.get_or_create(name=role)[0])
    return user
