"""Take-over with real processes: a leader that is killed or stopped is replaced within 10 s, and changes nothing after."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.app.processes import ended, environment, start

LEADER = """
import os, signal, sys, time
from pathlib import Path
from django.db import DatabaseError, connection, transaction
from interconnection import audit
from telemetry import lead_services
from derms.clock import SystemClock
from telemetry import services
from telemetry.leadership import DatabaseLeadership
from telemetry.control.grant import Grant, Reason
from derms.limits import Limit
name, flag, clock = sys.argv[1], Path(sys.argv[2]), SystemClock()
lead_services.bound_transactions()
lead = DatabaseLeadership("f", clock)
lead._holder = name
lead.renew()
print("ready", flush=True)
sys.stdin.readline()
mine, sequence, asked = None, 0, 0.0
while True:
    if clock.monotonic() - asked > 1.0:
        lead.renew()
        asked = clock.monotonic()
    epoch = lead.epoch()
    if epoch is not None and epoch != mine:
        mine = epoch
        print("leads", epoch, time.monotonic(), flush=True)
    if mine is not None:  # also when its lease is over: the database must refuse what the process itself would not
        sequence += 1
        if flag.exists() and name == "first":
            flag.unlink()
            # On PostgreSQL at the worst moment: inside a transaction, the lease row and the chain's end locked.
            try:
                with transaction.atomic():
                    if connection.vendor == "postgresql":
                        audit.append("first", "stopped", "f")
                        lead_services.leads("f", mine)
                        os.kill(os.getpid(), signal.SIGSTOP)
                os.kill(os.getpid(), signal.SIGSTOP) if connection.vendor != "postgresql" else None
            except DatabaseError:
                connection.close()
        grant = Grant("depot", Limit(1, 1), mine, sequence, 0.0, 60.0, None, Reason("t", "e", 0.0, "s"))
        if services.audit_grants("f", [grant]):
            services.record_cycle("f", clock.now(), f"{mine}-{sequence}", mine, {"by": name})
    time.sleep(0.1)
"""
LOOK = """
from telemetry.models import CycleRow, GrantRow, LeaderLease
grants = list(GrantRow.objects.order_by("pk").values_list("epoch", flat=True))
cycles = list(CycleRow.objects.order_by("pk").values_list("epoch", flat=True))
print(grants == sorted(grants), cycles == sorted(cycles), max(grants), LeaderLease.objects.get().epoch, len(grants))
"""


def leads(process: subprocess.Popen[str]) -> tuple[int, float]:
    assert process.stdout is not None
    word, epoch, moment = process.stdout.readline().split()
    assert word == "leads"
    return int(epoch), float(moment)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_a_standby_takes_over_within_ten_seconds_and_the_old_leader_writes_nothing(fault: int, tmp_path: Path) -> None:
    env = environment(tmp_path)
    flag = tmp_path / "stop"
    first, second = (start(LEADER, name, str(flag), env=env) for name in ("first", "second"))
    with ended(first, second):
        for process in (first, second):
            assert process.stdout is not None and process.stdin is not None
            assert process.stdout.readline() == "ready\n"
            if process is first:
                process.stdin.write("\n")
                process.stdin.flush()
                epoch, _ = leads(first)
        second.stdin.write("\n")  # type: ignore[union-attr]
        second.stdin.flush()  # type: ignore[union-attr]
        time.sleep(1.0)
        at = time.monotonic()
        if fault == signal.SIGSTOP:
            flag.touch()
        else:
            os.kill(first.pid, fault)
        following, taken = leads(second)
        assert following > epoch
        assert taken - at <= 11.0, "10 s from the moment it stopped; up to one second went by before"
        if fault == signal.SIGSTOP:
            assert not flag.exists(), "it did stop"
            os.kill(first.pid, signal.SIGCONT)
            time.sleep(2.0)  # it goes on where it was: with an epoch that is over
            assert first.poll() is None
        look = start(LOOK, env=env)
        with ended(look):
            answer = look.communicate(timeout=30)[0].split()
        assert answer[:2] == ["True", "True"], "no grant and no cycle of an older epoch after one of a newer"
        assert answer[2] == answer[3] == str(following)
