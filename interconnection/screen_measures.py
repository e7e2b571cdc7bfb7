"""What a screen measures, one function each: the facts about one application go in, a value or a reason for none comes out.

What the network does comes from the grid engine's what-if answer (see `derms.grid.what_if`), so that a screen and a study
never disagree about the same wires.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from interconnection.screen_facts import Facts, Function, Measure, Measured, Outcome, Screen, Silent

# Export side ----------------------------------------------------------------------------------------------------------


def _share_of_peak(facts: Facts, screen: Screen) -> Outcome:
    return _share(facts, screen, facts.load.most_w, facts.load.most_hour, "largest")


def _share_of_minimum(facts: Facts, screen: Screen) -> Outcome:
    if facts.load.least_w <= 0:
        return Silent("unknown", "the feeder's least load is nothing or less", "Check the model's loads and generators.")
    return _share(facts, screen, facts.load.least_w, facts.load.least_hour, "least")


def _share(facts: Facts, screen: Screen, load_w: float, hour: int, word: str) -> Outcome:
    if load_w <= 0:
        return Silent("unknown", "the feeder has no load", "Check the model's loads.")
    total = facts.ahead_export_w + facts.judged_export_w
    room = (screen.threshold or 0.0) / 100 * load_w - facts.ahead_export_w
    return Measured(
        100 * total / load_w, "feeder head", hour, room / 1000,
        basis=f"{total / 1000:,.1f} kW of generation ({facts.ahead_export_w / 1000:,.1f} ahead) against the {word} load of "
        f"{load_w / 1000:,.1f} kW in {facts.load.hours} hours",
    )  # fmt: skip


def _protection(name: str) -> Function:
    """Fault measures count every inverter's nameplate: a limit on power does not limit a fault current."""

    def measure(facts: Facts, screen: Screen) -> Outcome:
        found = next((item for item in facts.answer["protection"] if item["criterion"] == name), None)
        if found is None or facts.request.export_w == 0:
            return Silent("unknown", "the engine gave no fault current", "Ask with an export, or check the model's source.")
        if found["fault_amps"] == 0.0:
            return Silent(
                "unknown", found["element"], "Give the interrupting ratings of breakers and fuses with the feeder."
            )
        # The engine was asked with the inverters' own fault current (see `services.screening`); `fault_scale` is the rest.
        nameplate = max(facts.nameplate_w, facts.judged_export_w)
        linear = name != "interrupting_duty"
        value = 100 * found["value"] * (facts.fault_scale if linear else 1.0)
        most = found["limit_kw"]
        if linear:
            most = nameplate / 1000 * (screen.threshold or 0.0) / value if value > 0 else None
        return Measured(
            value, found["element"], None, most, "Fewer inverters, or inverters with less fault current.",
            f"{nameplate / 1000:,.1f} kW of inverters at {facts.request.charger_fault_pu:g} times rated; "
            f"fault {found['fault_amps']:,.0f} A",
        )  # fmt: skip

    return measure


def _shared_secondary(facts: Facts, screen: Screen) -> Outcome:
    if not facts.request.secondary_shared or len(facts.request.phases) > 1:
        return Silent("not_applicable", "no shared single-phase secondary")
    kw = facts.judged_export_w / 1000
    return Measured(kw, facts.request.transformer or facts.site_bus, None, screen.threshold, "Or a service of its own.")


def _spot_network(facts: Facts, screen: Screen) -> Outcome:
    if not facts.request.spot_network:
        return Silent("not_applicable", "no spot network")
    value = 100 * facts.judged_export_w / facts.load.most_w if facts.load.most_w > 0 else math.inf
    room = (screen.threshold or 0.0) / 100 * facts.load.most_w / 1000
    return Measured(
        value, "spot network", facts.load.most_hour, min(room, float(screen.parameters.get("most_kw", math.inf)))
    )


def _imbalance(facts: Facts, screen: Screen) -> Outcome:
    asked = facts.request
    if len(asked.phases) != 1:
        return Silent("not_applicable", "not single-phase")
    if not asked.transformer_va:
        return Silent("unknown", "the service transformer's rating is not given", "Give its kVA.")
    power = facts.judged_export_w if screen.side == "export" else asked.import_w
    most = (screen.threshold or 0.0) / 100 * asked.transformer_va / 1000
    return Measured(100 * power / asked.transformer_va, asked.transformer, None, most, "Or connect to three phases.")


def _line_configuration(facts: Facts, screen: Screen) -> Outcome:
    share = 100 * (facts.ahead_export_w + facts.judged_export_w) / facts.load.most_w if facts.load.most_w > 0 else math.inf
    room = ((screen.threshold or 0.0) / 100 * facts.load.most_w - facts.ahead_export_w) / 1000
    if len(facts.request.phases) == 3 and screen.parameters.get("primary", "unknown") == "three-wire":
        return Silent("not_applicable", "three-phase on a three-wire primary passes")
    return Measured(
        share, "feeder head", facts.load.most_hour, room, "Or show effective grounding on a four-wire primary.",
        "a four-wire primary, or one that is not known, is taken as the strict case",
    )  # fmt: skip


def _certified(facts: Facts, screen: Screen) -> Outcome:
    return Measured(0.0 if facts.certified else 1.0, facts.request.charger_model, None, None, facts.certified)


def _hosting_share(facts: Facts, screen: Screen) -> Outcome:
    """The site against a share of what the engine finds, all criteria together."""
    side = screen.side
    found = facts.answer.get(side)
    if found is None:
        return Silent("unknown", "the engine gave no answer for this side")
    asked = facts.judged_export_w if side == "export" else facts.request.import_w
    part = float(screen.parameters.get("share_percent", 100.0)) / 100
    most = part * found["largest_kw"]
    value = 100 * asked / 1000 / most if most > 0 else math.inf
    return Measured(
        min(value, 1e6), f"{found['criterion']} {found['element']}".strip(), found["hour"], most, _inverters(facts, side),
        f"{part:.0%} of the {found['largest_kw']:,.1f} kW that every studied hour carries",
    )  # fmt: skip


def _inverters(facts: Facts, side: str) -> str:
    better = [
        f"{item['inverter'].replace('_', '-')} {item[f'{side}_kw']:,.1f} kW"
        for item in facts.answer.get("passing", {}).get("inverters", ())
        if item.get(f"{side}_kw") is not None and item["inverter"] != facts.answer.get("inverter")
    ]
    return f"With other inverter settings: {', '.join(better)}." if better else ""


# Both sides -----------------------------------------------------------------------------------------------------------


def _transformer(facts: Facts, screen: Screen) -> Outcome:
    asked = facts.request
    if not asked.transformer_va:
        return Silent("unknown", "the service transformer's rating is not given", "Give its kVA.")
    if screen.side == "export":
        va, other = float(max(asked.export_va or 0, facts.judged_export_w)), 0.0
    else:
        # Chargers are under one control: no diversity among them unless the pack says so.
        factor = float(screen.parameters.get("coincidence", 1.0))
        va, other = max(asked.import_va or 0, asked.import_w) * factor, float(asked.load_most_w)
    room = (screen.threshold or 0.0) / 100 * asked.transformer_va - other
    factor = float(screen.parameters.get("coincidence", 1.0)) if screen.side == "import" else 1.0
    return Measured(
        100 * (va + other) / asked.transformer_va, asked.transformer or "service transformer", None, room / factor / 1000,
        f"Or a transformer of {(va + other) / ((screen.threshold or 100) / 100) / 1000:,.0f} kVA.",
        f"{(va + other) / 1000:,.1f} kVA through {asked.transformer_va / 1000:,.1f} kVA",
    )  # fmt: skip


def _criterion(facts: Facts, screen: Screen) -> Outcome:
    """One criterion of the engine at the power asked for, in the worst studied hour."""
    return _entry(facts.answer, facts, screen)


def _pending(facts: Facts, screen: Screen) -> Outcome:
    """The same with everything that is agreed or queued ahead on this feeder added at this bus: the careful side."""
    outcome = _entry(facts.pending or facts.answer, facts, screen)
    if isinstance(outcome, Measured) and facts.pending is not None:
        ahead = facts.ahead_import_w if screen.side == "import" else facts.ahead_export_w
        kw = None if outcome.passes_kw is None else outcome.passes_kw - ahead / 1000
        return Measured(outcome.value, outcome.element, outcome.hour, kw, outcome.advice,
                        f"with {ahead / 1000:,.1f} kW that are ahead added at this bus")  # fmt: skip
    return outcome


def _entry(answer: Mapping[str, Any], facts: Facts, screen: Screen) -> Outcome:
    name = str(screen.parameters["criterion"])
    side = answer.get(screen.side)
    found = None if side is None else next((item for item in side["criteria"] if item["criterion"] == name), None)
    if side is not None and any(item["criterion"] == "convergence" for item in side["criteria"]):
        largest = side["largest_kw"]
        return Measured(1e6 if screen.compare == "at_most" else -1e6, "power flow", None, largest, "",
                        "the power flow has no solution at the power asked for")  # fmt: skip
    if found is None:
        return Silent("not_applicable", f"this feeder has nothing that {name.replace('_', ' ')} watches")
    scale = 100.0 if found["unit"] == "pu" and screen.unit == "%" else 0.001 if found["unit"] == "W" else 1.0
    return Measured(
        found["value"] * scale, found["element"], found["hour"],
        side["largest_kw"] if side is not None and found["in_use"] else None, _inverters(facts, screen.side),
        "worst studied hour at the power asked for",
    )  # fmt: skip


def _rapid_change(facts: Facts, screen: Screen) -> Outcome:
    """The site's whole power in one step; `step`: nothing_to_import, nothing_to_export or reversal."""
    found = facts.answer["rapid_change"].get(str(screen.parameters["step"]))
    if found is None:
        return Silent("not_applicable", "this step cannot happen: one side is not asked for")
    step_kw = found["step_kw"]
    most = step_kw * (screen.threshold or 0.0) / 100 / found["pu"] if found["pu"] > 0 else None
    return Measured(
        100 * found["pu"], found["node"], found["hour"], None,
        "" if most is None else f"A ramp limit passes: steps of at most {math.floor(most * 10) / 10:,.1f} kW.",
        f"a step of {step_kw:,.1f} kW with taps held",
    )  # fmt: skip


# Import side ----------------------------------------------------------------------------------------------------------


def _voltage_drop(facts: Facts, screen: Screen) -> Outcome:
    """How far the site's own power moves its own voltage, worst phase, in its worst hour."""
    side = facts.answer.get(screen.side)
    nodes = [] if side is None else [row for row in side["profile"]["nodes"] if row[0].rsplit(".", 1)[0] == facts.site_bus]
    if side is None or not nodes:
        return Silent("unknown", "the site's bus is not on the voltage profile", "Study the site.")
    drop = max(abs(row[4] - row[3]) for row in nodes)
    asked = side["asked_kw"]
    most = asked * (screen.threshold or 0.0) / 100 / drop if drop > 0 else None
    return Measured(100 * drop, facts.site_bus, side["profile"]["hour"], most, "", "between without and with the site")


def _cooling(facts: Facts, screen: Screen) -> Outcome:
    """Hours of a day in which the transformer may cool: below `below_percent` of its rating.

    From the fleet's schedule (its fullest day), or its need a day at the power asked for.
    """
    asked = facts.request
    if not asked.transformer_va:
        return Silent("unknown", "the service transformer's rating is not given", "Give its kVA.")
    line = float(screen.parameters.get("below_percent", 50.0)) / 100 * asked.transformer_va
    rows = asked.schedule.get("need_w")
    if rows:
        hours = min(sum(1 for need in day if need + asked.load_least_w < line) for day in rows)
        basis = "the fleet's schedule, its fullest day"
    elif asked.need_wh_per_day and asked.import_w:
        busy = math.ceil(asked.need_wh_per_day / asked.import_w)
        hours = 24 - busy if asked.import_w + asked.load_least_w >= line else 24
        basis = f"{asked.need_wh_per_day / 1e3:,.0f} kWh a day at full power take {busy} hours"
    else:
        return Silent("unknown", "the fleet's need is not given", "Give the need a day or a schedule.")
    return Measured(max(0, hours), asked.transformer or "service transformer", None, line / 1000,
                    "Spread the charging, or a larger transformer.", basis)  # fmt: skip


def _bank(facts: Facts, screen: Screen) -> Outcome:
    if facts.firm_bank_w is None:
        return Silent("unknown", "the bank's firm capacity is not known",
                      "Give it with the feeder: what the bank carries with its largest unit out.")  # fmt: skip
    total = facts.load.most_w + facts.ahead_import_w + facts.request.import_w
    room = (screen.threshold or 0.0) / 100 * facts.firm_bank_w - facts.load.most_w - facts.ahead_import_w
    return Measured(100 * total / facts.firm_bank_w, "substation bank", facts.load.most_hour, room / 1000)


def _harmonics(facts: Facts, screen: Screen) -> Outcome:
    """Short-circuit ratio at the nearest primary point: fault current over the site's rated current."""
    found = next((item for item in facts.answer["protection"] if item["criterion"] == "fault_rise"), None)
    if found is None or not found["value"] or not facts.request.export_w:
        return Silent(
            "unknown", "the fault current was not asked for", "A flag: ask for the harmonic emission of the chargers."
        )
    # fault_rise = fault_current_pu x rated current / fault current, for the export asked for.
    ratio = facts.fault_pu / found["value"]
    largest = max(facts.request.import_w, facts.judged_export_w)
    ratio *= facts.judged_export_w / largest
    most = largest / 1000 * ratio / (screen.threshold or 1.0)
    return Measured(
        ratio, found["element"], None, most, "Or measured emissions of the chargers that keep the planning levels."
    )


def _engineer(facts: Facts, screen: Screen) -> Outcome:
    return Silent("unknown", "not computed", screen.note or "An engineer answers this one.")


MEASURES: dict[str, Measure] = {
    "share_of_peak": Measure(_share_of_peak, "generation on the section, % of its largest load"),
    "share_of_minimum": Measure(_share_of_minimum, "generation on the section, % of its least load"),
    "fault_rise": Measure(_protection("fault_rise"), "added fault current at the nearest primary point, %"),
    "interrupting_duty": Measure(_protection("interrupting_duty"), "fault current, % of the interrupting rating"),
    "reach_loss": Measure(_protection("reach_loss"), "current that the breaker's relay no longer sees, %"),
    "shared_secondary": Measure(_shared_secondary, "generation on a shared single-phase secondary, kW"),
    "spot_network": Measure(_spot_network, "generation on a spot network, % of its load", parameters=("most_kw",)),
    "imbalance": Measure(_imbalance, "single-phase power, % of the service transformer"),
    "line_configuration": Measure(_line_configuration, "generation, % of the section's largest load, unless the primary "
                                  "has three wires", parameters=("primary",)),
    "certified": Measure(_certified, "1 when the equipment is certified as the pack asks"),
    "hosting_share": Measure(_hosting_share, "the site, % of a share of what fits", parameters=("share_percent",)),
    "transformer": Measure(_transformer, "apparent power, % of the service transformer", parameters=("coincidence",)),
    "criterion": Measure(_criterion, "one criterion of the engine", parameters=("criterion",)),
    "pending": Measure(_pending, "one criterion with all that is ahead added", parameters=("criterion",)),
    "rapid_change": Measure(_rapid_change, "voltage change of one step of the whole site, %", parameters=("step",)),
    "voltage_drop": Measure(_voltage_drop, "voltage change at the site's bus, %"),
    "cooling": Measure(_cooling, "hours a day in which the transformer cools", parameters=("below_percent",)),
    "bank": Measure(_bank, "load of the bank, % of its firm capacity"),
    "harmonics": Measure(_harmonics, "short-circuit ratio"),
    "engineer": Measure(_engineer, "answered by an engineer", needs_threshold=False),
}  # fmt: skip
"""Every measure that a pack may name."""
