"""The thirteen steps, in their order. Each is one function of the bench that returns what it saw against what was asked."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from derms.errors import HeadroomError
from derms.limits import NOTHING, Limit
from telemetry.commissioning.bench import Bench
from telemetry.commissioning.trace import Sample, extremes, longest_interval_s, settled_after, steepest_w_per_s
from telemetry.control.grant import Outcome

LOG = logging.getLogger(__name__)
TENTH, HALF = 0.1, 0.5
TRACKING = (0.7, 0.4, 0.9, 0.2)
RAMP_TOLERANCE = 1.2
"""A charger's own steps are not a ramp: what the steepest second may be above the agreed ramp."""
LEAST_SPAN_S = 2.0
FINE_S = 10.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """One step's result: whether it held, what was seen, what was asked, and a remark."""

    name: str
    passed: bool
    value: str = ""
    limit: str = ""
    note: str = ""


def _kw(watts: float) -> str:
    return f"{watts / 1000:.1f} kW"


async def identity(bench: Bench) -> Verdict:
    """1: the device says who it is, and what it can do covers the agreement."""
    facts = await bench.wire.identity()
    for key, value in facts.items():
        bench.note(f"{key}: {value}")
    await bench.connect()
    shown = ", ".join(f"{key} {value}" for key, value in facts.items())
    flexible = bench.terms.flexible
    most = Limit(int(facts.get("import_w", flexible.import_w)), int(facts.get("export_w", flexible.export_w)))
    untold = [word for word, key in (("import", "import_w"), ("export", "export_w")) if key not in facts]
    asked = f"covers {_kw(flexible.import_w)} in, {_kw(flexible.export_w)} out"
    note = f"the device does not say its rating of {' and '.join(untold)}" if untold else ""
    return Verdict("identity", flexible.within(most), shown, asked, note)


async def signs(bench: Bench) -> Verdict:
    """2: charging reads positive, discharging negative; and which output limits which, by the meter."""
    terms = bench.terms
    await bench.rig.charge()
    one_side = Limit(int(TENTH * terms.flexible.import_w), terms.flexible.export_w)
    await bench.wire.prove_sides(False)
    seen = await bench.hold(one_side, bench.allowed_s(bench.swing_w))
    if settled_after(seen, one_side, bench.tolerance_w) is None:
        bench.note("charging is not limited by the first output: trying the other")
        await bench.wire.prove_sides(True)
        seen = await bench.hold(one_side, bench.allowed_s(bench.swing_w))
    limited = settled_after(seen, one_side, bench.tolerance_w) is not None
    charging = await bench.hold(terms.flexible, bench.allowed_s(bench.swing_w))
    await bench.rig.discharge()
    discharging = await bench.hold(terms.flexible, bench.allowed_s(bench.swing_w))
    most, least = charging[-1].power_w, discharging[-1].power_w
    wants_export = terms.flexible.export_w > 0
    right = most > bench.tolerance_w and (not wants_export or least < -bench.tolerance_w)
    value = f"{_kw(most)} charging, {_kw(least)} discharging"
    note = "" if limited else "limiting the charging side to a tenth did not limit charging"
    return Verdict("signs at plus and minus", right and limited, value, "> 0 charging, < 0 discharging", note)


async def _step_to(bench: Bench, name: str, limit: Limit) -> Verdict:
    await bench.rig.charge()
    await bench.hold(bench.terms.flexible, bench.allowed_s(bench.swing_w))
    allowed = bench.allowed_s(bench.swing_w)
    seen = await bench.hold(limit, allowed + bench.terms.response_s)
    after = settled_after(seen, limit, bench.tolerance_w)
    value = "never" if after is None else f"{after:.1f} s, {_kw(seen[-1].power_w)}"
    return Verdict(name, after is not None and after <= allowed, value, f"{_kw(limit.import_w)} within {allowed:.1f} s")


async def step_to_zero(bench: Bench) -> Verdict:
    """3: from full power to nothing."""
    return await _step_to(bench, "step to 0", NOTHING)


async def step_to_half(bench: Bench) -> Verdict:
    """4: from full power to half of it."""
    return await _step_to(bench, "step to half", bench.terms.flexible.scaled(HALF))


async def tracking(bench: Bench) -> Verdict:
    """5: a sequence of limits, each kept once the time for the change is over."""
    await bench.rig.charge()
    worst = 0.0
    for share in TRACKING:
        limit = bench.terms.flexible.scaled(share)
        allowed = bench.allowed_s(bench.swing_w)
        seen = await bench.hold(limit, allowed + bench.terms.response_s)
        late = [sample for sample in seen if sample.at - seen[0].at > allowed]
        worst = max([worst, *(limit.excess_w(sample.power_w) for sample in late)])
    return Verdict("tracking", worst <= bench.tolerance_w, f"{_kw(worst)} over", f"at most {_kw(bench.tolerance_w)} over")


async def silent_server(bench: Bench) -> Verdict:
    """6: nobody renews: the failsafe after the lease; and the same when the link itself is silent."""
    terms = bench.terms
    await bench.rig.charge()
    await bench.hold(terms.flexible, bench.allowed_s(bench.swing_w))
    allowed = terms.lease_s + bench.allowed_s(bench.swing_w)
    seen = await bench.watch(allowed + terms.response_s)
    after = settled_after(seen, terms.failsafe, bench.tolerance_w)
    renewed = await bench.hold(terms.flexible, bench.allowed_s(bench.swing_w))
    await bench.disconnect("as if the server were dead")
    await bench.sleep(allowed)
    await bench.reconnect()
    silent = bench.trace.samples[-1]
    link = terms.failsafe.excess_w(silent.power_w) <= bench.tolerance_w and silent.in_failsafe is not False
    held = after is not None and after <= allowed
    value = f"{'never' if after is None else f'{after:.1f} s'}; after a silent link {_kw(silent.power_w)}"
    note = "" if renewed[-1].power_w > terms.failsafe.import_w else "it did not come back between the two"
    return Verdict(
        "silent server to failsafe", held and link, value, f"{_kw(terms.failsafe.import_w)} within {allowed:.0f} s", note
    )


async def restore(bench: Bench) -> Verdict:
    """7: back from the failsafe without a step."""
    await bench.rig.charge()
    await bench.watch(LEAST_SPAN_S)
    seen = await bench.hold(bench.terms.flexible, bench.allowed_s(bench.swing_w))
    return _ramp("restore without a step", bench, seen)


async def reversal(bench: Bench) -> Verdict:
    """8: from full charging to full discharging within the ramp."""
    await bench.rig.charge()
    await bench.hold(bench.terms.flexible, bench.allowed_s(bench.swing_w))
    await bench.rig.discharge()
    seen = await bench.hold(bench.terms.flexible, bench.allowed_s(bench.swing_w))
    least, most = extremes(seen)
    verdict = _ramp("reversal within the ramp", bench, seen)
    if bench.terms.flexible.export_w and least >= 0:
        return Verdict(verdict.name, False, f"{_kw(most)} to {_kw(least)}", verdict.limit, "it did not reverse")
    return verdict


def _ramp(name: str, bench: Bench, seen: list[Sample]) -> Verdict:
    steepest = steepest_w_per_s(seen, LEAST_SPAN_S * bench.wire.every_s)
    most = RAMP_TOLERANCE * bench.terms.ramp_w_per_s
    apart, (least, greatest) = longest_interval_s(seen), extremes(seen)
    # A step in the middle of an interval shows as two halves of it, where readings are means.
    blind = apart > 0 and (greatest - least) / (2 * apart) <= most
    note = f"readings {apart:.0f} s apart cannot tell a step from this ramp" if blind and apart > FINE_S else ""
    return Verdict(name, steepest <= most, f"{_kw(steepest)}/s", f"{_kw(most)}/s", note)


async def power_cycle(bench: Bench) -> Verdict:
    """9: after a loss of supply it boots into the failsafe and stays there until a fresh grant."""
    terms = bench.terms
    await bench.rig.charge()
    await bench.hold(terms.flexible, bench.allowed_s(bench.swing_w))
    await bench.disconnect("the controller's supply is taken away")
    await bench.rig.power_cycle()
    await bench.wire.withdraw()  # where the server keeps what it lent, it would lend it anew
    await bench.reconnect()
    allowed = bench.allowed_s(bench.swing_w)
    seen = await bench.watch(allowed + terms.response_s)
    after = settled_after(seen, terms.failsafe, bench.tolerance_w)
    booted = all(sample.in_failsafe is not False for sample in seen)
    answer = await bench.grant(terms.flexible)
    taken = answer.outcome is not Outcome.REFUSED
    if answer.outcome is Outcome.UNKNOWN:  # this wire has no answer: the meter gives it
        await bench.rig.charge()  # vehicles may have stopped with the supply
        fresh = await bench.hold(terms.flexible, bench.allowed_s(bench.swing_w))
        taken = fresh[-1].power_w > terms.failsafe.import_w + bench.tolerance_w
    settled = "never inside it" if after is None else f"inside it after {after:.1f} s"
    value = f"{'at' if booted else 'not at'} failsafe, {settled}; a fresh grant {'taken' if taken else 'not taken'}"
    held = booted and taken and after is not None and after <= allowed
    return Verdict("power cycle", held, value, "failsafe until a fresh grant")


async def cancel(bench: Bench) -> Verdict:
    """10: a grant is taken back before its end."""
    terms = bench.terms
    await bench.rig.charge()
    await bench.hold(terms.flexible, bench.allowed_s(bench.swing_w))
    allowed = bench.allowed_s(bench.swing_w)
    if await bench.wire.withdraw():
        seen = await bench.watch(allowed + terms.response_s)
    else:
        seen = await bench.hold(terms.failsafe, allowed + terms.response_s)
    after = settled_after(seen, terms.failsafe, bench.tolerance_w)
    value = "never" if after is None else f"{after:.1f} s"
    return Verdict("cancel", after is not None and after <= allowed, value, f"failsafe within {allowed:.1f} s")


async def override(bench: Bench) -> Verdict:
    """11: an emergency limit below the failsafe is obeyed, and an older grant does not undo it."""
    terms = bench.terms
    emergency = terms.failsafe.scaled(HALF)
    await bench.rig.charge()
    allowed = bench.allowed_s(bench.swing_w)
    seen = await bench.hold(emergency, allowed + terms.response_s)
    obeyed = settled_after(seen, emergency, bench.tolerance_w) is not None
    note = "this wire carries no order: an older grant cannot be told from a newer one"
    refused = True
    if bench.last is not None and bench.last.epoch is not None:
        answer = await bench.grant(terms.flexible, order=(bench.last.epoch, (bench.last.sequence or 0) - 1))
        refused = answer.outcome is Outcome.REFUSED
        note = f"an older grant: {answer.outcome.value}"
        after = await bench.watch(2 * bench.wire.every_s)
        obeyed = obeyed and all(emergency.excess_w(sample.power_w) <= bench.tolerance_w for sample in after)
    return Verdict("override", obeyed and refused, _kw(seen[-1].power_w), f"{_kw(emergency.import_w)}", note)


async def volt_var(bench: Bench) -> Verdict:
    """12: the reactive-power setting is read back, where the device shows one."""
    shown = await bench.wire.volt_var()
    note = "" if shown is not None else "the device shows no setting; the agreement asks for none"
    return Verdict("volt-var read-back", True, shown or "not shown", "as agreed", note)


async def witness(bench: Bench) -> Verdict:
    """13: the trace is whole: no gap that was not meant, longer than three telemetry intervals."""
    gap = bench.trace.longest_gap_s()
    most = 3.0 * max(bench.terms.telemetry_s, bench.wire.every_s) + bench.wire.patience_s
    count = len(bench.trace.samples)
    return Verdict("witness trace", gap <= most and count > 0, f"{count} samples, longest gap {gap:.1f} s", f"{most:.0f} s",
                   f"sha256 {bench.trace.sha256()}")  # fmt: skip


STEPS: tuple[Callable[[Bench], Awaitable[Verdict]], ...] = (
    identity, signs, step_to_zero, step_to_half, tracking, silent_server, restore, reversal, power_cycle, cancel, override,
    volt_var, witness,
)  # fmt: skip


async def run(
    bench: Bench, told: Callable[[int, Verdict], None], *, only: frozenset[int] = frozenset(range(1, len(STEPS) + 1))
) -> list[Verdict]:
    """Run the thirteen steps; one that cannot be carried out fails with its reason, and the others still run.

    Without an identity nothing is sent to the device. However it ends, the site is left to fall to its failsafe.
    `only`: the steps to run, for looking at one again; what is recorded for a permission runs them all.
    """
    verdicts: list[Verdict] = []
    try:
        for number, step in enumerate(STEPS, start=1):
            if number not in only:
                continue
            bench.step = number
            try:
                if bench.port is None and number not in (1, len(STEPS)):
                    await bench.connect()
                verdict = await step(bench)
            except HeadroomError as error:
                LOG.warning("commissioning step %d of %s: %s", number, bench.terms.site, error)
                bench.note(f"step {number} could not be carried out: {error}")
                verdict = Verdict(step.__name__.replace("_", " "), False, note=str(error))
            verdicts.append(verdict)
            told(number, verdict)
            if number == 1 and not verdict.passed:
                break
    finally:
        if bench.port is not None:
            await bench.port.close()
    return verdicts
