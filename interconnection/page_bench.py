"""Each page of the desk on the database at hand: milliseconds, questions to the database, bytes on the wire.

`cpu_ms` is the page's own work; `median_ms` grows with whatever else the machine does.
"""

from __future__ import annotations

import gzip
import statistics
import time
from collections.abc import Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from derms.errors import NotFound
from interconnection.models import Application, Feeder, Offer, Study

PLAIN = (
    "queue", "studies", "feeders", "search", "reports", "baseline-ledger", "compare-studies", "new-application", "my-sites",
    "rule-packs", "engine-health", "operations", "alarms", "alarm-journal", "orders", "devices", "subscriptions",
    "evidence-list", "audit", "curtailment-report", "tokens", "webhooks", "manual", "api-docs",
)  # fmt: skip


def addresses() -> list[tuple[str, str]]:
    """Return the pages by name and path, with the newest objects that there are."""
    found = [(name, reverse(name)) for name in PLAIN]
    found.append(("queue, one stage", reverse("queue") + "?stage=study"))
    found.append(("search, a word", reverse("search") + "?q=depot"))
    if application := Application.objects.order_by("-pk").first():
        found.append(("application", reverse("application", args=[application.pk])))
    if offer := Offer.objects.order_by("-pk").first():
        found.append(("application with an offer", reverse("application", args=[offer.application_id])))
        found.append(("offer editor", reverse("edit-offer", args=[offer.application_id])))
    if study := Study.objects.filter(status=Study.DONE).order_by("-total_hours", "-pk").first():
        found.append(("study", reverse("study", args=[study.pk])))
    if feeder := Feeder.objects.order_by("-pk").first():
        found.append(("feeder", reverse("feeder", args=[feeder.name])))
        found.append(("compare models", reverse("compare-models", args=[feeder.name])))
        found.append(("feeder board", reverse("feeder-board", args=[feeder.name])))
        found.append(("sharing", reverse("sharing", args=[feeder.name])))
        found.append(("switching", reverse("switching", args=[feeder.name])))
        found.append(("feeder's lines", reverse("feeder-lines", args=[feeder.name])))
    return found


def bench(*, rounds: int = 5, user: Any = None) -> dict[str, Any]:
    """Return each page's median of `rounds` in milliseconds, queries and compressed bytes; the first round warms."""
    person = user or get_user_model().objects.filter(groups__name="engineer").first()
    if person is None:
        raise NotFound("nobody is an engineer here", where="people", remedy="manage.py demo_data makes people.")
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(person)
    pages = [_page(client, name, path, rounds) for name, path in addresses()]
    return {
        "applications": Application.objects.count(), "studies": Study.objects.count(), "database": connection.vendor,
        "pages": pages, "slowest_ms": max(page["median_ms"] for page in pages),
        "slowest_cpu_ms": max(page["cpu_ms"] for page in pages),
        "most_kilobytes": max(page["kilobytes"] for page in pages),
        "most_queries": max(page["queries"] for page in pages),
    }  # fmt: skip


def _page(client: Client, name: str, path: str, rounds: int) -> dict[str, Any]:
    times: list[float] = []
    worked: list[float] = []
    queries: Sequence[Any] = ()
    body, status = b"", 0
    for _ in range(rounds + 1):
        with CaptureQueriesContext(connection) as asked:
            began, busy = time.perf_counter(), time.process_time()
            answer = client.get(path)
            times.append((time.perf_counter() - began) * 1000)
            worked.append((time.process_time() - busy) * 1000)
        queries, body, status = asked.captured_queries, answer.content, answer.status_code
    packed = body if body[:2] == b"\x1f\x8b" else gzip.compress(body, 6)
    return {
        "page": name, "path": path, "status": status, "median_ms": round(statistics.median(times[1:]), 1),
        "cpu_ms": round(statistics.median(worked[1:]), 1),
        "queries": len(queries), "kilobytes": round(len(packed) / 1000, 1),
    }  # fmt: skip
