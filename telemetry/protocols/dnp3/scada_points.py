"""The point map towards SCADA: what a control centre reads and commands, generated from feeders and sites.

Pure. Each feeder and each site has a **slot**, a number that is stored once and never given to another; a point's index
is the start of its block plus the slot times the block's width plus the offset below. Blocks have gaps, so that a later
point takes a free offset and moves nothing. Engineering value = raw × scale.

    BI, AI, AO, BO   0 …      the system
                     100 …    feeders
                     10000 …  sites
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from derms.errors import InputError

OUTSTATION_ADDRESS: Final = 1024
SELECT_TIMEOUT_S: Final = 10.0
FEEDERS_AT: Final = 100
SITES_AT: Final = 10_000
FEEDER_WIDTH: Final = 32
SITE_WIDTH: Final = 16
LAST_INDEX: Final = 65_535
MOST_FEEDERS: Final = (SITES_AT - FEEDERS_AT) // FEEDER_WIDTH
MOST_SITES: Final = (LAST_INDEX + 1 - SITES_AT) // SITE_WIDTH
LEAST_DURATION_S: Final = 10
MOST_DURATION_S: Final = 86_400
USUAL_DURATION_S: Final = 3_600
MOST_HEAD_KW: Final = 200_000.0
HEARTBEAT_MODULO: Final = 32_768

SYSTEM, FEEDER, SITE = "system", "feeder", "site"
SYSTEM_NAME: Final = "DERMS"


@dataclass(frozen=True, slots=True)
class Template:
    """A point before it has a slot. `most`: engineering; None for a limit means the subject's own flexible limit.

    `deadband` is in counts; `event_class` 0 is static data only. `mirror`: the input that shows an output's value in force.
    """

    kind: str
    offset: int
    key: str
    name: str
    units: str = ""
    scale: float = 1.0
    event_class: int = 0
    deadband: int = 0
    least: float | None = None
    most: float | None = None
    states: tuple[str, str] | None = None
    mirror: str = ""
    what: str = ""


KW: Final = 0.1
_ALARM = ("Normal", "Alarm")
_OFF_ON = ("Inactive", "Active")
IN_FORCE: Final = "SCADA's limit in force; the AO's maximum when none is"

SYSTEM_TABLE: Final = (
    Template("BI", 0, "healthy", "Healthy", event_class=1, states=("NotControlling", "Controlling"),
             what="the watchdog sees every process of the control path make progress"),
    Template("BI", 1, "curtail_all", "CurtailAllActive", event_class=1, states=_OFF_ON,
             what="every site of every feeder is ordered to its failsafe limit by SCADA"),
    Template("BI", 2, "authority", "CommandsAccepted", event_class=1, states=("Refused", "Accepted"),
             what="whether this control centre may command"),
    Template("BI", 3, "stale", "DataStale", event_class=1, states=_ALARM, what="some feeder's data are older than 30 s"),
    Template("BI", 4, "sites_lost", "SitesLost", event_class=1, states=_ALARM, what="some site is silent"),
    Template("BI", 5, "trip", "TripRequested", event_class=1, states=("None", "Requested"),
             what="Headroom asks SCADA to open some site's breaker"),
    Template("AI", 0, "heartbeat", "Heartbeat", what="moves once a second while limits are under control; stops otherwise"),
    Template("AI", 1, "heartbeat_echo", "HeartbeatEcho", event_class=3, what="the last AO0 of this control centre"),
    Template("AI", 2, "sites", "Sites", event_class=3, what="sites under an agreement in force"),
    Template("AI", 3, "sites_heard", "SitesHeard", event_class=3, what="of which heard"),
    Template("AO", 0, "heartbeat_echo", "Heartbeat", least=0, most=65_535, mirror="heartbeat_echo",
             what="SCADA's own heartbeat, echoed"),
    Template("BO", 0, "curtail_all", "CurtailAll", states=_OFF_ON, mirror="curtail_all",
             what="latch on: every site to its failsafe limit now; latch off: end this centre's order"),
)  # fmt: skip

FEEDER_TABLE: Final = (
    Template("BI", 0, "automatic", "AutomaticMode", event_class=1, states=("Other", "Automatic")),
    Template("BI", 1, "stale", "DataStale", event_class=1, states=_ALARM, what="no cycle for 30 s"),
    Template("BI", 2, "sites_lost", "SitesLost", event_class=1, states=_ALARM),
    Template("BI", 3, "violated", "EnvelopeViolated", event_class=1, states=_ALARM,
             what="an element above its rating or a voltage outside 0.95 to 1.05 pu, by the estimate"),
    Template("BI", 4, "failsafe", "FailsafeOrdered", event_class=1, states=_OFF_ON),
    Template("BI", 5, "limited", "ScadaLimitActive", event_class=1, states=_OFF_ON),
    Template("BI", 6, "trip", "TripRequested", event_class=1, states=("None", "Requested")),
    Template("AI", 0, "p", "P", "kW", KW, 2, 50, what="feeder head, into the feeder positive"),
    Template("AI", 1, "q", "Q", "kvar", KW, 2, 50),
    Template("AI", 2, "import_limit", "ImpLimit", "kW", KW, 2, 10, what="sum of the sites' import limits in force"),
    Template("AI", 3, "export_limit", "ExpLimit", "kW", KW, 2, 10, what="sum of the sites' export limits in force"),
    Template("AI", 4, "import_headroom", "ImpHeadroom", "kW", KW, 2, 50,
             what="import limits less present power, heard sites"),
    Template("AI", 5, "export_headroom", "ExpHeadroom", "kW", KW, 2, 50,
             what="export limits plus present power, heard sites"),
    Template("AI", 6, "flex_import", "FlexImp", "kW", KW, 2, 50,
             what="power that the vehicles could take more, within the limits"),
    Template("AI", 7, "flex_export", "FlexExp", "kW", KW, 2, 50,
             what="power that the vehicles could take less or give, within the limits"),
    Template("AI", 8, "flex_import_kwh", "FlexImpEnergy", "kWh", 1.0, 3, 10,
             what="energy that the batteries could still take"),
    Template("AI", 9, "flex_export_kwh", "FlexExpEnergy", "kWh", 1.0, 3, 10, what="energy that the batteries hold"),
    Template("AI", 10, "voltage", "WorstVoltage", "pu", 0.0001, 2, 20, what="the estimated voltage furthest from 1 pu"),
    Template("AI", 11, "loading", "WorstLoading", "%", 0.1, 2, 10),
    Template("AI", 12, "age", "Age", "s", what="age of these data; its own value is always good"),
    Template("AI", 13, "scada_import", "ScadaImpLimit", "kW", KW, 2, what=IN_FORCE),
    Template("AI", 14, "scada_export", "ScadaExpLimit", "kW", KW, 2, what=IN_FORCE),
    Template("AI", 15, "scada_left", "ScadaLimitLeft", "s", what="seconds until the first of SCADA's limits ends; 0: none"),
    Template("AI", 16, "duration", "LimitDuration", "s", event_class=3, what="duration that the next limit gets"),
    Template("AI", 17, "sites", "Sites", event_class=3),
    Template("AI", 18, "sites_heard", "SitesHeard", event_class=3),
    Template("AI", 19, "mode", "Mode", event_class=1, what="0 disabled, 1 shadow, 2 manual, 3 automatic"),
    Template("AI", 20, "head_p", "HeadMeasured", "kW", KW, 3, 50,
             what="the head measurement in use, whoever wrote it"),
    Template("AI", 21, "head_q", "HeadMeasuredQ", "kvar", KW, 3, 50),
    Template("AO", 0, "scada_import", "ImpLimit", "kW", KW, least=0, mirror="scada_import",
             what="total import limit of the feeder's sites, for the duration of offset 2"),
    Template("AO", 1, "scada_export", "ExpLimit", "kW", KW, least=0, mirror="scada_export",
             what="total export limit of the feeder's sites, for the duration of offset 2"),
    Template("AO", 2, "duration", "LimitDuration", "s", least=LEAST_DURATION_S, most=MOST_DURATION_S, mirror="duration",
             what="seconds that the limits written after this last; a limit without an end does not exist"),
    Template("AO", 4, "head_p", "HeadP", "kW", KW, least=-MOST_HEAD_KW, most=MOST_HEAD_KW, mirror="head_p",
             what="measurement of the feeder head, where SCADA pushes it: Q first, then P, which takes both"),
    Template("AO", 5, "head_q", "HeadQ", "kvar", KW, least=-MOST_HEAD_KW, most=MOST_HEAD_KW, mirror="head_q"),
    Template("BO", 0, "failsafe", "Failsafe", states=_OFF_ON, mirror="failsafe",
             what="latch on: this feeder's sites to their failsafe limits now; latch off: end this centre's order"),
)  # fmt: skip

SITE_TABLE: Final = (
    Template("BI", 0, "heard", "Heard", event_class=1, states=("Silent", "Heard")),
    Template("BI", 1, "in_failsafe", "AtFailsafe", event_class=1, states=("Leased", "Failsafe")),
    Template("BI", 2, "over", "OverLimit", event_class=1, states=_ALARM),
    Template("BI", 3, "locked", "Locked", event_class=1, states=_ALARM),
    Template("BI", 4, "trip", "TripRequested", event_class=1, states=("None", "Requested"),
             what="please open this site's breaker"),
    Template("BI", 5, "limited", "ScadaLimitActive", event_class=1, states=_OFF_ON),
    Template("AI", 0, "p", "P", "kW", KW, 2, 50, what="at the point of common coupling, import positive"),
    Template("AI", 1, "import_limit", "ImpLimit", "kW", KW, 2, what="import limit in force"),
    Template("AI", 2, "export_limit", "ExpLimit", "kW", KW, 2, what="export limit in force"),
    Template("AI", 3, "charge", "StateOfCharge", "%", 0.1, 3, 10),
    Template("AI", 4, "age", "LinkAge", "s", what="since the site was last heard; its own value is always good"),
    Template("AI", 5, "scada_import", "ScadaImpLimit", "kW", KW, 2, what=IN_FORCE),
    Template("AI", 6, "scada_export", "ScadaExpLimit", "kW", KW, 2, what=IN_FORCE),
    Template("AI", 7, "scada_left", "ScadaLimitLeft", "s"),
    Template("AI", 8, "duration", "LimitDuration", "s", event_class=3),
    Template("AO", 0, "scada_import", "ImpLimit", "kW", KW, least=0, mirror="scada_import"),
    Template("AO", 1, "scada_export", "ExpLimit", "kW", KW, least=0, mirror="scada_export"),
    Template("AO", 2, "duration", "LimitDuration", "s", least=LEAST_DURATION_S, most=MOST_DURATION_S, mirror="duration"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Subject:
    """A feeder or a site with its stored slot and the sum of its agreements' flexible limits, kilowatts."""

    name: str
    slot: int
    import_kw: float
    export_kw: float


@dataclass(frozen=True, slots=True)
class ScadaPoint:
    """A point at its index. `least`, `most`: the lawful engineering range of an output."""

    kind: str
    index: int
    scope: str
    subject: str
    key: str
    name: str
    units: str
    scale: float
    event_class: int
    deadband: int
    least: float | None
    most: float | None
    states: tuple[str, str] | None
    mirror: tuple[str, int] | None
    what: str

    @property
    def address(self) -> tuple[str, int]:
        """Return kind and index."""
        return self.kind, self.index


def point_map(feeders: Iterable[Subject], sites: Iterable[Subject]) -> tuple[ScadaPoint, ...]:
    """Return every point of an installation, by kind and index; raises InputError for a slot out of range or taken."""
    found = list(_place(SYSTEM, SYSTEM_TABLE, Subject(SYSTEM_NAME, 0, 0.0, 0.0), 0, 0))
    for scope, table, subjects, start, width, most in (
        (FEEDER, FEEDER_TABLE, feeders, FEEDERS_AT, FEEDER_WIDTH, MOST_FEEDERS),
        (SITE, SITE_TABLE, sites, SITES_AT, SITE_WIDTH, MOST_SITES),
    ):
        taken: dict[int, str] = {}
        for subject in subjects:
            if not 0 <= subject.slot < most:
                raise InputError(f"slot {subject.slot} is outside 0..{most - 1}", where=subject.name)
            if taken.setdefault(subject.slot, subject.name) != subject.name:
                raise InputError(f"slot {subject.slot} belongs to {taken[subject.slot]}", where=subject.name)
            found += _place(scope, table, subject, start, width)
    return tuple(sorted(found, key=lambda point: point.address))


def _place(scope: str, table: Iterable[Template], subject: Subject, start: int, width: int) -> Iterator[ScadaPoint]:
    base = start + subject.slot * width
    inputs = {(item.kind, item.key): base + item.offset for item in table if item.kind in ("BI", "AI")}
    for item in table:
        mirror = None
        if item.mirror:
            kind = "AI" if item.kind == "AO" else "BI"
            mirror = (kind, inputs[(kind, item.mirror)])
        most = item.most
        if item.kind == "AO" and most is None:
            most = subject.import_kw if item.key == "scada_import" else subject.export_kw
        yield ScadaPoint(
            item.kind, base + item.offset, scope, subject.name, item.key, f"{subject.name}.{item.name}", item.units,
            item.scale, item.event_class, item.deadband, item.least, most, item.states, mirror, item.what,
        )  # fmt: skip


def kit_document(points: Iterable[ScadaPoint], *, master: int, tests: Mapping[tuple[str, int], float]) -> dict[str, object]:
    """Return the map in the form that independent checkers read: engineering ranges, feedback, SBO required.

    `tests`: the outputs that a checker may command, with the value to try; it restores an output's maximum (or "off").
    """
    rows: list[dict[str, object]] = []
    for point in points:
        row: dict[str, object] = {"type": point.kind, "index": point.index, "name": point.name}
        if point.units:
            row["units"] = point.units
        if point.kind in ("AI", "AO"):
            row["scale"] = point.scale
        if point.event_class:
            row["class"] = point.event_class
        if point.least is not None and point.most is not None:
            row |= {"min": point.least, "max": point.most}
        if point.kind in ("AO", "BO"):
            row["sbo"] = "required"
            if point.mirror is not None:
                row["feedback"] = {"type": point.mirror[0], "index": point.mirror[1]}
            if point.address in tests:
                usual = USUAL_DURATION_S if point.key == "duration" else point.most
                row |= {"test": tests[point.address], "restore": 0 if point.kind == "BO" else usual}
        rows.append(row)
    return {"outstation": OUTSTATION_ADDRESS, "master": master, "points": rows}
