"""Screens against the real engine on the IEEE 13 feeder: six facts each, what would pass does pass, the queue counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from derms.errors import Conflict
from interconnection import queue_order, rule_packs, states
from interconnection.models import Application, Event, FeederVersion, Study
from interconnection.services.applications import act, amend, current_request, file_application, submit
from interconnection.services.screening import indicative, screen, section_load
from interconnection.services.studies import build_request, order_study, perform
from tests.app.conftest import ask, listed


def by_id(run: Any) -> dict[str, dict[str, Any]]:
    return {item["id"]: item for item in run.results}


def test_each_pack_gives_every_screen_an_outcome_with_its_facts(application: Application) -> None:
    for name in rule_packs.names():
        Application.objects.filter(pk=application.pk).update(rule_pack=name)
        application.refresh_from_db()
        run = screen(application, actor="engineer")
        assert [item["id"] for item in run.results] == [item.id for item in rule_packs.pack(name).screens]
        for item in run.results:
            if item["status"] in ("pass", "fail"):
                assert item["value"] is not None and item["margin"] is not None, item
                assert (item["margin"] >= 0) is (item["status"] == "pass"), item
            else:
                assert item["basis"], item
            if item["status"] in ("fail", "unknown"):
                assert item["would_pass"], item
    assert application.state == states.SCREENING
    assert Event.objects.filter(application=application, action="screen").count() == len(rule_packs.names())


def test_what_would_pass_does_pass(application: Application, people: dict[str, Any]) -> None:
    first = by_id(screen(application, actor="engineer"))
    failed = {key: item for key, item in first.items() if item["status"] == "fail" and item["passes_kw"]}
    assert {"peak-15", "minimum-load", "low-voltage"} <= set(failed)
    asked = current_request(application)
    for key, item in failed.items():
        watts = int(item["passes_kw"] * 1000)
        sides = ("import", "export") if item["side"] == "both" else (item["side"],)
        smaller = {f"{side}_w": min(getattr(asked, f"{side}_w"), watts) for side in sides}
        # Fault currents count the inverters, not the limit: fewer chargers.
        if key in ("fault-current", "reach"):
            smaller = {"charger_count": watts // 60_000, "export_w": min(asked.export_w, watts // 60_000 * 60_000),
                       "import_w": min(asked.import_w, watts // 60_000 * 80_000)}  # fmt: skip
        again = {result.id: result for result in indicative(replace(asked, **smaller), application.feeder.versions.get())}
        assert again[key].status == "pass", (key, item, again[key])


def test_who_is_ahead_counts_against_the_section(people: dict[str, Any], version: FeederVersion) -> None:
    listed()
    ahead = submit(file_application(ask(export_w=200_000), applicant=people["other"]), actor="other")
    mine = submit(file_application(ask(export_w=200_000), applicant=people["applicant"]), actor="applicant")
    assert queue_order.ahead_w(mine).export_w == 200_000
    assert queue_order.ahead_w(ahead).export_w == 0
    load = section_load(version)
    alone, both = by_id(screen(ahead, actor="e")), by_id(screen(mine, actor="e"))
    assert alone["peak-15"]["value"] == pytest.approx(100 * 200_000 / load.most_w, abs=1e-3)
    assert both["peak-15"]["value"] == pytest.approx(100 * 400_000 / load.most_w, abs=1e-3)
    assert both["feeder-pending"]["value"] > alone["feeder-pending"]["value"]


def test_a_draft_is_not_screened(people: dict[str, Any], version: FeederVersion) -> None:
    with pytest.raises(Conflict):
        screen(file_application(ask(), applicant=people["applicant"]), actor="e")


def study(application: Application, version: FeederVersion) -> Study:
    request = build_request(version, "671", (1, 2, 3), application.import_w, application.export_w, hours=6)
    found = perform(order_study(version, request, actor="e", application=application).pk, workers=1)
    application.refresh_from_db()
    return found


def test_the_queue_of_each_constraint_and_what_a_withdrawal_frees(people: dict[str, Any], version: FeederVersion) -> None:
    listed()
    first = submit(file_application(ask(name="A"), applicant=people["other"]), actor="other")
    second = submit(file_application(ask(name="B"), applicant=people["applicant"]), actor="applicant")
    for item in (first, second):
        study(item, version)
    places = queue_order.positions(second)
    assert places and all((place.position, place.of) == (2, 2) for place in places)
    assert all(place.ahead == [first] for place in places)
    assert all((place.position, place.behind) == (1, [second]) for place in queue_order.positions(first))
    freed = queue_order.effect_of_withdrawal(first)
    top = freed[0]
    assert top.freed_w == first.import_w
    assert top.moves_up[0]["application"] == second
    assert 0 < top.moves_up[0]["could_get_w"] <= top.moves_up[0]["missing_w"]
    assert queue_order.restudy_triggers(second) == []
    act(first, "withdraw", by=people["other"], reason="sold")
    second.refresh_from_db()
    assert [trigger.kind for trigger in queue_order.restudy_triggers(second)] == ["withdrawal"]
    assert all(place.position == 1 for place in queue_order.positions(second))
    amend(second, replace(current_request(second), import_w=3_000_000), by=people["applicant"])
    second.refresh_from_db()
    assert {trigger.kind for trigger in queue_order.restudy_triggers(second)} == {"withdrawal", "request"}
    lines = queue_order.board(version.feeder_id)
    assert [row.application for row in lines[0]["line"]] == [second]
