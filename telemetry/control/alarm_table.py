"""The rationalisation table: each alarm with its priority, what follows if nobody acts, what to do, and how soon.

ISA-18.2 asks for a consequence and an action for every alarm: what needs no action is an event, not an alarm.
Delays, dead-bands and limits are defaults of ours, to be set per utility.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from telemetry.control.alarm import Priority

HOUR_S = 3600.0
CERTIFICATE_DAYS = (1, 7, 30, 90)
FLOOD_COUNT, FLOOD_WINDOW_S = 10, 600.0
"""More than ten new alarms in ten minutes are more than one person can handle (the measure of ISA-18.2)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. `limit` and `dead_band` in the unit of the value watched; delays and times in seconds.

    `shelve_s`: the longest time on the shelf, 0 where it may not be shelved. `suppressed_by`: the kinds that explain this
    one: while one of them stands, on the same feeder, or on the same subject where that kind is `personal`, this one is
    suppressed by design.
    """

    kind: str
    title: str
    priority: Priority
    cause: str
    consequence: str
    action: str
    respond_s: float
    on_delay_s: float = 0.0
    off_delay_s: float = 0.0
    limit: float | None = None
    dead_band: float = 0.0
    shelve_s: float = 8 * HOUR_S
    suppressed_by: tuple[str, ...] = ()
    personal: bool = False


TABLE: tuple[Entry, ...] = (
    Entry(
        "not_controlling", "Feeder not controlled", Priority.CRITICAL,
        "No cycle of this feeder's engine was recorded for 20 s, or no engine leads it.",
        "Sites hold their leases, then fall to their failsafe limits; nobody watches the feeder.",
        "Look at the processes; start the control process or its standby. If it does not come, tell the sites' owners.",
        300, shelve_s=0,
    ),
    Entry(
        "process_dead", "Process without progress", Priority.CRITICAL,
        "The watchdog sees a progress counter that stands still, or sees nothing of a process.",
        "Its work is not done: control, alarms, 2030.5 listener or pages, as its name says.",
        "Restart the process; if it stops again, call the system's support.",
        300, off_delay_s=5, shelve_s=HOUR_S,
    ),
    Entry(
        "element_overloaded", "Element above its rating", Priority.CRITICAL,
        "The estimate of the measured state has an element above 100 % of its rating.",
        "Loss of life of a transformer or line; after minutes its protection may trip.",
        "Failsafe now for the sites behind it; if it stays, ask for switching or a trip.",
        300, on_delay_s=15, off_delay_s=30, limit=100.0, dead_band=1.0, shelve_s=0,
        suppressed_by=("not_controlling", "state_unknown"),
    ),
    Entry(
        "element_above_margin", "Element inside its safety margin", Priority.HIGH,
        "An element is above 98.5 % of its rating: control aims at no more than 97 %.",
        "The margin for errors of measurement is being used up.",
        "See which site is above its limit; cap it or hold the raises.",
        900, on_delay_s=60, off_delay_s=60, limit=98.5, dead_band=1.0,
        suppressed_by=("not_controlling", "state_unknown", "element_overloaded"),
    ),
    Entry(
        "voltage_low", "Voltage below its band", Priority.HIGH,
        "The lowest watched voltage is below 0.95 pu (ANSI C84.1, range A).",
        "Customers' equipment suffers; regulators run to their ends.",
        "Look at regulators and capacitors; cap importing sites there.",
        600, on_delay_s=30, off_delay_s=30, limit=0.95, dead_band=0.002,
        suppressed_by=("not_controlling", "state_unknown"),
    ),
    Entry(
        "voltage_high", "Voltage above its band", Priority.HIGH,
        "The highest watched voltage is above 1.05 pu (ANSI C84.1, range A).",
        "Customers' equipment suffers; inverters trip by themselves.",
        "Look at regulators and capacitors; cap exporting sites there.",
        600, on_delay_s=30, off_delay_s=30, limit=1.05, dead_band=0.002,
        suppressed_by=("not_controlling", "state_unknown"),
    ),
    Entry(
        "head_stale", "Feeder head not measured", Priority.HIGH,
        "The measurement at the feeder head is missing, older than 30 s or bad.",
        "The state is not known: every site goes to its failsafe in the next cycle.",
        "Restore the measurement in SCADA; until then nothing is raised.",
        600, on_delay_s=12, off_delay_s=20, suppressed_by=("not_controlling",),
    ),
    Entry(
        "state_unknown", "No solution of the feeder's state", Priority.HIGH,
        "The power flow does not converge on what was measured, or the engine's model failed.",
        "Every site goes to its failsafe in the next cycle.",
        "Compare the model with the switching state; declare the state that holds.",
        600, on_delay_s=12, off_delay_s=20, suppressed_by=("not_controlling", "head_stale"),
    ),
    Entry(
        "no_certificate", "Failsafe certificate missing", Priority.HIGH,
        "No certificate holds for this model, switching state and set of sites.",
        "Nothing is published on this feeder: all its sites stay at their failsafe limits.",
        "Have an engineer restudy the newest agreement with the others in place.",
        4 * HOUR_S, on_delay_s=120,
    ),
    Entry(
        "raises_withheld", "Raises withheld", Priority.MEDIUM,
        "The engine decides on raises and may not send them: no audit log, a lost lead, or a site under another engine.",
        "Sites stay at what they have; tightening goes on.",
        "Look at the audit log and at the standby engine.",
        1800, on_delay_s=60, off_delay_s=60, suppressed_by=("not_controlling",),
    ),
    Entry(
        "site_locked", "Site locked to failsafe", Priority.CRITICAL,
        "A site was above its limit for 60 s, twice in 10 min, or more than three times in 24 h.",
        "The others are trimmed for it; if it does not come down, the element behind it is at risk.",
        "Ask SCADA for the trip of the site; call its owner. The evidence is kept.",
        300, shelve_s=0, suppressed_by=("not_controlling",), personal=True,
    ),
    Entry(
        "site_above_limit", "Site above its limit", Priority.HIGH,
        "A site has been above its limit for 15 s, after response and ramp.",
        "The others are trimmed; after 60 s the site is locked to its failsafe.",
        "Watch it; call its owner if it does not come down.",
        60, off_delay_s=10, suppressed_by=("not_controlling", "site_locked"),
    ),
    Entry(
        "site_silent", "Site not heard", Priority.MEDIUM,
        "No good reading of a site for 30 s.",
        "Its lease ends and it falls to its failsafe; what it was lent stays reserved until then.",
        "See whether one site or a whole carrier is gone; tell the owner after 15 min.",
        900, on_delay_s=10, off_delay_s=30, suppressed_by=("not_controlling",), personal=True,
    ),
    Entry(
        "grant_refused", "Site refuses a limit", Priority.MEDIUM,
        "The device answered no, or does not obey what it was read back to hold.",
        "It keeps what it had; it cannot be raised, and lowering it needs its failsafe.",
        "Run the commissioning test for this device; cap it until it passes.",
        1800, off_delay_s=60, suppressed_by=("not_controlling", "site_silent"),
    ),
    Entry(
        "control_rejected", "Site rejects its control", Priority.HIGH,
        "An IEEE 2030.5 client answered that it rejects a control: parameters, time, or expired (252, 253, 254).",
        "It does not take this limit: it keeps what it had, or its default.",
        "Compare the control with the device's ratings and clock; cap the site; call its owner. The record is kept.",
        900, suppressed_by=("not_controlling",),
    ),
    Entry(
        "control_opted_out", "Site opts out of its control", Priority.HIGH,
        "An IEEE 2030.5 client answered that its user opted out (4, or 8 for a part).",
        "The limit may not be kept: the ladder watches its power, the others are trimmed.",
        "Call its owner: the agreement knows no opt-out of a limit. The record is kept.",
        900, suppressed_by=("not_controlling",),
    ),
    Entry(
        "control_not_followed", "Site cannot comply", Priority.MEDIUM,
        "An IEEE 2030.5 client answered that it did not take part, or that the control does not apply or is invalid "
        "(10, 13, 14).",
        "It keeps what it had, or its default; it cannot be raised.",
        "Run the commissioning test for this device; cap it until it passes. The record is kept.",
        1800, suppressed_by=("not_controlling",),
    ),
    Entry(
        "control_unanswered", "Control not answered", Priority.MEDIUM,
        "An IEEE 2030.5 client has answered no control for 180 s, three polls.",
        "Nobody knows whether it holds its limit; its room stays reserved, and it is not raised.",
        "See whether it polls at all and whether its certificate holds; tell its owner.",
        1800, off_delay_s=10, suppressed_by=("not_controlling", "site_silent"),
    ),
    Entry(
        "clock_offset", "Clock off", Priority.HIGH,
        "This machine's clock differs by more than 1 s from its reference.",
        "From 5 s on nothing is published; records bear wrong times.",
        "Look at the time service of the machine.",
        1800, on_delay_s=10, off_delay_s=30, limit=1.0, dead_band=0.2,
    ),
    Entry(
        "audit_failing", "Audit log failing", Priority.HIGH,
        "The audit log could not be written, or its chain does not verify.",
        "Raises wait; tightening goes on.",
        "Look at the database and its disk; verify the chain against its outside anchor.",
        1800, off_delay_s=30,
    ),
    Entry(
        "records_lost", "Cycle records lost", Priority.LOW,
        "The database is too slow or away: cycles ran but could not be stored.",
        "The board and the trend have gaps; control goes on.",
        "Look at the database and its disk.",
        4 * HOUR_S, off_delay_s=300, suppressed_by=("audit_failing",),
    ),
    *(
        Entry(
            f"certificate_{days}_days", f"Certificate ends within {days} day{'s' if days > 1 else ''}", priority,
            f"The certificate of an IEEE 2030.5 client ends within {days} day{'s' if days > 1 else ''}, or has ended.",
            "From its end on the device is refused at the door and stays at its failsafe.",
            "Ask its owner for the new certificate; have it registered before the end.",
            days * 24 * HOUR_S / 3, shelve_s=days * 24 * HOUR_S / 3, limit=float(days), personal=True,
            suppressed_by=tuple(f"certificate_{sooner}_days" for sooner in CERTIFICATE_DAYS if sooner < days),
        )
        for days, priority in zip(
            CERTIFICATE_DAYS, (Priority.HIGH, Priority.MEDIUM, Priority.LOW, Priority.LOW), strict=True
        )
    ),
)  # fmt: skip
BY_KIND = {entry.kind: entry for entry in TABLE}


def flooded(raised: Iterable[float], now: float) -> bool:
    """Say whether more new alarms came in the last ten minutes than a person can handle; seconds on one clock."""
    return sum(1 for moment in raised if 0.0 <= now - moment <= FLOOD_WINDOW_S) > FLOOD_COUNT


def markdown() -> str:
    """Return the table as the manual prints it."""
    head = (
        "| priority | alarm | when | if nobody acts | what to do | respond within | delay on / off | shelf |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    rows = [
        f"| {entry.priority.name.lower()} | **{entry.title}** | {entry.cause} | {entry.consequence} | {entry.action} "
        f"| {span(entry.respond_s)} | {entry.on_delay_s:g} s / {entry.off_delay_s:g} s "
        f"| {span(entry.shelve_s) if entry.shelve_s else 'never'} |"
        for entry in sorted(TABLE, key=lambda entry: (entry.priority, entry.title))
    ]
    return "\n".join([head, *rows])


def span(seconds: float) -> str:
    """Return a time as people say it."""
    for size, name in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:g} {name}"
    return f"{seconds:g} s"
