"""Operations pages: what they say, how many statements they take, what an order's form does."""

from __future__ import annotations

import hashlib
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from derms.clock import VirtualClock
from interconnection import audit
from interconnection.audit_models import AuditEntry
from telemetry import alarm_services, board_queries, lead_services, order_queries, order_services, progress, services
from telemetry.alarm_models import AlarmRow
from telemetry.control.alarm_rules import Look, feeder_looks
from telemetry.control.evidence import Bundle
from telemetry.control.watch import Subject, Verdict
from telemetry.cycle_models import EvidenceRow, SwitchingState
from telemetry.order_models import OperatorOrder
from tests.app.test_audit import tamper


def site(name: str, **changes: Any) -> dict[str, Any]:
    facts = {
        "site": name, "protocol": "dnp3", "power_kw": 640.0, "import_limit_kw": 1200.0, "export_limit_kw": 90.0,
        "flexible_import_kw": 1500.0, "flexible_export_kw": 1500.0, "failsafe_import_kw": 474.0, "failsafe_export_kw": 86.0,
        "heard": True, "silent_s": 0, "in_failsafe": False, "stage": "obeys", "state_of_charge_percent": 50.0,
        "reason": "thermal at line.l1, share 0.71",
    }  # fmt: skip
    return facts | changes


def board(at: datetime, *sites: dict[str, Any], snapshot: str = "1-1", **changes: Any) -> None:
    shown = {
        "snapshot": snapshot, "epoch": 1, "mode": "automatic", "problem": "", "head_kw": 2000.0, "loading_percent": 71.0,
        "element": "line.l1", "v_min_pu": 0.98, "v_max_pu": 1.04, "load_scale": 1.0, "level": "head",
        "sites": list(sites) or [site("depot")],
    } | changes  # fmt: skip
    services.record_cycle("ieee123", at, snapshot, 1, shown)


def signed_in(people: dict[str, Any], role: str = "operator") -> Client:
    client = Client()
    client.force_login(people[role])
    return client


@pytest.fixture(autouse=True)
def every_site_is_permitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sites here have no agreement; the statement is still made, so that it is counted."""
    real = board_queries.permitted_sites
    monkeypatch.setattr(board_queries, "permitted_sites", lambda sites: real(sites) | set(sites))


@pytest.fixture
def watched(settings: Any, tmp_path: Path) -> Path:
    settings.STATE_DIR = tmp_path
    return tmp_path


def verdict(state: str, message: str = "") -> None:
    progress.publish(Verdict(state, message, (Subject("web", True, 0.0, "moving"),)), 1)


def test_the_banner_stands_on_every_page_of_the_utility_and_on_no_applicants(people: dict[str, Any], watched: Path) -> None:
    shown = 'role="alert" data-state="not controlling">'
    pages = [reverse("queue"), reverse("operations"), reverse("alarms"), reverse("audit"), reverse("manual")]
    for page in pages:
        assert shown in signed_in(people).get(page).content.decode(), page
    verdict("not controlling", "NOT CONTROLLING: control-ieee123 died (4 s)")
    assert "control-ieee123 died (4 s)" in signed_in(people).get(reverse("queue")).content.decode()
    verdict("controlling")
    assert 'data-state="controlling" hidden>' in signed_in(people).get(reverse("queue")).content.decode()
    assert 'id="banner"' not in signed_in(people, "applicant").get(reverse("queue")).content.decode()


def test_a_verdict_that_grew_old_is_itself_not_controlling(people: dict[str, Any], watched: Path) -> None:
    verdict("controlling")
    path = progress.verdict_path()
    raw = json.loads(path.read_text())
    path.write_text(json.dumps(raw | {"monotonic": time.monotonic() - 9}))
    assert "NOT CONTROLLING: the watchdog is silent for" in signed_in(people).get(reverse("queue")).content.decode()


def test_the_list_of_feeders_says_what_is_abnormal(people: dict[str, Any]) -> None:
    board(datetime.now(UTC), site("good"), site("bad", stage="locked"), site("gone", heard=False, silent_s=40))
    page = signed_in(people).get(reverse("operations")).content.decode()
    assert page.index(">bad</a>") > 0
    assert ">gone</a>" in page
    assert ">good</a>" not in page, "a site that is well is not in the list of those that need a look"
    assert "1 locked" in page and "1 silent" in page


def test_a_site_without_permission_is_no_fault(people: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_queries, "permitted_sites", lambda sites: set())
    board(datetime.now(UTC), site("new", heard=False, silent_s=None))
    page = signed_in(people).get(reverse("operations")).content.decode()
    assert "1 not permitted" in page and ">new</a>" not in page
    assert (
        "no permission to operate yet" in signed_in(people).get(reverse("site", args=["ieee123", "new"])).content.decode()
    )
    looks = feeder_looks("f", {"sites": [site("new", heard=False)]}, 1.0, {}, permitted=frozenset())
    assert not any(look.kind == "site_silent" for look in looks)


def test_a_faceplate_gives_the_reason_with_element_share_and_snapshot(people: dict[str, Any]) -> None:
    from tests.app.test_control_room import grant

    board(datetime.now(UTC))
    lead_services.take_lead("ieee123", "a")
    services.audit_grants("ieee123", [grant(1)])
    page = signed_in(people).get(reverse("site", args=["ieee123", "depot"])).content.decode()
    for words in ("thermal", "line.a", "0.50", "1200.0 / 90.0 kW", "474.0 / 86.0 kW", "may import 1200"):
        assert words in page, words
    assert signed_in(people).get(reverse("site", args=["ieee123", "other"])).status_code == 404


def test_a_trend_has_a_gap_where_nothing_was_heard() -> None:
    from telemetry.pictures import Line, trend

    now = datetime(2026, 6, 1, 12, tzinfo=UTC)
    points = [(now + timedelta(minutes=m), value) for m, value in ((0, 1.0), (1, 2.0), (2, None), (3, 4.0), (4, 5.0))]
    drawn = trend([Line("power", "one", points)], now, now + timedelta(minutes=4), "t")
    assert drawn.count('<polyline class="line one"') == 2


PAGES = [
    ("operations", [], 9), ("feeder-board", ["ieee123"], 14), ("site", ["ieee123", "s000"], 16), ("alarms", [], 6),
    ("alarm-journal", [], 5), ("orders", [], 5), ("devices", [], 5), ("subscriptions", [], 4), ("audit", [], 6),
    ("evidence-list", [], 5),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "most"), PAGES)
def test_a_page_takes_as_many_statements_for_300_sites_as_for_thirty(
    people: dict[str, Any], name: str, args: list[str], most: int
) -> None:
    client, now, counts = signed_in(people), datetime.now(UTC), []
    for size in (30, 300):
        board(now, *(site(f"s{n:03d}", heard=n % 2 == 0) for n in range(size)), snapshot=f"1-{size}")
        for second in (0, 10):
            looks = [Look("site_silent", f"s{n:03d}", True, "silent", "ieee123") for n in range(1, size, 2)]
            alarm_services.report(looks, now + timedelta(seconds=second - 20))
        with CaptureQueriesContext(
            connection,
        ) as seen:
            assert client.get(reverse(name, args=args)).status_code == 200
        counts.append(len(seen))
    assert counts[0] == counts[1] <= most


def test_one_person_caps_and_the_audit_trail_says_why(people: dict[str, Any]) -> None:
    board(datetime.now(UTC))
    form = {
        "kind": "cap",
        "site": "depot",
        "import_kw": "250.5",
        "export_kw": "0",
        "minutes": "60",
        "reason": "works at T-14",
    }
    back = reverse("site", args=["ieee123", "depot"])
    answer = signed_in(people).post(reverse("give-order", args=["ieee123"]), form | {"back": back})
    assert answer.url == back
    order = OperatorOrder.objects.get()
    assert (order.kind, order.state, order.import_w, order.export_w, order.by) == ("cap", "active", 250_500, 0, "operator")
    assert AuditEntry.objects.filter(action="cap", actor="operator").exists()
    assert "works at T-14" in signed_in(people).get(back).content.decode()


@pytest.mark.parametrize(
    "wrong",
    [
        {"import_kw": "nan"}, {"import_kw": "1_000"}, {"import_kw": "-5"}, {"import_kw": "1e3"}, {"import_kw": ""},
        {"minutes": "0"}, {"minutes": "99999999"}, {"reason": " "}, {"kind": "more"}, {"import_kw": "٣"},
    ],
)  # fmt: skip
def test_a_wrong_form_orders_nothing_and_says_what_is_wrong(people: dict[str, Any], wrong: dict[str, str]) -> None:
    form = {"kind": "cap", "site": "depot", "import_kw": "250", "export_kw": "0", "minutes": "60", "reason": "works"}
    page = signed_in(people).post(reverse("give-order", args=["ieee123"]), form | wrong, follow=True)
    assert OperatorOrder.objects.count() == 0
    assert "Nothing was ordered" in page.content.decode()


def test_a_raise_waits_for_another_person_and_the_same_one_is_refused(people: dict[str, Any]) -> None:
    form = {
        "kind": "raise",
        "site": "depot",
        "import_kw": "900",
        "export_kw": "0",
        "minutes": "60",
        "reason": "fleet is late",
    }
    operator = signed_in(people)
    operator.post(reverse("give-order", args=["ieee123"]), form)
    order = OperatorOrder.objects.get()
    assert order.state == "proposed"
    operator.post(reverse("approve-order", args=[order.pk]))
    assert OperatorOrder.objects.get().state == "proposed"
    signed_in(people, "approver").post(reverse("approve-order", args=[order.pk]))
    order = OperatorOrder.objects.get()
    assert (order.state, order.second) == ("active", "approver")


def test_two_people_confirm_a_step_of_the_feeder_head(people: dict[str, Any]) -> None:
    problem = "the feeder head moved by 900 kW more than loads and sites explain"
    board(datetime.now(UTC), problem=problem)
    operator, page = signed_in(people), reverse("feeder-board", args=["ieee123"])
    assert "propose a reset" in operator.get(page).content.decode()
    operator.post(reverse("give-order", args=["ieee123"]), {"kind": "reset", "reason": "factory started, seen in SCADA"})
    order = OperatorOrder.objects.get()
    assert (order.kind, order.site, order.state) == ("reset", "", "proposed")
    signed_in(people, "approver").post(reverse("approve-order", args=[order.pk]))
    assert [item.kind for item in order_queries.snapshot("ieee123", datetime.now(UTC)).items] == ["reset"]


def test_ending_a_failsafe_takes_two(people: dict[str, Any]) -> None:
    now = datetime.now(UTC)
    order = order_services.failsafe_now("ieee123", "depot", by="operator", reason="smoke", now=now)
    signed_in(people).post(reverse("release-order", args=[order.pk]), {"reason": "it was steam"})
    assert OperatorOrder.objects.get().state == "active"
    signed_in(people, "approver").post(reverse("approve-order", args=[order.pk]))
    assert OperatorOrder.objects.get().state == "released"


def test_the_way_back_leads_nowhere_else(people: dict[str, Any]) -> None:
    for back in ("https://evil.example/", "//evil.example/", "javascript:alert(1)"):
        answer = signed_in(people).post(
            reverse("set-mode", args=["ieee123"]), {"mode": "manual", "reason": "x", "back": back}
        )
        assert answer.url == reverse("orders")


def test_an_operator_acknowledges_by_htmx_and_gets_the_list_back(people: dict[str, Any]) -> None:
    alarm_services.report([Look("site_locked", "depot", True, "above", "ieee123")], datetime.now(UTC))
    row = AlarmRow.objects.get()
    answer = signed_in(people).post(
        reverse("acknowledge-alarms"), {"alarm": str(row.pk), "view": "announced"}, headers={"HX-Request": "true"}
    )
    assert "by operator at" in answer.content.decode()
    assert "<html" not in answer.content.decode()
    assert AlarmRow.objects.get().state == "acknowledged"


def test_an_auditor_looks_and_has_no_buttons(people: dict[str, Any]) -> None:
    board(datetime.now(UTC))
    alarm_services.report([Look("site_locked", "depot", True, "above", "ieee123")], datetime.now(UTC))
    auditor = signed_in(people, "auditor")
    assert "Acknowledge" not in auditor.get(reverse("alarms")).content.decode()
    assert "Failsafe now" not in auditor.get(reverse("site", args=["ieee123", "depot"])).content.decode()


def test_the_audit_page_tells_a_broken_chain(people: dict[str, Any]) -> None:
    for number in range(3):
        audit.append(
            "op", "cap", f"site {number}", {}, {"import_w": 1000}, clock=VirtualClock(datetime(2026, 6, 1, tzinfo=UTC))
        )
    auditor = signed_in(people, "auditor")
    assert "The chain holds" in auditor.get(reverse("audit") + "?verify=1").content.decode()
    page = auditor.get(reverse("audit") + "?action=cap&subject=site+2").content.decode()
    assert "site 2" in page and "site 1" not in page
    assert "1 kW" in page
    tamper("UPDATE interconnection_auditentry SET actor = 'bob' WHERE sequence = 2")
    assert "THE CHAIN IS BROKEN: entry 2 was changed" in auditor.get(reverse("audit") + "?verify=1").content.decode()


def test_an_engineer_registers_a_device_and_revokes_it(people: dict[str, Any]) -> None:
    engineer = signed_in(people, "engineer")
    lfdi = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
    page = engineer.post(reverse("devices"), {"identity": lfdi, "role": "device", "name": "depot gateway"}, follow=True)
    assert "its PIN is" in page.content.decode()
    assert "depot gateway" in page.content.decode()
    number = int(page.content.decode().split("/operations/devices/")[2].split("/")[0])
    gone = engineer.post(reverse("allow-device", args=[number]), {"granted": "no"}, follow=True).content.decode()
    assert "revoked" in gone
    again = engineer.post(reverse("devices"), {"identity": "zz", "role": "device"}, follow=True)
    assert "Nothing was changed" in again.content.decode()


def test_an_evidence_bundle_is_the_bytes_that_were_hashed(people: dict[str, Any]) -> None:
    sample = {"power_w": 640_000.0, "excess_w": 140_000.0, "read_back": [500_000, 0], "quality": "good"}
    lent = {
        "import_w": 500_000,
        "export_w": 0,
        "epoch": 1,
        "sequence": 7,
        "issued_s": -3.0,
        "ttl_s": 60.0,
        "reason": ["thermal"],
    }
    facts = {"before": [sample | {"s": -10.0}, sample | {"s": 0.0}], "lent": lent, "after": [{"s": 10.0, "silent": True}]}
    services.keep_evidence("ieee123", [Bundle("depot", "warned", "1-4", facts)], datetime.now(UTC))
    auditor = signed_in(people, "auditor")
    row = EvidenceRow.objects.get()
    assert row.sha256 in auditor.get(reverse("evidence-list")).content.decode()
    page = auditor.get(reverse("evidence", args=[row.pk])).content.decode()
    assert "have the SHA-256 that was kept" in page and "140000.0" in page and "1.7" in page
    download = auditor.get(reverse("evidence", args=[row.pk]) + "?download=1")
    assert hashlib.sha256(download.content).hexdigest() == row.sha256
    EvidenceRow.objects.filter(pk=row.pk).update(facts=row.facts.replace("640000.0", "500000.0"))
    assert "does not have the hash" in auditor.get(reverse("evidence", args=[row.pk])).content.decode()


def test_a_switching_order_is_simulated_before_it_is_given(people: dict[str, Any], version: Any, monkeypatch: Any) -> None:
    """The sum itself is tests of `switching_services`; here: what the operator reads, and what a wrong name answers."""
    from telemetry import switching_services
    from telemetry.switching_services import Simulation, SiteEffect

    def simulate(feeder: str, **_: Any) -> Simulation:
        effect = SiteEffect("depot", 900.0, 90.0, 300.0, 90.0, 600.0, 0.0, "thermal at line.l1")
        return Simulation(feeder, ("line.l2",), (), (effect,), 0, 96.0, "line.l1", "", None)

    page = reverse("switching", args=["ieee13"])
    wrong = signed_in(people).get(page + "?opened=line.no_such")
    assert wrong.status_code == 422
    assert "the model has no element &#x27;line.no_such&#x27;" in wrong.content.decode()
    monkeypatch.setattr(switching_services, "simulate_switching", simulate)
    shown = signed_in(people).get(page + "?opened=line.l2").content.decode()
    assert "This order will curtail one site by 600 kW of import" in shown
    assert "never certified" in shown


def test_a_switching_state_is_declared_with_a_reason(people: dict[str, Any], version: Any) -> None:
    operator, page = signed_in(people), reverse("declare-state", args=["ieee13"])
    operator.post(page, {"name": "tie closed", "reason": ""})
    assert SwitchingState.objects.count() == 0
    operator.post(page, {"name": "works", "reason": "crew on site", "opened": version.description["elements"][0][0]})
    state = SwitchingState.objects.get()
    assert (state.by, state.confirmed) == ("operator", False), "not ticked: not confirmed, so failsafe"


def test_of_two_thousand_sites_the_abnormal_come_first_and_the_page_stays_small(people: dict[str, Any]) -> None:
    board(datetime.now(UTC), *(site(f"s{n:04d}", heard=n != 1999) for n in range(2000)))
    page = signed_in(people).get(reverse("feeder-board", args=["ieee123"])).content.decode()
    assert "200 of 2000 shown" in page
    assert page.index(">s1999</a>") < page.index(">s0000</a>")
    assert len(page) < 600_000
    one = signed_in(people).get(reverse("feeder-board", args=["ieee123"]) + "?text=s0007").content.decode()
    assert ">s0007</a>" in one and ">s0008</a>" not in one


@pytest.mark.django_db(transaction=True)
async def test_a_role_that_is_taken_away_ends_the_socket(monkeypatch: Any) -> None:
    from asgiref.sync import sync_to_async
    from asgiref.testing import ApplicationCommunicator

    from telemetry import consumers
    from tests.app.conftest import person

    monkeypatch.setattr(consumers, "ASK_AGAIN_S", 0.0)
    monkeypatch.setattr(consumers, "EVERY_S", 0.05)
    user = await sync_to_async(person)("op", "operator")
    scope = {"type": "websocket", "path": "/ws/board/", "headers": [], "subprotocols": [], "user": user}
    socket = ApplicationCommunicator(consumers.BoardConsumer.as_asgi(), scope)
    await socket.send_input({"type": "websocket.connect"})
    assert (await socket.receive_output(timeout=5))["type"] == "websocket.accept"
    assert (await socket.receive_output(timeout=5))["type"] == "websocket.send"
    await sync_to_async(user.groups.clear)()
    for _ in range(100):
        said = await socket.receive_output(timeout=5)
        if said["type"] == "websocket.close":
            break
    assert said["code"] == 4403
    await socket.send_input({"type": "websocket.disconnect", "code": 4403})
    await socket.wait(timeout=5)


def test_the_next_hours_come_from_the_engines_outlook_while_it_is_fresh(people: dict[str, Any]) -> None:
    from telemetry import next_hours, outlook_services

    now = datetime.now(UTC)
    hours = [{"sites": {"depot": [900_000 - 1000 * n, 90_000, "thermal", f"line.l{n}"]}} for n in range(25)]
    outlook_services.keep_outlook("ieee123", now, {"hours": hours})
    found = next_hours.of_site("ieee123", "depot", None, now)
    assert found is not None
    assert (found["rows"][3]["import_kw"], found["rows"][3]["by"]) == (897.0, "thermal at line.l3")
    assert len(found["rows"]) == 24
    board(now)
    assert "thermal at line.l3" in signed_in(people).get(reverse("site", args=["ieee123", "depot"])).content.decode()
    assert next_hours.of_site("ieee123", "depot", None, now + timedelta(seconds=901)) is None, "old news is no outlook"
    assert next_hours.of_feeder("ieee123", ["depot"], now) is not None


@pytest.mark.django_db
def test_a_room_that_has_heard_nothing_does_not_say_that_all_is_well(client: Any, people: dict[str, Any]) -> None:
    client.force_login(people["operator"])
    page = client.get("/operations/").content.decode()
    assert "No fresh word from any site" in page
    assert "every permitted site is heard" not in page
