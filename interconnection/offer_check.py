"""Whether terms stay within what a study found: every number, every cell of a static schedule. Pure and quick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from derms.agreement import Terms
from derms.limits import Limit
from derms.units import kilowatts_to_watts
from interconnection.charts import MONTHS
from interconnection.offer_options import SIDES, STATIC, allowed, limit_of


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in the terms that the study does not carry: which field, what, and what to do."""

    where: str
    what: str
    remedy: str


def faults(answer: Mapping[str, Any], terms: Terms, kind: str, margin: float, *, inverter: str = "unity") -> list[Fault]:
    """Return everything in the terms that is above the study's answer; empty: they may be offered.

    `margin`: the part of each hour's limit that a static schedule keeps in reserve, 0..0.5; `inverter`: the study's
    setting. A dynamic offer's ceiling may be above what the network gives in some hours, never above what was asked for.
    """
    firm = limit_of(answer, "firm")
    asked = Limit(*(kilowatts_to_watts(answer[f"{side}_kw"], where="study") for side in SIDES)).cover(firm)
    found = []
    for name, limit, most, words in (
        ("failsafe", terms.failsafe, firm, "the failsafe limit is above what the study found firm"),
        ("firm", terms.firm, firm, "the firm limit is above what the study found firm"),
        ("flexible", terms.flexible, asked, "the flexible limit is above what was asked for and studied"),
    ):
        for side in SIDES:
            value, top = getattr(limit, f"{side}_w"), getattr(most, f"{side}_w")
            if value > top:
                found.append(Fault(name, f"{words}: {side} {value / 1000:g} kW", f"At most {top / 1000:g} kW."))
    if terms.inverter != inverter:
        found.append(
            Fault("inverter", f"the study was made with {inverter}, the terms say {terms.inverter}", "Study it so first.")
        )
    if kind == "firm" and not terms.flexible.within(firm):
        found.append(Fault("flexible", "a firm offer has no flexible part above firm", "Offer it as dynamic."))
    if kind in STATIC:
        found += _cells(answer, terms, margin)
    return found


def _cells(answer: Mapping[str, Any], terms: Terms, margin: float) -> list[Fault]:
    found = []
    for side in SIDES:
        most = allowed(answer, side, margin, terms.schedule_zone)
        for month in range(12):
            for hour in range(24):
                cell = terms.schedule[month][hour] if terms.schedule else terms.flexible
                value = getattr(cell, f"{side}_w")
                if value > most[month][hour]:
                    found.append(
                        Fault(
                            f"schedule.{month}.{hour}",
                            f"{side}, {MONTHS[month]} {hour}:00: {value / 1000:g} kW is above "
                            f"{most[month][hour] / 1000:g} kW, the study's limit less its margin",
                            f"At most {most[month][hour] / 1000:g} kW, or make the offer dynamic.",
                        )
                    )
    return found
