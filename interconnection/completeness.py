"""What an application still lacks: each gap says what, where, and what to do. A rule pack chooses what is asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from derms.errors import InputError
from interconnection.request import Request, outside

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True, slots=True)
class Listing:
    """A certificate of the registry as completeness needs it."""

    standard: str
    listing: str
    model: str
    expires: date | None


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that is missing or does not fit: which requirement, where (field), what, and what to do about it."""

    requirement: str
    where: str
    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beside the application: the registry's listings for it, the documents asked for, the day."""

    listings: Sequence[Listing]
    standards: Mapping[str, Sequence[str]]
    documents: Sequence[str]
    today: date


Requirement = Callable[[Request, Known], Iterable[Gap]]


def _fields(*names: str) -> Requirement:
    def ask(request: Request, known: Known) -> Iterable[Gap]:
        for name in names:
            if getattr(request, name) in ("", None, 0):
                shown = outside(name).replace("_", " ")
                yield Gap("", outside(name), f"{shown} is not given", f"Fill in {shown}.")

    return ask


def _email(request: Request, known: Known) -> Iterable[Gap]:
    if not EMAIL.fullmatch(request.contact_email):
        yield Gap(
            "", "contact_email", "no electronic address of the contact", "Give the address that is read day and night."
        )


def _certificates(request: Request, known: Known) -> Iterable[Gap]:
    """The standards that the rule pack asks for, each by a listing that the registry holds today."""
    if request.export_w == 0:
        return
    wanted = known.standards.get(request.inverter_place, ())
    named = {(row.get("standard", ""), row.get("listing", "")): place for place, row in enumerate(request.certificates)}
    for choice in wanted:
        # "UL 1741 CRD | UL 3141": one of them is enough.
        alternatives = [item.strip() for item in choice.split("|")]
        claims = [key for key in named if key[0] in alternatives]
        if not claims:
            yield Gap(
                "", "certificates", f"no certificate under {' or '.join(alternatives)}",
                "Name the standard and the laboratory's listing number of the charger (or, with the inverter in the "
                "vehicle, of the vehicle).",
            )  # fmt: skip
            continue
        if not any(_holds(claim, known) for claim in claims):
            standard, number = claims[0]
            place = f"certificates.{named[claims[0]]}"
            registered = [row for row in known.listings if (row.standard, row.listing) == claims[0]]
            if registered:
                yield Gap(
                    "", place, f"{standard} {number} expired on {registered[0].expires}", "Name a listing that holds today."
                )
            else:
                yield Gap(
                    "", place, f"the registry has no {standard} listing {number!r} for this equipment",
                    "Check the number, make and model, or ask the engineer to add the listing to the registry.",
                )  # fmt: skip


def _holds(claim: tuple[str, str], known: Known) -> bool:
    return any(
        (row.standard, row.listing) == claim and (row.expires is None or known.today < row.expires)
        for row in known.listings
    )


def _limit_means(request: Request, known: Known) -> Iterable[Gap]:
    if request.export_mode == "limited" and request.limit_means == "utility":
        yield Gap(
            "", "limit_means", "a limited export needs something on site that limits it",
            "Choose a certified power control system, an energy management system or a relay.",
        )  # fmt: skip


def _documents(request: Request, known: Known) -> Iterable[Gap]:
    status = {row["kind"]: row["status"] for row in request.documents}
    for kind in known.documents:
        if status.get(kind) != "attached":
            pending = status.get(kind) == "pending"
            what = f"the {kind.replace('_', ' ')} is {'announced but not attached' if pending else 'missing'}"
            yield Gap("", "documents", what, f"Attach the {kind.replace('_', ' ')}.")


def _fleet(request: Request, known: Known) -> Iterable[Gap]:
    if request.vehicle_count == 0:
        yield Gap("", "vehicle_count", "no vehicles are named", "Say how many vehicles charge here.")
    elif request.vehicle_wh == 0:
        yield Gap("", "vehicle_kwh", "the vehicles' batteries are not given", "Give one vehicle's battery in kWh.")
    if request.need_wh_per_day == 0 and not request.schedule.get("need_w"):
        yield Gap(
            "", "need_kwh_per_day", "the fleet's need is not given",
            "Give kWh a day, or a schedule of 7 x 24 hours: without it the study assumes full power in every hour.",
        )  # fmt: skip


def _transformer(request: Request, known: Known) -> Iterable[Gap]:
    most = max(request.import_va or request.import_w, request.export_va or request.export_w)
    if request.transformer_va is None:
        yield Gap(
            "", "transformer_kva", "the service transformer's rating is not given",
            "Give its kVA, or of the one that you would install.",
        )  # fmt: skip
    elif request.transformer_va < most and request.limit_means == "utility" and request.export_mode == "full":
        yield Gap(
            "", "transformer_kva",
            f"{most / 1000:g} kVA are asked for through a transformer of {request.transformer_va / 1000:g} kVA",
            "Ask for less, name a larger transformer, or accept limits that are sent.",
        )  # fmt: skip


REQUIREMENTS: dict[str, Requirement] = {
    "address": _fields("address"),
    "account": _fields("account"),
    "contact": _fields("contact", "contact_phone"),
    "contact_email": _email,
    "charger_make": _fields("charger_make", "charger_model"),
    "service": _fields("service_v", "service_a"),
    "transformer": _transformer,
    "certificates": _certificates,
    "limit_means": _limit_means,
    "documents": _documents,
    "fleet": _fleet,
}
"""Every requirement that a rule pack may ask for, by name."""


def gaps(request: Request, required: Sequence[str], known: Known) -> list[Gap]:
    """Return what is missing, in the pack's order; raises InputError for a requirement that does not exist."""
    found: list[Gap] = []
    for name in required:
        ask = REQUIREMENTS.get(name)
        if ask is None:
            raise InputError(f"unknown requirement {name!r}", where="completeness", remedy=", ".join(REQUIREMENTS))
        found += [Gap(name, gap.where, gap.what, gap.remedy) for gap in ask(request, known)]
    return found
