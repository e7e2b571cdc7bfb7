"""The offer as a letter: a tagged PDF (PDF/UA-1) with the signed terms attached. The same offer gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from derms.agreement import Terms
from interconnection import study_page
from interconnection.charts import MONTHS

TEMPLATE = Path(__file__).resolve().parent.parent / "templates" / "letter" / "offer.typ"
INVERTER_WORDS = {
    "volt_var_a": "the volt-var curve of IEEE 1547-2018 category A",
    "volt_var_b": "the volt-var curve of IEEE 1547-2018 category B",
}  # fmt: skip
PROTOCOL_WORDS = {"dnp3": "DNP3", "sunspec": "SunSpec Modbus", "ieee2030_5": "IEEE 2030.5"}


@dataclass(frozen=True, slots=True)
class Names:
    """Who stands on the letter; texts that are empty are left out."""

    utility: str
    reference: str
    applicant: str
    site: str
    prepared_by: str = ""
    issued_by: str = ""
    accepted_by: str = ""


def kilowatts(watts: int) -> str:
    """Return watts as kilowatts in words, rounded down to 0.1."""
    whole, part = divmod(watts // 100, 10)
    return f"{whole:,}.{part}" if part else f"{whole:,}"


def sentences(terms: Terms) -> list[str]:
    """Return the "if" of an offer as sentences: what the site does."""
    wire = PROTOCOL_WORDS.get(terms.protocol, terms.protocol)
    most, safe = terms.flexible, terms.failsafe
    return [
        f"the site draws at most {kilowatts(most.import_w)} kW and feeds in at most {kilowatts(most.export_w)} kW, and "
        "less whenever it is sent a lower limit;",
        f"it obeys a limit within {terms.response_s} s, changing its power by at least "
        f"{kilowatts(terms.ramp_w_per_s)} kW a second until it does;",
        f"it falls by itself to {kilowatts(safe.import_w)} kW in and {kilowatts(safe.export_w)} kW out when no fresh limit "
        f"has reached it for {terms.lease_s} s;",
        f"it reports its power every {terms.telemetry_s} s over {wire}.",
        *_more(terms),
    ]


def _more(terms: Terms) -> list[str]:
    found = []
    if terms.inverter != "unity":
        found.append(f"its inverters follow {INVERTER_WORDS.get(terms.inverter, terms.inverter)}.")
    if terms.schedule:
        found.append(
            f"in each month and hour of day it stays within the schedule of the signed terms ({terms.schedule_zone} time)."
        )
    return found + _conditions(terms)


REMEDY_WORDS = {
    "none": "nothing more is owed above the cap", "upgrade": "above the cap the utility builds the upgrade",
    "review": "above the cap both sides review the agreement",
}  # fmt: skip
ACCESS_WORDS = {
    "pro_rata": "in proportion to what was agreed", "equal": "in equal parts", "need": "by the need that sites declare",
    "last_in_first_off": "first to those that came first",
}  # fmt: skip


def _conditions(terms: Terms) -> list[str]:
    """Return what stands beside the limits, as sentences; nothing where nothing was written down."""
    said = terms.conditions
    if said is None:
        return []
    remedy = REMEDY_WORDS.get(said.remedy, f"above the cap the utility pays ${said.remedy_usd_per_kwh:g} a kWh")
    place = f"; its place is {said.position}" if said.position else ""
    found = [
        f"its power is measured at {said.measured_at}, and {said.tolerance_percent:g} % above a limit are tolerated;",
        f"{remedy};",
        f"room is shared {ACCESS_WORDS[said.access]}{place};",
        f"in abnormal switching {said.abnormal};",
    ]
    if said.bridge_for:
        found.append(f"this is a bridge until {said.bridge_for} is there, and ends then;")
    if said.conditional_on:
        found.append(f"it holds only if {said.conditional_on}, which is ahead in the queue, is not connected.")
    return found


def expected(terms: Terms) -> list[str]:
    """Return what the study expects to be curtailed, and the cap, as sentences."""
    cut = terms.curtailment
    return [
        f"Import is expected to be limited in {cut.expected_hours:,} hours a year, {cut.expected_energy_percent:g} % of "
        "the energy of a site that would use its request all the time.",
        f"The utility limits it in at most {cut.cap_hours:,} hours ({cut.cap_energy_percent:g} %) a year.",
    ]


def facts(terms: Terms, answer: dict[str, Any], names: Names, issued: datetime | None) -> dict[str, Any]:
    """Return everything that the template prints, as plain data."""
    limits = (("Firm: always there", terms.firm), ("Flexible: the most, when the network has room", terms.flexible),
              ("Failsafe: when the site hears nothing", terms.failsafe))  # fmt: skip
    ends = f"to {terms.ends.isoformat()}" if terms.ends else "without an end"
    people = [("Prepared by", names.prepared_by), ("Issued by", names.issued_by), ("Accepted by", names.accepted_by)]
    return {
        "title": f"Offer of a flexible connection, {names.reference}",
        "utility": names.utility,
        "reference": names.reference,
        "applicant": names.applicant,
        "site": names.site,
        "issued": f"Issued {issued:%Y-%m-%d %H:%M} UTC" if issued else "Draft, not issued",
        "bus": terms.bus,
        "feeder": terms.feeder,
        "phases": ", ".join(map(str, terms.phases)),
        "asked_import": f"{answer['import_kw']:,g}",
        "asked_export": f"{answer['export_kw']:,g}",
        "sentences": sentences(terms),
        "expected": [*expected(terms), f"The connection holds from {terms.starts.isoformat()} {ends}."],
        "limits": [[words, kilowatts(limit.import_w), kilowatts(limit.export_w)] for words, limit in limits],
        "sides": [*_schedule(terms), *(_side(side) for side in study_page.sides(answer))],
        "avoided": _avoided(answer),
        "sha256": terms.sha256(),
        "evidence": [
            ["Document", terms.sha256()], ["Study inputs", terms.study_sha256], ["Feeder model", terms.feeder_sha256],
            ["Engine", answer["engine"]],
        ],
        "people": [[words, name] for words, name in people if name] or [["Issued by", "nobody yet"]],
    }  # fmt: skip


def pdf(terms: Terms, answer: dict[str, Any], names: Names, issued: datetime | None) -> bytes:
    """Return the letter as PDF/UA-1; raises what Typst raises when the template is wrong."""
    import typst  # 16 MB: only where a letter is made

    made = typst.compile(
        TEMPLATE, root=TEMPLATE.parent, ignore_system_fonts=True, format="pdf", pdf_standards=["ua-1"],
        timestamp=int(issued.timestamp()) if issued else 0,
        sys_inputs={"facts": json.dumps(facts(terms, answer, names, issued), sort_keys=True),
                    "document": terms.document().decode()},
    )  # fmt: skip
    assert isinstance(made, bytes)
    return made


def _schedule(terms: Terms) -> list[dict[str, Any]]:
    """Return the signed schedule of both sides as tables; none where the terms have none."""
    found = []
    for side in ("import", "export") if terms.schedule else ():
        most = getattr(terms.flexible, f"{side}_w") or 1
        rows = [
            {
                "name": month,
                "cells": [
                    {"kw": kilowatts(getattr(cell, f"{side}_w")), "share": getattr(cell, f"{side}_w") / most, "binding": ""}
                    for cell in row
                ],
            }
            for month, row in zip(MONTHS, terms.schedule, strict=True)
        ]
        title = f"The signed schedule, {side}: the most by month and hour of day ({terms.schedule_zone} time)"
        found.append(
            {"title": title, "rows": rows, "binding": "", "note": "The site stays within it whatever it is sent, in kW."}
        )
    return found


def _side(side: study_page.Side) -> dict[str, Any]:
    rows = [
        {
            "name": month,
            "cells": [
                {"kw": f"{cell.least_kw:.0f}", "share": min(1.0, cell.least_kw / side.asked), "binding": cell.binding}
                if cell
                else {"kw": "", "share": 1.0, "binding": ""}
                for cell in cells
            ],
        }
        for month, cells in side.months
    ]
    bound = side.binding
    words = f"Binds first: {bound['criterion']} at {bound['element']}, hour {bound['hour']}."
    return {"title": f"{side.name.capitalize()}, by month and hour of day", "rows": rows,
            "binding": words if bound["criterion"] else ""}  # fmt: skip


def _avoided(answer: dict[str, Any]) -> str:
    items: Sequence[dict[str, Any]] = answer.get("upgrade_avoided", [])
    if not items:
        return "The request is firm: no upgrade is needed."
    parts = [
        f"{item['upgrade'].replace('_', ' ')} for {item['kw']:,g} kW of {item['side']}, ${item['usd']:,}, "
        f"{item['months']} months"
        for item in items
    ]
    return f"Instead of: {'; '.join(parts)} (unit costs: {items[0]['origin']})."
