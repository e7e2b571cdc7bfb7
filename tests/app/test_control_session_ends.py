"""A part of the control session that fails ends the session, and no part of its end keeps the next leader waiting."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import InterfaceError

from derms.clock import SystemClock
from derms.errors import LocalError
from interconnection import audit
from interconnection.audit_models import AuditEntry
from telemetry import lead_services, recorder, services, site_wires
from telemetry.control.settings import ControlSettings
from telemetry.control.site_book import SiteBook
from telemetry.leadership import DatabaseLeadership
from telemetry.recorder import DatabaseRecorder, Item
from telemetry.site_wires import SiteWires
from telemetry.watched_tasks import together
from tests.unit.terms import terms


@pytest.mark.parametrize("error", [KeyError("depot"), FileNotFoundError("missed"), InterfaceError("closed")])
def test_a_watcher_that_fails_is_logged_and_ends_the_session(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise error

    async def session() -> tuple[bool, bool]:
        lead, cycle = (asyncio.create_task(asyncio.Event().wait()) for _ in range(2))
        watcher = asyncio.create_task(fails(), name="orders")
        await asyncio.wait_for(together([lead, cycle, watcher], ends_all=cycle, where="f"), 30.0)
        still = not lead.done()
        lead.cancel()
        return still, cycle.cancelled()

    assert asyncio.run(session()) == (True, True), "the lead is renewed until the records are written"
    assert "'orders' ended" in caplog.text


def test_a_watcher_that_is_done_ends_nothing_and_what_the_cycle_raises_is_raised() -> None:
    async def cycle(watcher: asyncio.Task[None]) -> None:
        await watcher
        raise LocalError("planted")

    async def session() -> None:
        lead = asyncio.create_task(asyncio.sleep(0))
        watcher = asyncio.create_task(asyncio.sleep(0))
        work = asyncio.create_task(cycle(watcher))
        await together([lead, watcher, work], ends_all=work, where="f")

    with pytest.raises(LocalError, match="planted"):
        asyncio.run(session())


class Port:
    protocol = "dnp3"

    def __init__(self, site: str, error: Exception | None = None, hangs: bool = False) -> None:
        self.site, self.error, self.hangs, self.closed = site, error, hangs, False

    async def close(self) -> None:
        if self.error is not None:
            raise self.error
        if self.hangs:
            await asyncio.Event().wait()
        self.closed = True


def test_a_wire_that_fails_or_hangs_when_it_is_closed_keeps_no_other_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_wires, "CLOSE_S", 0.01)
    wires, last = SiteWires([], SystemClock(), None), Port("c")  # type: ignore[arg-type]
    wires._ports = {"a": Port("a", error=RuntimeError("broken")), "b": Port("b", hangs=True), "c": last}  # type: ignore[dict-item]
    asyncio.run(wires.close())
    assert last.closed
    assert wires._ports == {}


@pytest.mark.parametrize(
    ("protocol", "device"), [("carrier pigeon", {}), ("dnp3", {"no": "dialect"}), ("dnp3", {"proven": "perhaps"})]
)
def test_an_endpoint_that_names_no_wire_silences_its_site_alone(
    protocol: str, device: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Master:
        async def site(self, name: str, *_: object, **__: object) -> Port:
            return Port(name)

    places = {
        "a": SimpleNamespace(protocol=protocol, host="127.0.0.1", port=1, device=device),
        "b": SimpleNamespace(protocol="dnp3", host="127.0.0.1", port=2, device={}),
    }
    monkeypatch.setattr(site_wires, "_permitted_places", lambda names: ({"a", "b"}, places))
    agreed = [terms("a"), terms("b")]
    wires, ports = SiteWires(agreed, SystemClock(), Master()), {}  # type: ignore[arg-type,var-annotated]
    asyncio.run(wires.open(ports, {item.site: SiteBook(item, ControlSettings()) for item in agreed}))
    assert set(ports) == {"b"}


def item(**record: Any) -> Item:
    facts = {"acknowledgements": (), "evidence": (), "snapshot": "1-1", "epoch": 1, "document": ""}
    return Item(None, SimpleNamespace(**(facts | record)), {}, {"depot": {"stage": "locked"}})  # type: ignore[arg-type]


def test_a_record_that_cannot_be_written_stops_no_later_one_and_its_ladders_are_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored: list[Any] = []

    def evidence(feeder: str, bundles: Any, at: Any) -> None:
        if bundles:
            raise OverflowError("cannot convert float infinity to integer")

    monkeypatch.setattr(services, "keep_evidence", evidence)
    monkeypatch.setattr(services, "record_outcomes", lambda *_: None)
    monkeypatch.setattr(services, "record_cycle", lambda *_, **named: stored.append(named["ladders"]))
    writer = DatabaseRecorder("f")
    writer._waiting.put(item(evidence=("of an infinite power",)))
    writer._waiting.put(item())
    writer.close()
    assert not writer._thread.is_alive()
    assert stored == [{"depot": {"stage": "locked"}}] * 2
    assert writer.dropped == 1


def test_a_full_queue_before_a_writer_that_hangs_does_not_keep_the_process_from_its_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    let = threading.Event()
    monkeypatch.setattr(recorder, "CLOSE_S", 0.05)
    monkeypatch.setattr(services, "record_outcomes", lambda *_: let.wait())
    monkeypatch.setattr(services, "keep_evidence", lambda *_: None)
    monkeypatch.setattr(services, "record_cycle", lambda *_, **__: True)
    writer = DatabaseRecorder("f")
    for _ in range(recorder.MOST_WAITING):
        writer._waiting.put(item())
    writer.close()
    assert "were not written" in caplog.text
    let.set()
    writer._thread.join()


@pytest.mark.django_db
def test_a_torn_line_of_what_could_not_be_logged_loses_no_other_entry() -> None:
    path = audit._missed_path()
    good = json.dumps(
        {"at": "2026-01-01", "actor": "engine", "action": "lower", "subject": "f", "before": {}, "after": {"w": 1}}
    )
    path.write_text(good + '\n{"at": "2026-01-01", "act')
    assert audit.log_missed() == 2
    assert list(AuditEntry.objects.order_by("sequence").values_list("action", flat=True)) == ["lower", "unreadable"]
    assert not path.exists()


@pytest.mark.django_db
def test_what_could_not_be_logged_and_another_process_took_first_is_nobodys_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda self: True)
    assert audit.log_missed() == 0


def test_a_renewal_that_hangs_is_not_joined_by_others_and_takes_no_lead_after_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[int] = []
    let = threading.Event()

    class Silent(DatabaseLeadership):
        def renew(self) -> None:
            begun.append(1)
            let.wait()

    monkeypatch.setattr("telemetry.leadership.RENEW_S", 0.01)
    monkeypatch.setattr(lead_services, "LEASE_S", 0.02)

    async def run() -> None:
        leadership = Silent("f", SystemClock())
        keeping = asyncio.create_task(leadership.keep(asyncio.Event()))
        while caplog.text.count("could not be renewed") < 3:
            await asyncio.sleep(0)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        leadership._renew_once()
        let.set()

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert begun == [1]
