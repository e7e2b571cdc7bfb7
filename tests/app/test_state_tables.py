"""The control room works with the states, tables and certificates that the desk made ready: one name, one meaning."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from derms.clock import SystemClock
from derms.errors import Conflict, InputError
from derms.grid.envelope import Site
from derms.grid.study_request import StudyRequest
from derms.grid.switching import switched
from derms.grid.switching_states import SwitchingState
from derms.limits import NOTHING, Limit
from interconnection.models import FeederVersion
from interconnection.services import switching
from interconnection.services.switching import hourly_ceiling, known_states
from interconnection.study_models import StateTable
from telemetry import certificate_services, control_session, model_text
from telemetry.cycle_models import Certificate
from tests.unit.terms import terms

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 7, 2, tzinfo=UTC)
STATE = SwitchingState("storm", opened=("capacitor.bank_675",), thermal_pu=1.2)
DEPOT = Site("depot", "671", (1, 2, 3), 0.0, 0.0, Limit(100_000, 50_000), Limit(900_000, 700_000), NOTHING, NOTHING, True)
WHO: dict[str, Any] = {"by": "op", "reason": "a storm", "now": NOW}


def kept(version: FeederVersion, state: SwitchingState, **document: Any) -> StateTable:
    table = {"import_kw": [[700.0] * 24] * 12, "export_kw": [[None] + [40.0] * 23] * 12}
    whole = {"state": state.to_dict(), "supplied": True, "table": table, **document}
    return StateTable.objects.create(version=version, state=state.name, bus="671", phases="123", document=whole)


@pytest.fixture
def agreed(monkeypatch: pytest.MonkeyPatch, version: FeederVersion) -> list[Any]:
    plain = terms("depot", failsafe=Limit(100_000, 50_000), flexible=Limit(900_000, 700_000), bus="671")
    found = [replace(plain, feeder="ieee13", feeder_sha256=version.sha256)]
    monkeypatch.setattr(control_session, "agreements_in_force", lambda on, feeder: found)
    return found


def test_a_state_of_the_desk_is_declared_by_its_name_and_brings_its_text_ratings_and_tables(
    version: FeederVersion, agreed: list[Any]
) -> None:
    kept(version, STATE)
    row = certificate_services.declare_state(version, "storm", opened=[], closed=[], **WHO)
    assert (row.opened, row.closed) == (["capacitor.bank_675"], [])
    found = control_session.facts("ieee13", NOW)
    assert found is not None
    assert found.declared == STATE
    assert 'edit "capacitor.bank_675" enabled=no' in found.text()
    assert found.criteria().thermal_pu == 1.2
    site = DEPOT
    (capped,) = control_session._ceilings(found, [site], NOW)
    assert capped.flexible == Limit(700_000, 50_000), "the table, but never below the certified failsafe"
    (unknown,) = control_session._ceilings(found, [site], MIDNIGHT)
    assert unknown.flexible == site.failsafe, "an hour that was not studied"
    (elsewhere,) = control_session._ceilings(found, [replace(site, bus="675")], NOW)
    assert elsewhere.flexible == site.failsafe, "a place without a table: its flexible limit is of another state"


@pytest.mark.parametrize(("lease_s", "before"), [(60, 64), (900, 904)])
def test_what_is_lent_holds_in_the_hour_into_which_its_lease_runs(
    version: FeederVersion, agreed: list[Any], lease_s: int, before: int
) -> None:
    export_kw = [[600.0] * 13 + [200.0] + [600.0] * 10] * 12
    kept(version, STATE, table={"import_kw": [[700.0] * 24] * 12, "export_kw": export_kw})
    certificate_services.declare_state(version, "storm", opened=[], closed=[], **WHO)
    agreed[0] = replace(agreed[0], lease_s=lease_s, response_s=5)
    found = control_session.facts("ieee13", NOW)
    assert found is not None
    one = NOW + timedelta(hours=1)
    exports = []
    for moment in (one - timedelta(seconds=before + 2), one - timedelta(seconds=before), one + timedelta(hours=1)):
        (capped,) = control_session._ceilings(found, [DEPOT], moment)
        exports.append(capped.flexible.export_w)
    assert exports == [600_000, 200_000, 600_000]


def test_a_table_of_a_place_in_capitals_is_found_again(version: FeederVersion) -> None:
    request = StudyRequest(bus="RG60", phases=(1, 2, 3), import_w=100_000, export_w=0, hours=(13,))
    normal, storm = switching.tables(version, [STATE], request, certify=False)
    assert (normal.bus, storm.bus) == ("rg60", "rg60")
    assert hourly_ceiling(version, "storm", "RG60", "123", [13]) is not None


def test_a_recorded_cycle_is_asked_again_on_the_text_that_was_solved(version: FeederVersion, agreed: list[Any]) -> None:
    tied = SwitchingState("backfeed", opened=("line.section_632_670",), ties=(("633", "671"),))
    kept(version, tied)
    certificate_services.declare_state(version, "backfeed", opened=[], closed=[], **WHO)
    found = control_session.facts("ieee13", NOW)
    assert found is not None
    assert model_text.text_of_cycle(version, "ieee13", "backfeed") == found.text()
    assert found.text() != switched(version.text, tied.opened, ()), "a tie is more than switches"
    assert model_text.text_of_cycle(version, "ieee13", "normal") == version.text


def test_a_place_without_supply_in_a_state_has_nothing_and_one_without_a_table_is_not_known(version: FeederVersion) -> None:
    kept(version, STATE, supplied=False)
    assert hourly_ceiling(version, "storm", "671", "123", [13]) == NOTHING
    assert hourly_ceiling(version, "storm", "675", "123", [13]) is None
    assert list(known_states(version)) == ["storm"]


@pytest.mark.parametrize(
    ("name", "opened"),
    [("storm", ["line.section_632_670"]), ("normal", ["line.section_632_670"]), ("east off", ["line.section_632_633"])],
)
def test_a_name_stands_for_one_set_of_elements(version: FeederVersion, name: str, opened: list[str]) -> None:
    kept(version, STATE)
    certificate_services.declare_state(version, "east off", opened=["line.section_632_670"], closed=[], **WHO)
    with pytest.raises(Conflict, match="other elements"):
        certificate_services.declare_state(version, name, opened=opened, closed=[], **WHO)
    again = certificate_services.declare_state(version, "east off", opened=["LINE.section_632_670"], closed=[], **WHO)
    assert certificate_services.name_of(version, again.opened, []) == "east off"


def test_an_element_that_the_model_lacks_is_refused(version: FeederVersion) -> None:
    with pytest.raises(InputError, match="no element"):
        certificate_services.declare_state(version, "x", opened=["line.nowhere"], closed=[], **WHO)


def test_certificates_of_all_known_states_are_ready_before_the_switch(
    version: FeederVersion, agreed: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept(version, STATE)
    kept(version, SwitchingState("dark", opened=("line.section_632_670",)))
    where = "telemetry.management.commands.certify_states.agreements_in_force"
    monkeypatch.setattr(where, lambda on, feeder: agreed)
    with pytest.raises(SystemExit) as caught:
        call_command("certify_states", "--feeder", "ieee13")
    said = capsys.readouterr().out
    assert caught.value.code == 1
    assert "dark: FAILS at no supply depot" in said
    rows = {row.state: row for row in Certificate.objects.all()}
    assert set(rows) == {"normal", "storm", "dark"}
    assert certificate_services.certificate_of(version, agreed, "storm", STATE.sha256()) == rows["storm"]
    assert rows["storm"].detail.get("hours") or not rows["storm"].holds


class Model:
    """A feeder whose certificate turns out as told."""

    def __init__(self, holds: bool) -> None:
        self.holds, self.asked = holds, 0

    def call(self, work: str, *_: Any, **__: Any) -> dict[str, Any]:
        if work == "participants":
            return {"elements": []}
        self.asked += 1
        return {"holds": self.holds, "criterion": "thermal", "element": "x", "hour": 1, "side": "import"}


def certified(found: Any, model: Model) -> None:
    async def run() -> None:
        session = control_session.Session(found, cycle_s=10.0, clock=SystemClock(), master=None, stop=asyncio.Event())  # type: ignore[arg-type]
        try:
            await session._certified(model)  # type: ignore[arg-type]
        finally:
            await asyncio.to_thread(connections.close_all)  # the loop's own thread ends with it, its connection does not

    asyncio.run(run())


@pytest.mark.parametrize("other", [{"thermal_pu": 1.4}, {"ties": (("671", "680"),)}, {"thermal_pu": None}])
def test_a_certificate_of_what_a_name_stood_for_before_publishes_nothing(
    version: FeederVersion, agreed: list[Any], other: dict[str, Any]
) -> None:
    kept(version, STATE)
    certificate_services.declare_state(version, "storm", opened=[], closed=[], **WHO)
    found = control_session.facts("ieee13", NOW)
    assert found is not None
    certified(found, Model(holds=True))
    again = Model(holds=False)
    certified(found, again)
    assert again.asked == 0
    with pytest.raises(Conflict, match="no failsafe certificate"):
        certified(replace(found, declared=replace(STATE, **other)), again)
    assert again.asked == 1


def test_a_certificate_from_before_the_meaning_was_kept_is_found_anew(version: FeederVersion, agreed: list[Any]) -> None:
    found = control_session.facts("ieee13", NOW)
    assert found is not None
    certified(found, Model(holds=True))
    Certificate.objects.update(state_sha256="")
    with pytest.raises(Conflict, match="no failsafe certificate"):
        certified(found, Model(holds=False))


@pytest.mark.parametrize("other", [{"thermal_pu": 1.4}, {"ties": (("671", "680"),)}, {"opened": ("line.section_632_633",)}])
def test_the_desk_gives_a_name_no_second_meaning(version: FeederVersion, other: dict[str, Any]) -> None:
    kept(version, STATE)
    request = StudyRequest(bus="rg60", phases=(1, 2, 3), import_w=100_000, export_w=0, hours=(13,))
    with pytest.raises(Conflict, match="other elements, ties or ratings"):
        switching.tables(version, [replace(STATE, **other)], request, certify=False)
    switching.tables(version, [replace(STATE, description="said better")], request, certify=False)
    assert StateTable.objects.filter(state="storm").count() == 2


def test_ratings_that_the_desk_changed_after_the_declaration_are_not_taken_over(
    version: FeederVersion, agreed: list[Any]
) -> None:
    row = kept(version, STATE)
    certificate_services.declare_state(version, "storm", opened=[], closed=[], **WHO)
    row.delete()
    kept(version, replace(STATE, thermal_pu=1.5))
    with pytest.raises(Conflict, match="other elements, ties or ratings"):
        certificate_services.declare_state(version, "storm", opened=[], closed=[], **WHO)
    with pytest.raises(Conflict, match="does not know for this model"):
        control_session.facts("ieee13", NOW)


def test_what_the_control_room_declared_first_takes_no_ratings_from_a_later_table(
    version: FeederVersion, agreed: list[Any]
) -> None:
    plain = SwitchingState("east-off", opened=("line.section_632_670",))
    certificate_services.declare_state(version, plain.name, opened=plain.opened, closed=[], **WHO)
    row = kept(version, plain)
    found = control_session.facts("ieee13", NOW)
    assert found is not None
    assert found.declared == plain, "its tables are for what was declared"
    row.delete()
    kept(version, replace(plain, thermal_pu=1.2))
    found = control_session.facts("ieee13", NOW)
    assert found is not None
    assert (found.declared, found.criteria().thermal_pu) == (None, 1.0)
