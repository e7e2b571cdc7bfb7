"""The life of an application under any order of actions by anybody: the table holds, and no promise is made out of turn."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from derms.errors import HeadroomError
from interconnection import states
from interconnection.models import Agreement, Application, Event, Feeder, FeederVersion, Offer, Study
from interconnection.services import clocks, commissioning
from interconnection.services.applications import act, amend, current_request, deem_complete, file_application, move, submit
from interconnection.services.commissioning import Result, Step
from interconnection.services.offers import (
    accept_offer,
    approve_offer,
    decline_offer,
    draft_terms,
    prepare_offer,
    take_back,
)
from interconnection.services.studies import build_request, order_study
from tests.app.conftest import ask, listed

ROLES = ("applicant", "other", "engineer", "approver", "operator", "auditor", "administrator", "nobody")
WHO = st.sampled_from(ROLES)
HOURS = [month * 730 + hour for month in range(12) for hour in range(24)]
ANSWER = {
    "import_kw": 4000.0, "export_kw": 3000.0, "firm_import_kw": 900.0, "firm_export_kw": 700.0,
    "flexible_import_kw": 4000.0, "flexible_export_kw": 3000.0, "limited_hours_import": 3, "hours": len(HOURS),
    "limited_energy_percent_import": 1.0, "binding_import": {"hour": 0}, "binding_export": {"hour": 0},
    "hourly": {"hour": HOURS, "import_kw": [900.0] * len(HOURS), "export_kw": [700.0] * len(HOURS)},
}  # fmt: skip
PEOPLE: dict[str, Any] = {}


def feeder_without_an_engine() -> FeederVersion:
    buses = [["671", [1, 2, 3], 2400.0, None, None, 0.0], ["680", [1, 2, 3], 2400.0, None, None, 0.0]]
    feeder = Feeder.objects.create(name="ieee13")
    return FeederVersion.objects.create(
        feeder=feeder, sha256="0" * 64, text="", description={"buses": buses, "hours": 8760, "elements": []}, findings=[]
    )


class Life(RuleBasedStateMachine):
    """One application and everybody who may try something with it."""

    def __init__(self) -> None:
        super().__init__()
        self._atomic = transaction.atomic()
        self._atomic.__enter__()
        listed()
        self.version = feeder_without_an_engine()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self._atomic.__exit__(None, None, None)

    @initialize(complete=st.booleans(), depth=st.integers(0, 8))
    def file(self, complete: bool, depth: int) -> None:
        """File it, and lead it some steps along the straight path: late states are as likely as early ones."""
        self.number = file_application(ask(address="1 Road" if complete else ""), applicant=PEOPLE["applicant"]).pk
        path = (
            lambda: self.submits("applicant"), self.is_screened, self.is_studied,
            lambda: self.an_offer_is_prepared("engineer"), lambda: self.an_offer_is_issued("approver"),
            lambda: self.an_offer_is_accepted("Ada"), lambda: self.is_tested(True, "wire", "approver"),
            lambda: self.is_permitted("engineer", "permit"),
        )  # fmt: skip
        for step in path[:depth]:
            step()

    @property
    def application(self) -> Application:
        return Application.objects.select_related("feeder").get(pk=self.number)

    def attempt(self, action: Any) -> None:
        """Do something; what is refused must have changed nothing."""
        before, events = self.application, Event.objects.count()
        offers = list(Offer.objects.order_by("pk").values_list("pk", "status"))
        try:
            with transaction.atomic():
                action(self.application)
        except HeadroomError:
            after = self.application
            assert (after.state, after.completed) == (before.state, before.completed)
            assert Event.objects.count() == events
            assert list(Offer.objects.order_by("pk").values_list("pk", "status")) == offers

    @rule(who=WHO)
    def submits(self, who: str) -> None:
        self.attempt(lambda found: submit(found, actor=who))

    @rule(waive=st.booleans())
    def is_deemed_complete(self, waive: bool) -> None:
        waived = ["address"] if waive else []
        self.attempt(lambda found: deem_complete(found, by=PEOPLE["engineer"], waived=waived, reason="known place"))

    @rule(kw=st.integers(1, 4000), bus=st.sampled_from(["671", "680"]))
    def is_amended(self, kw: int, bus: str) -> None:
        self.attempt(
            lambda found: amend(found, replace(current_request(found), import_w=kw * 1000, bus=bus), by=PEOPLE["applicant"])
        )

    @rule()
    def is_screened(self) -> None:
        self.attempt(lambda found: move(found, "screen", actor="engineer"))

    @rule()
    def is_studied(self) -> None:
        def study(found: Application) -> None:
            request = build_request(self.version, found.bus, (1, 2, 3), found.import_w, found.export_w, hours=288)
            made = order_study(self.version, request, actor="engineer", application=found)
            answer = json.dumps(ANSWER | {"import_kw": found.import_w / 1000})
            Study.objects.filter(pk=made.pk).update(status=Study.DONE, result=answer, finished=timezone.now())

        self.attempt(study)

    @rule(who=st.sampled_from(["engineer", "approver"]))
    def an_offer_is_prepared(self, who: str) -> None:
        def prepare(found: Application) -> None:
            study = found.studies.filter(status=Study.DONE).first()
            if study is not None:
                terms = draft_terms(found, study, starts=date(2026, 1, 1), ends=None)
                prepare_offer(found, study, replace(terms, flexible=terms.firm), engineer=PEOPLE[who], kind="firm")

        self.attempt(prepare)

    def _with_offer(self, action: Any) -> None:
        offer = Offer.objects.filter(application=self.number).first()
        if offer is not None:
            self.attempt(lambda found: action(offer))

    @rule(who=st.sampled_from(["engineer", "approver"]))
    def an_offer_is_issued(self, who: str) -> None:
        self._with_offer(lambda offer: approve_offer(offer, approver=PEOPLE[who]))

    @rule(name=st.sampled_from(["Ada", " "]))
    def an_offer_is_accepted(self, name: str) -> None:
        self._with_offer(lambda offer: accept_offer(offer, applicant=PEOPLE["applicant"], typed_name=name))

    @rule()
    def an_offer_is_declined(self) -> None:
        self._with_offer(lambda offer: decline_offer(offer, applicant=PEOPLE["applicant"]))

    @rule()
    def an_offer_is_taken_back(self) -> None:
        self._with_offer(lambda offer: take_back(offer, by=PEOPLE["approver"], reason="a slip"))

    @rule(passed=st.booleans(), kind=st.sampled_from(["wire", "witness"]), witness=WHO)
    def is_tested(self, passed: bool, kind: str, witness: str) -> None:
        result = Result(kind, [Step("all", passed)], datetime.now(UTC) - timedelta(seconds=1))
        self.attempt(lambda found: commissioning.record(found, result, by=PEOPLE["engineer"], witness=PEOPLE[witness]))

    @rule(who=WHO, action=st.sampled_from(["permit", "resume"]))
    def is_permitted(self, who: str, action: str) -> None:
        self.attempt(lambda found: commissioning.permit(found, action, by=PEOPLE[who]))

    @rule(
        who=WHO, action=st.sampled_from(["withdraw", "commission", "suspend", "end"]), reason=st.sampled_from(["", "why"])
    )
    def somebody_acts(self, who: str, action: str, reason: str) -> None:
        self.attempt(lambda found: act(found, action, by=PEOPLE[who], reason=reason))

    @rule(who=WHO)
    def is_asked(self, who: str) -> None:
        self.attempt(lambda found: clocks.ask(found, "Which street?", by=PEOPLE[who]))

    @invariant()
    def what_happened_is_a_path_through_the_table(self) -> None:
        if not hasattr(self, "number"):
            return
        state = states.DRAFT
        for event in Event.objects.filter(application=self.number, action__in=states.BY_ACTION):
            transition = states.BY_ACTION[event.action]
            assert event.before["state"] == state
            assert state in transition.sources
            assert event.after["state"] == transition.target
            state = transition.target
        assert self.application.state == state

    @invariant()
    def nothing_is_promised_out_of_turn(self) -> None:
        if not hasattr(self, "number"):
            return
        found = self.application
        offers = list(Offer.objects.filter(application=found))
        agreements = list(Agreement.objects.filter(offer__application=found))
        assert sum(offer.status in (Offer.PREPARED, Offer.OPEN) for offer in offers) <= 1
        assert all(offer.issued_by_id != offer.prepared_by_id for offer in offers)
        assert any(offer.status == Offer.OPEN for offer in offers) is (found.state == states.OFFER)
        if found.state in states.COMMITTED:
            assert [agreement.terms.sha256() for agreement in agreements] == [agreements[0].sha256]
        if found.state in (*states.QUEUED, *states.COMMITTED):
            assert found.completed is not None
        if found.state == states.PERMITTED:
            assert commissioning.standing_result(found, today=date.today()) is not None  # noqa: DTZ011
        if found.state in states.FINAL:
            assert not found.clocks.filter(stopped__isnull=True).exists()


@pytest.mark.django_db
def test_any_order_of_actions_keeps_the_table(people: dict[str, Any]) -> None:
    PEOPLE.update(people)
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), database=None
        ),
    )
