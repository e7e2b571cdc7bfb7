"""Every limit in force can be run again: `replay_cycle` gives the same bytes, and sees a record that was changed."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command

from derms.clock import VirtualClock
from derms.limits import Limit
from derms.sandbox.feeder_process import FeederProcess
from interconnection.models import FeederVersion
from telemetry import certificate_services, services
from telemetry.certificate_services import NO_CHANGE
from telemetry.control.cycle_document import canonical
from telemetry.control.state import CycleRecord, HeadReading
from telemetry.cycle_models import Certificate, CycleDocument
from telemetry.engine import ControlEngine
from telemetry.models import CycleRow
from telemetry.replay import replay_cycle
from telemetry.solver import FeederEnvelopeSolver
from telemetry.switching_services import simulate_switching
from tests.unit.terms import terms
from tests.unit.test_engine import FakeSite, Leader, Recorder

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def six_cycles(version: FeederVersion) -> list[CycleRecord]:
    """Run the product's engine and solver on the small feeder; the site's wire is simulated."""
    agreed = replace(
        terms("depot", failsafe=Limit(100_000, 50_000), flexible=Limit(900_000, 700_000), bus="671"),
        feeder="ieee13", feeder_sha256=version.sha256,
    )  # fmt: skip
    clock, recorder = VirtualClock(NOW), Recorder()
    site = FakeSite("depot", clock, random.Random(1))
    site.lease.failsafe = agreed.failsafe
    with FeederProcess(version.text) as model:
        elements = model.call("participants", {"sites": [["671", [1, 2, 3], 90e3]]})["elements"]
        engine = ControlEngine(
            feeder="ieee13", terms=[agreed], ports={"depot": site}, solver=FeederEnvelopeSolver(model, elements),
            recorder=recorder, leadership=Leader(), clock=clock, documents=True,
        )  # fmt: skip
        for step in range(6):
            clock.advance(10.0)
            plant = {"hour": 12, "load_scale": 0.9 + 0.01 * step, "sites": [], "elements": elements}
            head = HeadReading(clock.monotonic(), model.call("plant", plant)["head_w"])
            asyncio.run(engine.cycle(head, hour=12))
    return recorder.records


@pytest.fixture
def cycles(version: FeederVersion) -> list[int]:
    records = six_cycles(version)
    for count, record in enumerate(records):
        assert record.problem == ""
        at = NOW + timedelta(seconds=10 * count)
        services.record_cycle("ieee13", at, record.snapshot, 1, {}, document=record.document)
    return list(CycleRow.objects.order_by("pk").values_list("pk", flat=True))


def test_each_cycle_runs_again_to_the_same_bytes(cycles: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    for number in cycles[3:5]:
        found = replay_cycle(str(number))
        assert found.same, found.difference
        assert found.text == CycleDocument.objects.get(cycle=number).text
    call_command("replay_cycle", "ieee13:1-4")
    said = capsys.readouterr().out
    assert "depot: import" in said
    assert "the same" in said
    last = json.loads(CycleDocument.objects.get(cycle=cycles[-1]).text)
    assert last["envelope"]["answer"]["engine"] == "arrays"
    assert last["decisions"][0]["raises"]
    assert last["decisions"][0]["reason"]["snapshot"] == "1-6"


@pytest.mark.parametrize("part", ["limit", "margin", "model"])
def test_a_changed_record_does_not_run_to_its_bytes(cycles: list[int], part: str) -> None:
    row = CycleDocument.objects.get(cycle=cycles[-1])
    raw = json.loads(row.text)
    if part == "limit":
        raw["decisions"][0]["limit"]["import_w"] += 1000
    elif part == "margin":
        raw["envelope"]["question"]["envelope"]["thermal_margin"] = 0.3
    else:
        raw["model_sha256"] = "0" * 64
    CycleDocument.objects.filter(pk=row.pk).update(text=canonical(raw))
    with pytest.raises(SystemExit) as caught:
        call_command("replay_cycle", str(cycles[-1]))
    assert caught.value.code == (2 if part == "model" else 1)


def test_a_certificate_is_found_once_for_a_model_a_state_and_a_set_of_limits(version: FeederVersion) -> None:
    agreed = [replace(terms("depot", failsafe=Limit(1000, 1000), bus="671"), feeder="ieee13")]
    answer = {"holds": True, "hours": 8760}
    first = certificate_services.keep(version, agreed, dict(answer), now=NOW, state="normal", meaning=NO_CHANGE)
    assert certificate_services.certificate_of(version, agreed) == first
    assert certificate_services.certificate_of(version, agreed, "transfer") is None
    more = [replace(agreed[0], failsafe=Limit(1001, 1000), firm=Limit(1001, 1000))]
    assert certificate_services.certificate_of(version, more) is None, "another failsafe limit is another certificate"
    again = certificate_services.keep(version, agreed, {"holds": False}, now=NOW, state="normal", meaning=NO_CHANGE)
    assert (again.pk, again.holds, Certificate.objects.count()) == (first.pk, True, 1)


def test_a_switching_order_says_what_it_would_do_before_it_is_given(
    version: FeederVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    sites = [
        replace(terms(name, failsafe=Limit(100_000, 50_000), flexible=Limit(900_000, 700_000), bus=bus), feeder="ieee13")
        for name, bus in (("near", "671"), ("far", "675"))
    ]
    monkeypatch.setattr("telemetry.switching_services.agreements_in_force", lambda on, feeder: sites)
    calm = simulate_switching("ieee13", now=NOW)
    assert calm.problem == ""
    assert calm.sentence == "This order will curtail no site."
    dead = simulate_switching("ieee13", opened=["line.switch_671_692"], now=NOW)
    by_site = {item.site: item for item in dead.sites}
    assert by_site["far"].dead
    assert (by_site["far"].import_kw_lost, by_site["far"].export_kw_lost) == (100.0, 50.0), "its failsafe, without supply"
    assert not by_site["near"].dead
    assert "one site by 100 kW of import" in dead.sentence
    assert dead.dead_buses >= 2
