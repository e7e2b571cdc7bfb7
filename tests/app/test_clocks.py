"""Clocks of the desk: actions start and stop them, questions pause them, and what is late is listed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from derms.errors import Conflict, InputError
from interconnection.models import Application, FeederVersion
from interconnection.services import clocks
from interconnection.services.applications import act, file_application, submit
from tests.app.conftest import ask


@pytest.fixture
def waiting(people: dict[str, Any], version: FeederVersion) -> Application:
    return submit(file_application(ask(address=""), applicant=people["applicant"]), actor="applicant")


def running(application: Application) -> list[str]:
    return [run.clock for run in application.clocks.filter(stopped__isnull=True)]


def test_actions_start_and_stop_the_clocks(waiting: Application, application: Application, people: dict[str, Any]) -> None:
    assert running(waiting) == ["completeness"]
    assert running(application) == ["screens"]
    done = application.clocks.get(clock="completeness")
    assert done.late is False
    act(waiting, "withdraw", by=people["applicant"])
    assert running(waiting) == []


def test_a_question_pauses_with_its_cause_and_the_answer_lets_go_on(waiting: Application, people: dict[str, Any]) -> None:
    run = waiting.clocks.get()
    due = run.due
    assert due is not None
    now = run.started
    first = clocks.ask(waiting, "Which street?", by=people["engineer"], about=["address"], now=now + timedelta(days=1))
    second = clocks.ask(waiting, "Which door?", by=people["engineer"], now=now + timedelta(days=2))
    run.refresh_from_db()
    assert run.due is None
    assert "question" in run.pauses.get().cause
    assert list(clocks.overdue(now=now + timedelta(days=300))) == []
    clocks.answer(first, "Depot Road", by=people["applicant"], now=now + timedelta(days=20))
    run.refresh_from_db()
    assert run.due is None, "the second question is still open"
    clocks.answer(second, "The green one", by=people["applicant"], now=now + timedelta(days=21))
    run.refresh_from_db()
    assert run.due is not None and run.due > due + timedelta(days=14)
    with pytest.raises(Conflict, match="already"):
        clocks.answer(second, "again", by=people["applicant"])
    assert list(clocks.overdue(now=now + timedelta(days=300))) == [run]


def test_what_cannot_be_is_refused(waiting: Application, people: dict[str, Any]) -> None:
    run = waiting.clocks.get()
    with pytest.raises(InputError, match="cause"):
        clocks.pause(run, cause=" ", by="engineer")
    with pytest.raises(Conflict, match="not paused"):
        clocks.resume(run, by="engineer")
    clocks.pause(run, cause="storm", by="engineer")
    with pytest.raises(Conflict, match="paused already"):
        clocks.pause(run, cause="storm", by="engineer")
    with pytest.raises(Conflict, match="role"):
        clocks.ask(waiting, "Why?", by=people["applicant"])
    asked = clocks.ask(waiting, "Why?", by=people["engineer"])
    with pytest.raises(Conflict, match="applicant"):
        clocks.answer(asked, "Because", by=people["other"])
    # A pause for another cause outlives the answer.
    clocks.answer(asked, "Because", by=people["applicant"], now=datetime.now(UTC) + timedelta(minutes=1))
    run.refresh_from_db()
    assert run.due is None
