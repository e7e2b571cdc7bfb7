"""The peak day in lock-step: real engine, real sites in processes of their own, DNP3 and SunSpec over real sockets."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from derms.agreement import Curtailment, Terms
from derms.feeders import shipped
from derms.grid.dss_text import read_model
from derms.limits import Limit
from telemetry.twin.story import Depot, Story

pytestmark = pytest.mark.wire
PEAK_HOUR = 498
FIRM = Limit(474_400, 86_600)


@pytest.fixture(scope="module")
def runs() -> dict[str, Any]:
    model = read_model(shipped()["ieee123"])
    depot = Depot(50, 30_000, 200_000.0)
    terms = Terms(
        site="depot", feeder=model.name, feeder_sha256=model.sha256, bus="250", phases=(1, 2, 3), firm=FIRM,
        flexible=depot.nameplate, failsafe=FIRM, ramp_w_per_s=150_000, response_s=10, telemetry_s=10, lease_s=60,
        protocol="dnp3", curtailment=Curtailment(811, 1.5, 1014, 1.9),
        starts=date(2026, 1, 1), ends=None, study_sha256="0" * 64,
    )  # fmt: skip
    return Story(model.text, terms, depot, PEAK_HOUR, step_s=30.0).play(["unmanaged", "link_cut"])


def test_unmanaged_the_fleet_overloads_the_feeder(runs: dict[str, Any]) -> None:
    assert runs["unmanaged"]["overload_minutes"] > 200
    assert runs["unmanaged"]["messages"] == {"dnp3": 0, "sunspec": 0}


def test_flexible_with_the_link_cut_for_three_hours_nothing_is_overloaded_and_nobody_is_late(runs: dict[str, Any]) -> None:
    run = runs["link_cut"]
    assert run["overload_minutes"] == 0
    assert run["vehicles_late"] == 0
    assert run["mwh_delivered"] == pytest.approx(runs["unmanaged"]["mwh_delivered"], abs=0.05)


def test_the_site_itself_went_to_failsafe_for_the_cut_and_was_lent_its_limit_again(runs: dict[str, Any]) -> None:
    assert 178 <= runs["link_cut"]["failsafe_minutes"] <= 200
    limits = [row[3] for row in runs["link_cut"]["samples"]]
    assert max(limits) > 1_000
    during = [row[3] for row in runs["link_cut"]["samples"] if 4.6 < row[0] < 7.4]
    assert set(during) == {474.4}


def test_both_wires_carried_the_day(runs: dict[str, Any]) -> None:
    messages = runs["link_cut"]["messages"]
    assert messages["dnp3"] > 2_500
    assert messages["sunspec"] > 5_000
    assert runs["link_cut"]["neighbour_mwh_delivered"] > 0
