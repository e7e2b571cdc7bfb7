"""A study counts the sites that are there already: the same limits as OpenDSS with them in place, never more than alone."""

import json

import pytest

from derms.errors import InputError, NotConverged
from derms.feeders import shipped
from derms.grid.capacity import study, study_hours
from derms.grid.dss_text import read_model
from derms.grid.existing import AT_EXPORT, AT_IMPORT, AT_REST, ExistingSite, cases
from derms.grid.opendss import Circuit
from derms.grid.study_request import StudyRequest, inputs_sha256
from derms.grid.study_result import Slice
from derms.grid.what_if import what_if

PHASES = (1, 2, 3)
HOURS = (60, 498, 3000)
THERE = (
    ExistingSite("first", "250", PHASES, 400_000, 80_000),
    ExistingSite("second", "35", (1,), 20_000, 15_000, "study"),
)


@pytest.fixture(scope="module")
def circuit() -> Circuit:
    found = Circuit.compile(read_model(shipped()["ieee123"]).text)
    found.widen_load_bands()
    return found


def ask(existing: tuple[ExistingSite, ...], **more: object) -> StudyRequest:
    return StudyRequest("83", PHASES, 1_500_000, 1_500_000, HOURS, existing=existing, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def found(circuit: Circuit) -> Slice:
    return study_hours(circuit, ask(THERE), HOURS)


def test_each_hour_is_opendsss_own_with_the_sites_in_place(circuit: Circuit, found: Slice) -> None:
    reference = study_hours(circuit, ask(THERE, engine="opendss"), HOURS)
    for ours, theirs in zip(found.hours, reference.hours, strict=True):
        assert ours.import_w == pytest.approx(theirs.import_w, rel=1e-3, abs=1000)
        assert ours.export_w == pytest.approx(theirs.export_w, rel=1e-3, abs=1000)
        assert (ours.import_criterion, ours.export_criterion) == (theirs.import_criterion, theirs.export_criterion)


def test_sites_that_are_there_take_what_they_hold_and_give_nothing(circuit: Circuit, found: Slice) -> None:
    alone = study_hours(circuit, ask(()), HOURS)
    for crowded, free in zip(found.hours, alone.hours, strict=True):
        assert crowded.import_w <= free.import_w
        assert crowded.export_w <= free.export_w
        assert crowded.head_w == free.head_w
    assert sum(hour.import_w for hour in alone.hours) - sum(hour.import_w for hour in found.hours) > 300_000
    assert sum(hour.export_w for hour in found.hours) < sum(hour.export_w for hour in alone.hours)


def test_a_site_that_draws_does_not_make_room_for_export_nor_one_that_feeds_for_import(circuit: Circuit) -> None:
    alone = study_hours(circuit, ask(()), HOURS)
    for site, side in (
        (ExistingSite("only draws", "83", PHASES, 500_000, 0), "export"),
        (ExistingSite("only feeds", "83", PHASES, 0, 80_000), "import"),
    ):
        with_it = study_hours(circuit, ask((site,)), HOURS)
        for one, two in zip(with_it.hours, alone.hours, strict=True):
            assert getattr(one, f"{side}_w") <= getattr(two, f"{side}_w")


def test_nothing_there_changes_neither_bytes_nor_hash(circuit: Circuit) -> None:
    request = ask(())
    assert "existing" not in request.to_dict()
    resting = ask((ExistingSite("nothing", "250", PHASES, 0, 0),))
    assert cases(resting.existing) == (AT_REST,)
    assert study_hours(circuit, resting, HOURS).hours == study_hours(circuit, request, HOURS).hours
    assert inputs_sha256("", resting) != inputs_sha256("", request)


def test_the_request_survives_json_and_the_answer_names_the_sites(circuit: Circuit) -> None:
    request = StudyRequest.from_dict(json.loads(json.dumps(ask(THERE).to_dict())))
    assert request == ask(THERE)
    answer = study(circuit, request).summary()
    assert [site["name"] for site in answer["existing"]] == ["first", "second"]
    assert answer["existing_kw"] == {"import": 420.0, "export": 95.0}
    for side in ("import", "export"):
        assert set(answer["existing_case_hours"][side]) <= {AT_REST, AT_IMPORT, AT_EXPORT}
    again = study(circuit, request)
    assert again.to_json() == study(circuit, request).to_json()


def test_what_if_gives_the_studys_own_limits(circuit: Circuit, found: Slice) -> None:
    answer = what_if(circuit, json.loads(json.dumps({"request": ask(THERE).to_dict()})))
    for side in ("import", "export"):
        least = min(getattr(hour, f"{side}_w") for hour in found.hours)
        assert answer[side]["largest_kw"] == pytest.approx(least / 1e3, abs=0.2)
        assert answer[side]["hourly"]["hour"] == list(HOURS)
    assert [site["name"] for site in answer["existing"]] == ["first", "second"]
    alone = what_if(circuit, {"request": ask(()).to_dict()})
    assert "existing" not in alone
    assert alone["import"]["largest_kw"] > answer["import"]["largest_kw"]


def test_sites_ahead_that_the_feeder_cannot_carry_end_the_study_by_name(circuit: Circuit) -> None:
    with pytest.raises(NotConverged, match="no base state"):
        study_hours(circuit, ask((ExistingSite("all of it", "83", PHASES, 60_000_000, 0),)), HOURS)


@pytest.mark.parametrize(
    "wrong",
    [{"bus": "nowhere"}, {"bus": "35", "phases": (4,)}, {"import_w": -1}, {"basis": "hearsay"}],
)
def test_a_site_that_cannot_be_there_is_refused(circuit: Circuit, wrong: dict[str, object]) -> None:
    fields: dict[str, object] = {"name": "s", "bus": "250", "phases": PHASES, "import_w": 1, "export_w": 1} | wrong
    with pytest.raises(InputError):
        study_hours(circuit, ask((ExistingSite(**fields),)), HOURS)  # type: ignore[arg-type]
