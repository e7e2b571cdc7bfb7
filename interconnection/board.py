"""The queue board and the search: what is read, in how few questions to the database."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db.models import Count, Q, QuerySet

from interconnection import queries, states
from interconnection.models import Application, ClockRun, Feeder
from interconnection.roles import sees_all

STAGES: dict[str, tuple[str, ...]] = {
    "new": (states.DRAFT, states.SUBMITTED),
    "screening": (states.COMPLETE, states.SCREENING),
    "study": (states.STUDY,),
    "offer": (states.OFFER,),
    "agreed": (states.ACCEPTED, states.COMMISSIONING),
    "operating": (states.PERMITTED, states.SUSPENDED),
    "closed": states.FINAL,
}
"""Tabs of the board, in the order of an application's life."""
NEXT = {
    states.DRAFT: ("applicant", "submit it"),
    states.SUBMITTED: ("applicant", "close the gaps"),
    states.COMPLETE: ("engineer", "screen it"),
    states.SCREENING: ("engineer", "study it"),
    states.STUDY: ("engineer", "prepare an offer"),
    states.OFFER: ("applicant", "accept or decline"),
    states.ACCEPTED: ("engineer", "commission it"),
    states.COMMISSIONING: ("engineer", "permit operation"),
    states.PERMITTED: ("operator", "operate"),
    states.SUSPENDED: ("engineer", "resume or end"),
}
"""Who does what next in each state."""
ORDERS = {
    "newest": ("-created", "-id"), "oldest": ("created", "id"), "name": ("name", "id"), "-name": ("-name", "-id"),
    "import": ("-import_w", "-id"), "-import": ("import_w", "id"), "export": ("-export_w", "-id"),
    "-export": ("export_w", "id"), "feeder": ("feeder__name", "bus", "-id"), "-feeder": ("-feeder__name", "-bus", "-id"),
    "state": ("state", "-id"), "-state": ("-state", "-id"), "changed": ("-changed", "-id"),
}  # fmt: skip
"""Orders by name; "-" turns one round. Quantities begin with the largest, words with A."""
COLUMNS = (
    ("Number", "newest", "oldest", "descending"), ("Site", "name", "-name", "ascending"),
    ("Feeder, bus", "feeder", "-feeder", "ascending"), ("Import, kW", "import", "-import", "descending"),
    ("Export, kW", "export", "-export", "descending"), ("Chargers", "", "", ""), ("State", "state", "-state", "ascending"),
    ("Next", "", "", ""), ("Due", "", "", ""), ("Age", "", "", ""),
)  # fmt: skip
"""The board's columns: words, the order that a click gives, the one that a second click gives, how the first one runs."""


@dataclass(frozen=True, slots=True)
class Column:
    """A heading: words, the order that a click asks for ("": none), how the column runs now ("" when it does not)."""

    words: str
    order: str
    runs: str
    number: bool


def columns(order: str) -> list[Column]:
    """Return the headings while the board stands in an order."""
    found = []
    turned = {"ascending": "descending", "descending": "ascending"}
    for words, first, second, runs in COLUMNS:
        now = runs if first and order == first else turned.get(runs, "") if second and order == second else ""
        found.append(
            Column(words, second if first and order == first else first, now, words.endswith("kW") or words == "Age")
        )
    return found


REFERENCE = re.compile(r"a-?0*(\d{1,9})", re.IGNORECASE)
MOST_FOUND = 20


def counts(user: Any) -> dict[str, int]:
    """Return how many applications stand in each stage, all of them under ""; one question."""
    by_state = dict(
        queries.applications(user).order_by().values_list("state").annotate(count=Count("pk")).values_list("state", "count")
    )
    found = {name: sum(by_state.get(state, 0) for state in members) for name, members in STAGES.items()}
    return {"": sum(by_state.values()), **found}


def rows(user: Any, *, stage: str = "", text: str = "", order: str = "newest") -> QuerySet[Application]:
    """Return the board's applications: those of a stage, those that a text names, in an order."""
    found = queries.applications(user)
    if stage in STAGES:
        found = found.filter(state__in=STAGES[stage])
    if text:
        found = found.filter(_matches(text))
    return found.order_by(*ORDERS.get(order, ORDERS["newest"]))


@dataclass(frozen=True, slots=True)
class Due:
    """The next deadline of an application: its clock, its day (None while paused), whether it is past."""

    title: str
    owner: str
    day: date | None
    late: bool


def dues(numbers: Sequence[int], today: date) -> dict[int, Due]:
    """Return the next deadline of each application; one question, whatever the page's length."""
    found: dict[int, Due] = {}
    runs = ClockRun.objects.filter(application__in=numbers, stopped__isnull=True).order_by("due", "pk")
    for run in sorted(runs, key=lambda run: (run.due is None, run.due or today)):
        late = run.due is not None and run.due < today
        found.setdefault(run.application_id, Due(run.title, run.owner, run.due, late))
    return found


def _matches(text: str) -> Q:
    where = (
        Q(name__icontains=text) | Q(bus__iexact=text) | Q(feeder__name__icontains=text)
        | Q(charger_model__icontains=text) | Q(applicant__username__icontains=text) | Q(address__icontains=text)
    )  # fmt: skip
    number = REFERENCE.fullmatch(text.strip())
    if number:
        where |= Q(pk=int(number.group(1)))
    elif text.isascii() and text.isdigit() and len(text) < 10:
        where |= Q(pk=int(text))
    return where


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that was found: what it is, its words, the address's name and arguments."""

    kind: str
    words: str
    note: str
    url: str
    arguments: tuple[Any, ...]


def search(user: Any, text: str) -> list[Hit]:
    """Return what a text names: applications, studies by hash, feeders and their buses; each kind at most 20."""
    text = text.strip()[:100]
    if not text:
        return []
    found = [
        Hit("application", f"{row.reference} {row.name}", f"{row.feeder.name}, bus {row.bus}, {row.state}",
            "application", (row.pk,))
        for row in rows(user, text=text)[:MOST_FOUND]
    ]  # fmt: skip
    if re.fullmatch(r"[0-9a-f]{8,64}", text):
        found += [
            Hit("study", f"study {row.pk}", f"inputs {row.inputs_sha256[:16]}…", "study", (row.pk,))
            for row in queries.studies(user).filter(inputs_sha256__startswith=text)[:MOST_FOUND]
        ]
    for feeder in Feeder.objects.order_by("name"):
        if text.lower() in feeder.name.lower():
            found.append(Hit("feeder", feeder.name, "", "feeder", (feeder.name,)))
    if sees_all(user):
        found += _buses(text.lower())
    return found


def _buses(text: str) -> list[Hit]:
    found: list[Hit] = []
    for feeder in queries.feeders():
        description: Mapping[str, Any] = feeder.versions.all()[0].description
        names = [bus[0] for bus in description["buses"] if text in bus[0]]
        names.sort(key=lambda name: (name != text, len(name), name))
        found += [Hit("bus", f"bus {name}", f"of feeder {feeder.name}", "feeder", (feeder.name,)) for name in names[:5]]
    return found[:MOST_FOUND]
