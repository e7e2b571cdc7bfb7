"""The desk's what-if question: a real confined child, asked twice, and again after it was killed."""

from __future__ import annotations

import os
import signal

import pytest

from derms.errors import InputError, NotFound
from derms.sandbox.warm_children import WarmChildren
from interconnection.models import Application
from interconnection.services import what_if
from interconnection.services.feeders import feeder_version
from interconnection.services.studies import application_need

pytestmark = pytest.mark.django_db


def test_one_place_is_answered_and_a_killed_child_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    version = feeder_version("ieee13", actor="test")
    children = WarmChildren(kept=1)
    monkeypatch.setattr(what_if, "CHILDREN", children)
    try:
        first = what_if.answer(version, "675", (1, 2, 3), 400_000, 200_000, hours=12)
        assert first["feeder"] == "ieee13"
        assert first["hours"] == 12
        assert {"asked_kw", "passes", "largest_kw", "criterion", "element", "hour", "criteria", "profile"} <= set(
            first["import"]
        )
        assert next(item["inverter"] for item in first["passing"]["inverters"]) == "unity"
        ((child, _),) = children._children.values()
        os.kill(child.pid, signal.SIGKILL)
        assert what_if.answer(version, "675", (1, 2, 3), 400_000, 200_000, hours=12) == first
        with pytest.raises(InputError, match="no bus"):
            what_if.answer(version, "no-such-bus", (1, 2, 3), 400_000, 0, hours=12)
        other = feeder_version("ieee123", actor="test")
        assert what_if.answer(other, "250", (1, 2, 3), 100_000, 0, hours=(3, 498))["hours"] == 2
        assert len(children._children) == 1
    finally:
        children.close()
    assert what_if.newest_version("ieee13") == version
    with pytest.raises(NotFound):
        what_if.newest_version("nowhere")


def test_a_whole_year_for_an_application_is_studied_with_its_own_need(application: Application) -> None:
    version = application.feeder.versions.first()
    assert version is not None
    Application.objects.filter(pk=application.pk).update(need_wh_per_day=1_200_000, schedule={})
    application.refresh_from_db()
    need = application_need(application)
    assert need is not None
    assert sum(need.import_w[0]) == 1_200_000
    Application.objects.filter(pk=application.pk).update(
        schedule={
            "need_w": [[1000] * 24] * 7,
            "departure_soc": [[0.8 if hour == 5 else None for hour in range(24)]] * 7,
        }
    )
    application.refresh_from_db()
    need = application_need(application)
    assert need is not None
    assert need.departures == tuple((day, 5) for day in range(7))
