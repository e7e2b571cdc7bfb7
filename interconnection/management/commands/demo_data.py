"""`manage.py demo_data`: a planning desk full of applications, made by rule, to see and to measure pages with.

Everything goes through the services that people use; the studies are real runs of the engine, one for each kind of
application and bus (the same inputs give the same bytes, so its answer stands for every application that asks the same).
The feeders are copies of the shipped models under names of their own: no control room waits for them.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from derms.feeders import shipped
from derms.grid.dss_text import read_model
from derms.progress import Bar
from interconnection import states
from interconnection.models import Application, FeederVersion, Study
from interconnection.services import clocks, commissioning, constraints
from interconnection.services.applications import Request, act, amend, current_request, file_application, move, submit
from interconnection.services.certificates import register
from interconnection.services.commissioning import Result, Step
from interconnection.services.feeders import store_model
from interconnection.services.offers import accept_offer, approve_offer, draft_terms, prepare_offer
from interconnection.services.screening import screen
from interconnection.services.studies import build_request, order_study, perform

FEEDERS = {"riverside": "ieee123", "harbour": "ieee13", "hillcrest": "ieee123", "station-yard": "ieee13"}
PLACES = ("Riverside", "Harbour", "Hillcrest", "Station", "Mill", "Airport", "Market", "University", "North", "South",
          "East", "West", "Lakeside", "Quarry", "Orchard", "Foundry", "Canal", "Meadow", "Summit", "Junction")  # fmt: skip
USES = ("bus depot", "school bus yard", "delivery hub", "parcel centre", "taxi rank", "fleet garage", "truck stop",
        "park and ride", "car share hub", "municipal yard", "hospital fleet", "rental lot")  # fmt: skip
COMPANIES = ("Voltway Fleets", "Green Mile Transit", "Northside Schools", "Parcelbird", "CityCab",
             "Harbour Logistics", "Sunrise Rentals", "Metro Works", "Campus Mobility", "Longhaul Electric", "Bluebus",
             "Depot Partners")  # fmt: skip
CHARGERS = (("Gridbox", "G60 bidirectional", 60_000, "charger"), ("Amperion", "V30 DC", 30_000, "charger"),
            ("Twoway", "T125", 125_000, "charger"), ("Homeport", "AC22", 22_000, "vehicle"))  # fmt: skip
ENDS = ((states.DRAFT, 4), (states.SUBMITTED, 10), (states.COMPLETE, 8), (states.SCREENING, 12), (states.STUDY, 14),
        (states.OFFER, 12), (states.ACCEPTED, 8), (states.COMMISSIONING, 5), (states.PERMITTED, 17), (states.SUSPENDED, 2),
        (states.WITHDRAWN, 6), (states.ENDED, 2))  # fmt: skip
STUDIED_HOURS, SCREEN_HOURS = 288, 24
COUNTS = (20, 40, 8, 12)
"""Of each charger: one kind of depot for each, so that few studies serve many applications."""
PLACES_A_FEEDER = 2
FIRM_SHARE = 0.01
REASONS = ("sold the site", "another site was found", "too late for the season", "the fleet is leased elsewhere")


@contextmanager
def _at(moment: datetime) -> Iterator[None]:
    """Let the services' clock stand at a moment: history is made in minutes here."""
    real = timezone.now
    timezone.now = lambda: moment
    try:
        yield
    finally:
        timezone.now = real


class Command(BaseCommand):
    """Fill the desk."""

    help = "Make applications in every state on copies of the shipped feeders; the same seed makes the same desk."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--applications", type=int, default=500)
        parser.add_argument("--seed", type=int, default=1)

    def handle(self, *args: Any, **options: Any) -> None:
        """Make them; refuses a database that has demo data already."""
        if Application.objects.filter(feeder__name__in=FEEDERS).exists():
            raise CommandError("there is demo data already: use a fresh database")
        if not 1 <= options["applications"] <= 100_000:
            raise CommandError("--applications is outside 1..100000")
        maker = _Maker(random.Random(options["seed"]))  # noqa: S311  (made-up data, not a secret)
        count = options["applications"]
        with Bar("applications", stream=sys.stderr) as bar:
            for number in range(count):
                with transaction.atomic():
                    maker.one(number, count)
                bar.update(number + 1, count)
        for state in states.STATES:
            self.stdout.write(f"{state}: {Application.objects.filter(state=state).count()}")


class _Maker:
    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.now = timezone.now()
        self.engineers = [_person(f"demo-engineer-{number}", "engineer") for number in (1, 2, 3)]
        self.approvers = [_person(f"demo-approver-{number}", "approver") for number in (1, 2)]
        self.operator = _person("demo-operator-1", "operator")
        self.applicants = [_person(name.lower().replace(" ", "-"), "applicant") for name in COMPANIES]
        self.versions = {
            name: store_model(read_model(shipped()[model]), name, actor="demo_data") for name, model in FEEDERS.items()
        }
        for make, model, watts, place in CHARGERS:
            standard = "UL 1741 SB" if place == "charger" else "SAE J3072"
            register(make=make, model=model, standard=standard, listing=f"L-{make}", issued=date(2025, 1, 1), expires=None,
                     origin="made up for demo data", rated_w=watts, actor="demo_data")  # fmt: skip
        self.answers: dict[str, str] = {}

    def one(self, number: int, count: int) -> None:
        """Make one application and lead it as far as its lot says, over the days up to today."""
        ends = self.chance.choices([name for name, _ in ENDS], [weight for _, weight in ENDS])[0]
        moment = self.now - timedelta(days=540 * (count - number) / count + self.chance.random() * 10 + 1)
        applicant, engineer = self.chance.choice(self.applicants), self.chance.choice(self.engineers)
        request = self._request(number, incomplete=ends == states.SUBMITTED)
        with _at(moment):
            application = file_application(request, applicant=applicant)
            if ends == states.DRAFT:
                return
            submit(application, actor=str(applicant))
        if ends == states.SUBMITTED:
            if self.chance.random() < 0.3:
                with _at(self._later(moment, 2)):
                    clocks.ask(application, "Which transformer serves the site?", by=engineer, about=["transformer"])
            return
        if self.chance.random() < 0.15:
            with _at(self._later(moment, 3)):
                smaller = current_request(application)
                amend(application, _smaller(smaller), by=applicant, cause="fewer vehicles in the first year")
        self._lead(application, ends, moment, engineer)

    def _lead(self, application: Application, ends: str, moment: datetime, engineer: Any) -> None:
        if ends == states.COMPLETE:
            return
        with _at(moment := self._later(moment, 12)):
            if ends == states.WITHDRAWN and self.chance.random() < 0.5:
                act(application, "withdraw", by=application.applicant, reason=self.chance.choice(REASONS))
                return
            screen(application, actor=str(engineer), hours=SCREEN_HOURS)
        if ends == states.SCREENING:
            return
        with _at(moment := self._later(moment, 20)):
            study = self._study(application, str(engineer))
        if ends == states.WITHDRAWN:
            with _at(self._later(moment, 5)):
                act(application, "withdraw", by=application.applicant, reason=self.chance.choice(REASONS))
        if ends not in (states.STUDY, states.WITHDRAWN):
            self._offer(application, study, ends, moment, engineer)

    def _offer(self, application: Application, study: Study, ends: str, moment: datetime, engineer: Any) -> None:
        with _at(moment := self._later(moment, 10)):
            terms = draft_terms(application, study, starts=application.wanted, ends=None)
            # Dozens share a feeder here: each gets a small part of what a study of it alone found firm.
            small = terms.firm.scaled(FIRM_SHARE)
            terms = replace(terms, firm=small, failsafe=small)
            offer = prepare_offer(application, study, terms, engineer=engineer,
                                  valid_until=clocks.local_day(self.now) + timedelta(days=30))  # fmt: skip
            approve_offer(offer, approver=self.chance.choice(self.approvers))
            application.refresh_from_db()
        if ends == states.OFFER:
            return
        with _at(moment := self._later(moment, 15)):
            accept_offer(offer, applicant=application.applicant, typed_name=str(application.applicant))
            application.refresh_from_db()
        if ends == states.ACCEPTED:
            return
        with _at(moment := self._later(moment, 40)):
            held = ends != states.COMMISSIONING
            steps = [Step("falls to its failsafe when the link is cut", True), Step("follows a step to half", held)]
            commissioning.record(application, Result("witness", steps, at=moment), by=engineer, witness=self.approvers[0])
            if not held:
                return
            commissioning.permit(application, by=self.approvers[1])
        with _at(self._later(moment, 5)):
            if ends == states.SUSPENDED:
                act(application, "suspend", by=self.operator, reason="went over its limit three times in a day")
            elif ends == states.ENDED:
                move(application, "end", actor=str(engineer), reason="the site was closed")

    def _later(self, moment: datetime, days: float) -> datetime:
        """Return a moment some days on, in working hours, never after now."""
        later = moment + timedelta(days=days * (0.3 + self.chance.random()), hours=self.chance.random())
        return min(later, self.now - timedelta(minutes=1))

    def _request(self, number: int, *, incomplete: bool) -> Request:
        feeder = self.chance.choice(list(FEEDERS))
        buses = [bus[0] for bus in self.versions[feeder].description["buses"]
                 if len(bus[1]) == 3 and 1000 < bus[2] < 20_000]  # fmt: skip
        # Two places on each feeder: depots cluster, and their queues with them.
        places = sorted(buses)[:: max(1, len(buses) // PLACES_A_FEEDER)][:PLACES_A_FEEDER]
        bus = self.chance.choice(places)
        which = self.chance.randrange(len(CHARGERS))
        (make, model, watts, place), count = CHARGERS[which], COUNTS[which]
        kind = "UL 1741 SB" if place == "charger" else "SAE J3072"
        name = f"{self.chance.choice(PLACES)} {self.chance.choice(USES)} {number + 1}"
        vehicle = f"{make if place == 'vehicle' else 'Fleetline'} {self.chance.choice(('Van', 'Bus', 'Truck'))}"
        return Request(
            name=name, feeder=feeder, bus=bus, phases="123", import_w=count * watts, export_w=count * watts // 2,
            charger_model=model, charger_make=make, charger_count=count, charger_import_w=watts, charger_export_w=watts,
            need_wh_per_day=count * 120_000,
            wanted=clocks.local_day(self.now) + timedelta(days=30 * self.chance.randrange(1, 24)),
            protocol=self.chance.choice(("dnp3", "sunspec", "ieee2030_5")),
            address="" if incomplete else f"{self.chance.randrange(1, 400)} {self.chance.choice(PLACES)} Road",
            contact_email=f"night@site{number + 1}.example", vehicle_model=vehicle, vehicle_count=count,
            vehicle_wh=200_000, transformer=f"T-{self.chance.randrange(1, 300)}", transformer_va=int(count * watts * 1.1),
            inverter_place=place, certificates=[{"standard": kind, "listing": f"L-{make}"}],
            documents=[{"kind": "one_line", "status": "pending" if incomplete else "attached"}],
        )  # fmt: skip

    def _study(self, application: Application, engineer: str) -> Study:
        """Order a study; its answer is the engine's, run once for what asks the same."""
        version = application.feeder.versions.get()
        request = build_request(
            version, application.bus, application.phase_numbers, application.import_w, application.export_w,
            hours=STUDIED_HOURS,
        )  # fmt: skip
        study = order_study(version, request, actor=engineer, application=application)
        application.refresh_from_db()
        known = self.answers.get(study.inputs_sha256)
        if known is None:
            study = perform(study.pk, workers=1)
            self.answers[study.inputs_sha256] = study.result
            return study
        return _same(study, known, version)


def _same(study: Study, result: str, version: FeederVersion) -> Study:
    moment = timezone.now()
    Study.objects.filter(pk=study.pk).update(
        status=Study.DONE, result=result, done_hours=study.total_hours, started=moment, finished=moment
    )
    study.refresh_from_db()
    constraints.store(study, json.loads(result))
    return study


def _smaller(request: Request) -> Request:
    return replace(request, vehicle_count=max(1, request.vehicle_count - 1))


def _person(name: str, role: str) -> Any:
    """Return a person without a password, who cannot sign in."""
    user, new = get_user_model().objects.get_or_create(username=name)
    if new:
        user.set_unusable_password()
        user.date_joined = datetime(2025, 1, 1, tzinfo=UTC)
        user.save()
        user.groups.add(Group.objects.get_or_create(name=role)[0])
    return user
