"""`manage.py commission`: the result is stored, signed by its hash, and is what the permission to operate stands on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from derms.errors import Conflict
from interconnection import states
from interconnection.models import Application, CommissioningResult
from interconnection.queries import permitted_sites
from interconnection.services import commissioning
from telemetry import services
from telemetry.commissioning.steps import Verdict
from telemetry.management.commands import commission
from telemetry.models import SiteEndpoint
from telemetry.protocols.dnp3.dialect import Dialect
from tests.app.conftest import person
from tests.app.scada_seed import SITES, seed

SITE = "depot-1"


@pytest.fixture
def house(db: None) -> Application:
    seed({SITE: SITES[SITE]})
    person("ann", "engineer")
    person("bob", "approver")
    services.place_site(SITE, "dnp3", "127.0.0.1", 20_000)
    Application.objects.update(state=states.ACCEPTED)
    return Application.objects.get()


def wired(monkeypatch: pytest.MonkeyPatch, *verdicts: Verdict) -> None:
    """The wire's side has its own tests: here thirteen verdicts are what came of it."""

    async def ran(bench: Any, wire: Any, told: Any) -> list[Verdict]:
        wire.dialect = Dialect(leased=False, swapped=True, proven=True)
        for number, verdict in enumerate(verdicts, start=1):
            told(number, verdict)
        bench.note("seen")
        return list(verdicts)

    monkeypatch.setattr(commission, "_run", ran)


def test_a_passed_test_is_stored_and_permits_operation(
    house: Application, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wired(monkeypatch, *(Verdict(f"step {number}", True, "1", "2") for number in range(13)))
    assert permitted_sites([SITE]) == set()
    with pytest.raises(SystemExit) as ended:
        call_command("commission", SITE, by="ann", json=str(tmp_path / "result.json"))
    assert ended.value.code == 0
    stored = CommissioningResult.objects.get()
    assert (stored.kind, stored.passed, len(stored.steps)) == ("wire", True, 13)
    assert len(stored.sha256) == 64
    document = json.loads((tmp_path / "result.json").read_text())
    assert stored.trace["sha256"] == document["trace_sha256"]
    assert SiteEndpoint.objects.get().device["swapped"] is True
    from django.contrib.auth import get_user_model

    house.refresh_from_db()
    commissioning.permit(house, by=get_user_model().objects.get(username="bob"))
    assert permitted_sites([SITE, "other"]) == {SITE}


def test_a_failed_step_permits_nothing(house: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    wired(monkeypatch, Verdict("identity", True), Verdict("step to 0", False, "never"))
    with pytest.raises(SystemExit) as ended:
        call_command("commission", SITE, by="ann")
    assert ended.value.code == 1
    house.refresh_from_db()
    from django.contrib.auth import get_user_model

    with pytest.raises(Conflict, match="no commissioning result"):
        commissioning.permit(house, by=get_user_model().objects.get(username="bob"))


def test_a_site_under_control_is_not_tested_and_an_unknown_one_is_said(
    house: Application, capsys: pytest.CaptureFixture[str]
) -> None:
    Application.objects.update(state=states.PERMITTED)
    for site, by, word in ((SITE, "ann", "Suspend"), ("nowhere", "ann", "no agreement"), (SITE, "eve", "no user")):
        with pytest.raises(SystemExit) as ended:
            call_command("commission", site, by=by)
        assert ended.value.code == 2
        assert word in capsys.readouterr().err
    assert CommissioningResult.objects.count() == 0
