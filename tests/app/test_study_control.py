"""A study in hand: cancelled and gone on with, copied with a change, its ladder, its progress, its pictures."""

from __future__ import annotations

import itertools
import json
import time
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from derms.errors import Conflict, InputError
from derms.grid.study_request import StudyRequest
from derms.grid.study_result import Slice
from derms.sandbox import study_pool
from interconnection import queries
from interconnection.models import Application, FeederVersion, Study
from interconnection.services import pictures, studies, study_control
from interconnection.services.studies import build_request, order_study, perform
from interconnection.study_models import StudyLadder, StudySlice


@pytest.fixture
def ordered(application: Application, version: FeederVersion, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A study of 48 hours in slices of 12."""
    monkeypatch.setattr(study_pool, "slices", lambda hours: [hours[at : at + 12] for at in range(0, len(hours), 12)])
    request = build_request(version, "671", (1, 2, 3), application.import_w, application.export_w, hours=48)
    return order_study(version, request, actor="engineer", application=application)


def test_a_cancelled_study_goes_on_from_its_slices_and_ends_with_the_same_hours(
    ordered: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: dict[int, Slice] = {}
    model, request = ordered.version, StudyRequest.from_dict(ordered.request)
    whole = study_pool.run_study(model.text, model.sha256, request, workers=1, on_slice=parts.__setitem__)
    firsts = sorted(parts)
    assert len(firsts) == 4
    for first in firsts[:2]:
        StudySlice.objects.create(study=ordered, first_hour=first, hours=12, data=parts[first].to_dict())
    study_control.cancel(ordered, actor="engineer")
    study_control.go_on(ordered, actor="engineer")
    run: list[int] = []
    call = study_pool.FeederProcess.call

    def counted(self: Any, name: str, arguments: Any = None, **options: Any) -> Any:
        if name == "study_hours":
            run.append(arguments["hours"][0])
        return call(self, name, arguments, **options)

    monkeypatch.setattr(study_pool.FeederProcess, "call", counted)
    done = perform(ordered.pk, workers=1)
    assert run == firsts[2:]
    assert json.loads(done.result)["hourly"] == json.loads(json.dumps(whole.hourly()))
    assert not StudySlice.objects.filter(study=ordered).exists()


def test_a_study_queued_again_while_its_cancelled_run_winds_down_stays_queued(
    ordered: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def until_told(*args: Any, **options: Any) -> Any:
        while not options["cancelled"]():
            time.sleep(0.01)
        raise Conflict("the study was cancelled", where="study")

    plain, looks = studies.wait, []

    def looked(*args: Any, **options: Any) -> Any:
        if not looks:
            study_control.cancel(ordered, actor="engineer")
            study_control.go_on(ordered, actor="engineer")
        looks.append(1)
        return plain(*args, **options)

    monkeypatch.setattr(studies, "run_study", until_told)
    monkeypatch.setattr(studies, "wait", looked)
    with pytest.raises(Conflict):
        perform(ordered.pk, workers=1)
    ordered.refresh_from_db()
    assert ordered.status == Study.QUEUED


def test_only_what_waits_or_runs_is_cancelled_and_only_what_stopped_goes_on(studied: Study) -> None:
    with pytest.raises(Conflict):
        study_control.cancel(studied, actor="engineer")
    with pytest.raises(Conflict):
        study_control.go_on(studied, actor="engineer")
    studied.refresh_from_db()
    assert studied.status == Study.DONE


def test_a_clone_changes_what_is_named_and_keeps_the_rest(studied: Study) -> None:
    copy = study_control.clone(
        studied,
        study_control.Change(export_w=1_000_000, settings=study_control.Settings(inverter="volt_var_b", volt_watt=True)),
        actor="engineer",
    )
    copy.refresh_from_db()
    old, new = studied.request, copy.request
    assert {key for key in old if old[key] != new[key]} == {"export_w", "inverter", "volt_watt"}
    assert copy.application == studied.application
    assert copy.inputs_sha256 != studied.inputs_sha256
    with pytest.raises(InputError, match="bus"):
        study_control.clone(studied, study_control.Change(bus="nowhere"), actor="engineer")


def test_the_ladder_is_searched_once_and_ends_with_priced_rungs(studied: Study) -> None:
    ladder = study_control.order_ladder(studied, "import", actor="engineer")
    assert study_control.order_ladder(studied, "import", actor="engineer").pk == ladder.pk
    done = study_control.climb(ladder.pk)
    assert done.status == StudyLadder.DONE
    rungs = done.result["rungs"]
    assert rungs[0]["firm_kw"] == json.loads(studied.result)["firm_import_kw"]
    assert all(later["firm_kw"] >= sooner["firm_kw"] for sooner, later in itertools.pairwise(rungs))
    with pytest.raises(InputError):
        study_control.order_ladder(studied, "sideways", actor="engineer")


def test_the_rate_counts_only_what_this_run_has_done(ordered: Study) -> None:
    now = timezone.now()
    StudySlice.objects.create(study=ordered, first_hour=0, hours=12, data={})
    StudySlice.objects.update(created=now - timedelta(hours=1))
    Study.objects.filter(pk=ordered.pk).update(status=Study.RUNNING, started=now - timedelta(seconds=6), done_hours=24)
    ordered.refresh_from_db()
    seen = queries.progress(ordered, now)
    assert seen.rate == pytest.approx(2.0)
    assert seen.left_s == pytest.approx(12.0)
    assert seen.percent == 50


def test_a_picture_is_the_same_hour_as_the_study_and_an_hour_beyond_the_shapes_is_refused(studied: Study) -> None:
    answer = json.loads(studied.result)
    binding = answer["binding_import"]
    watts = int(answer["firm_import_kw"] * 1000)
    seen = pictures.picture(studied.version, binding["hour"], [(answer["bus"], tuple(answer["phases"]), watts)])
    names = [element[0] for element in studied.version.description["elements"]]
    if binding["criterion"] == "thermal":
        assert seen["loading"][names.index(binding["element"])][1] == pytest.approx(1.0, abs=0.002)
    else:
        bus, phase = binding["element"].rsplit(".", 1)
        place = [entry[0] for entry in studied.version.description["buses"]].index(bus)
        volts = {entry[0]: entry[2] for entry in seen["v"][place]}
        limit = 1.05 if binding["criterion"] == "overvoltage" else 0.95
        assert volts[int(phase)] == pytest.approx(limit, abs=0.001)
    with pytest.raises(InputError, match="hour"):
        pictures.picture(studied.version, 10**6)


def test_the_workbench_shows_both_sides_and_every_picture_has_its_table(studied: Study, people: dict[str, Any]) -> None:
    browser = Client()
    browser.force_login(people["engineer"])
    page = browser.get(reverse("study", args=[studied.pk])).content.decode()
    for words in (
        "Service (import)",
        "Interconnection (export)",
        "Upgrade ladder",
        "As a table",
        studied.inputs_sha256,
        "Further criteria",
        "Regulators and capacitors",
        "Rapid change",
        "Protection",
        "Curtailment",
    ):
        assert words in page
    assert page.count("<svg") <= page.count("<caption") * 4
    profile = browser.get(reverse("study-profile", args=[studied.pk]), {"hour": 5, "side": "import"}).content.decode()
    assert "electrical distance" in profile
    compared = browser.get(reverse("compare-studies"), {"one": studied.pk, "two": studied.pk}).content.decode()
    assert "both studies have the same inputs" in compared
    hours = browser.get(reverse("study-hours", args=[studied.pk])).content.decode()
    assert len(hours.splitlines()) == 49


def test_the_queue_of_studies_counts_what_waits_before_and_shows_the_progress(
    ordered: Study, people: dict[str, Any]
) -> None:
    second = study_control.clone(ordered, study_control.Change(export_w=1_000_000), actor="engineer")
    Study.objects.filter(pk=ordered.pk).update(status=Study.RUNNING, started=timezone.now(), done_hours=24)
    third = study_control.clone(ordered, study_control.Change(export_w=900_000), actor="engineer")
    found = queries.studies_in_hand(people["engineer"], timezone.now())
    assert [(item.study.pk, item.before) for item in found] == [(ordered.pk, 0), (second.pk, 0), (third.pk, 1)]
    assert found[0].progress.percent == 50
    assert queries.studies_in_hand(people["other"], timezone.now()) == []
    browser = Client()
    browser.force_login(people["engineer"])
    page = browser.get(reverse("studies-in-hand")).content.decode()
    assert "1 before it" in page and "50 %" in page and "every 2s" in page
    Study.objects.exclude(pk=0).update(status=Study.CANCELLED)
    assert browser.get(reverse("studies-in-hand"))["HX-Refresh"] == "true"


def test_a_study_with_other_settings_is_asked_for_on_the_page_and_a_combination_that_is_not_studied_is_refused(
    application: Application, people: dict[str, Any]
) -> None:
    browser = Client()
    browser.force_login(people["engineer"])
    fields = {
        "settings": "1", "hours": "288", "inverter": "unity", "power_factor": "0.95", "volt_watt": "on",
        "regulators": "edge",
        "rule": "strict", "voltage_scope": "all", "v_low_pu": "0.94", "v_high_pu": "1.06", "thermal": "90",
        "reverse_power_kw": "", "unbalance_pu": "3", "fault_rise": "10",
    }  # fmt: skip
    browser.post(reverse("start-study", args=[application.pk]), fields)
    asked = Study.objects.get().request
    assert (asked["power_factor"], asked["volt_watt"], asked["regulators"]) == (0.95, True, "edge")
    criteria = asked["criteria"]
    assert (criteria["unbalance_pu"], criteria["fault_rise"], criteria["thermal_pu"]) == (0.03, 0.1, 0.9)
    assert criteria["reach_loss"] is None and criteria["rule"] == "strict"
    told = browser.post(reverse("start-study", args=[application.pk]), fields | {"inverter": "volt_var_b"}, follow=True)
    assert "unity power factor" in told.content.decode()
    assert Study.objects.count() == 1
