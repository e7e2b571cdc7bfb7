"""Studies over queue workers: real qcluster processes on one database, one of them killed in the middle of a slice."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from derms.grid.study_request import StudyRequest
from interconnection.models import FeederVersion, Study
from interconnection.services import studies, study_executor
from interconnection.services.feeders import feeder_version
from interconnection.services.studies import build_request, order_study
from interconnection.study_models import StudyLease, StudySlice
from tests.conftest import ROOT

SETUP = """
import django; django.setup()
from django_q.tasks import async_task
from interconnection.services.feeders import feeder_version
from interconnection.services.studies import build_request, order_study, perform
version = feeder_version("ieee13", actor="test")
request = build_request(version, "675", (1, 2, 3), 900_000, 600_000, hours=600)
study = order_study(version, request, actor="test")
twin = order_study(version, request, actor="test")
perform(twin.pk, workers=1)
async_task("interconnection.tasks.run", study.pk)
print(study.pk, twin.pk)
"""


def test_a_killed_worker_loses_nothing_and_the_answer_has_the_bytes_of_one_process(tmp_path: Path) -> None:
    database = tmp_path / "studies.sqlite3"
    environment = os.environ | {
        "DATABASE_URL": f"sqlite:///{database}", "DJANGO_SETTINGS_MODULE": "derms.settings",
        "HEADROOM_STUDY_EXECUTOR": "slices", "HEADROOM_STUDY_LEASE_S": "4", "HEADROOM_STUDY_WORKERS": "1",
    }  # fmt: skip
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
    done = subprocess.run(
        [sys.executable, "-c", SETUP], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    study, twin = (int(number) for number in done.stdout.split()[-2:])
    clusters = [
        subprocess.Popen(
            [sys.executable, "manage.py", "qcluster"], cwd=ROOT, env=environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]  # fmt: skip
    try:
        holder = _wait(database, "select holder, first_hour from interconnection_studylease where study_id=?", study)
        os.kill(int(holder[0].split(":")[1]), signal.SIGKILL)
        _wait(database, "select 1 from interconnection_study where status='done' and id=?", study)
        rows = sqlite3.connect(database).execute(
            "select id, result, done_hours from interconnection_study where id in (?, ?)", (study, twin)
        )
        found = {number: (result, hours) for number, result, hours in rows}
    finally:
        for cluster in clusters:
            os.killpg(cluster.pid, signal.SIGKILL)
            cluster.wait()
    assert found[study] == found[twin]
    assert found[study][1] == 600
    assert len(json.loads(found[study][0])["hourly"]["hour"]) == 600


def _wait(database: Path, query: str, study: int, within_s: float = 180.0) -> tuple[str, ...]:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        row = sqlite3.connect(database, timeout=10).execute(query, (study,)).fetchone()
        if row is not None:
            return tuple(row)
        time.sleep(0.05)
    raise AssertionError(f"not within {within_s} s: {query}")


@pytest.fixture
def study(db: None) -> Study:
    version: FeederVersion = feeder_version("ieee13", actor="test")
    return order_study(version, build_request(version, "675", (1, 2, 3), 900_000, 0, hours=24), actor="test")


def test_a_lease_belongs_to_one_until_it_runs_out_and_then_to_another(
    study: Study, settings: pytest.FixtureRequest
) -> None:
    settings.STUDY_LEASE_S = 60.0  # type: ignore[attr-defined]
    assert study_executor._lease(study.pk, 0, "one")
    assert not study_executor._lease(study.pk, 0, "two")
    assert study_executor._renew(study.pk, 0, "one")
    assert not study_executor._renew(study.pk, 0, "two")
    settings.STUDY_LEASE_S = -1.0  # type: ignore[attr-defined]
    study_executor._renew(study.pk, 0, "one")
    assert study_executor._lease(study.pk, 0, "two")
    assert not study_executor._renew(study.pk, 0, "one")
    assert StudyLease.objects.get(study=study).attempts == 2


def test_a_cancelled_study_is_let_go_and_what_is_done_is_kept(study: Study) -> None:
    Study.objects.filter(pk=study.pk).update(status=Study.CANCELLED)
    assert study_executor.work_on(study.pk) == Study.CANCELLED
    assert not StudySlice.objects.filter(study=study).exists()


@pytest.mark.django_db(transaction=True)
def test_a_slice_that_cannot_be_computed_fails_the_study_with_its_reason() -> None:
    version = feeder_version("ieee13", actor="test")
    wrong = StudyRequest("nowhere", (1, 2, 3), 1000, 0, (0, 1))
    broken = order_study(version, wrong, actor="test")
    Study.objects.filter(pk=broken.pk).update(status=Study.RUNNING)
    assert study_executor.work_on(broken.pk) == Study.FAILED
    broken.refresh_from_db()
    assert "no bus" in broken.error
    assert studies.perform  # the in-process executor is the default
    assert isinstance(study_executor.executor(), study_executor.InProcess)
