"""What the points say: from the control room's own picture to values with their quality.

Pure. A value whose source is stale keeps its last number and loses its quality (ONLINE clear, COMM_LOST set): a control
centre never sees a frozen number that looks good. Ages and the heartbeat are this program's own values: always good.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from telemetry.protocols.dnp3 import scada_points as p

STALE_S: Final = 30.0
OLDEST_S: Final = 32_767.0
LOWEST_PU, HIGHEST_PU = 0.95, 1.05
MODES: Final = ("disabled", "shadow", "manual", "automatic")


@dataclass(frozen=True, slots=True)
class Value:
    """A point's engineering value, whether its source vouches for it, and when it was measured (ms since 1970, UTC)."""

    value: float
    good: bool = True
    at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ScadaLimit:
    """SCADA's own limits on one subject that are in force, kilowatts; None: none. `left_s`: until the first one ends."""

    import_kw: float | None = None
    export_kw: float | None = None
    left_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SiteState:
    """One site as the control room last saw it; kilowatts, import positive."""

    name: str
    heard: bool
    silent_s: float | None
    in_failsafe: bool
    stage: str
    power_kw: float | None
    import_limit_kw: float
    export_limit_kw: float
    charge_percent: float | None = None
    available_import_kw: float | None = None
    available_export_kw: float | None = None
    energy_kwh: float | None = None


@dataclass(frozen=True, slots=True)
class FeederState:
    """One feeder's last cycle. `age_s`: its age now; None: there was no cycle yet. `at_ms`: when it was."""

    name: str
    age_s: float | None
    at_ms: int | None
    mode: str
    head_kw: float | None
    head_kvar: float | None
    voltage_pu: float | None
    loading_percent: float | None
    sites: tuple[SiteState, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """The measurement of a feeder's head that the engine works with, whoever wrote it; kW, kvar, seconds."""

    power_kw: float
    reactive_kvar: float
    age_s: float
    at_ms: int


@dataclass(frozen=True, slots=True)
class House:
    """All that SCADA is told at one moment. `number` rises with every picture taken."""

    controlling: bool
    heartbeat: int
    number: int = 0
    feeders: Mapping[str, FeederState] = field(default_factory=dict)
    curtail_all: bool = False
    failsafe_feeders: frozenset[str] = frozenset()
    trips: frozenset[str] = frozenset()
    feeder_limits: Mapping[str, ScadaLimit] = field(default_factory=dict)
    site_limits: Mapping[str, ScadaLimit] = field(default_factory=dict)
    heads: Mapping[str, Head] = field(default_factory=dict)
    held: frozenset[tuple[str, str, str]] = frozenset()
    """Who holds which order of its own: (control centre, "curtail_all" or "failsafe", subject)."""


NO_LIMIT: Final = ScadaLimit()
Address = tuple[str, int]


def values(points: Iterable[p.ScadaPoint], house: House) -> dict[Address, Value]:
    """Return the value of every input that the house speaks for; what a control centre wrote itself is not among them."""
    points = list(points)
    most = {(item.scope, item.subject, item.key): item.most or 0.0 for item in points if item.kind == "AO"}
    sites = {site.name: (feeder, site) for feeder in house.feeders.values() for site in feeder.sites}
    known: dict[tuple[str, str], dict[str, Value]] = {}
    found: dict[Address, Value] = {}
    for point in points:
        if point.kind not in ("AI", "BI"):
            continue
        place = (point.scope, point.subject)
        if place not in known:
            known[place] = _of(place, house, sites, most)
        value = known[place].get(point.key)
        if value is not None:
            found[point.address] = value
    return found


def _of(
    place: tuple[str, str],
    house: House,
    sites: Mapping[str, tuple[FeederState, SiteState]],
    most: Mapping[tuple[str, str, str], float],
) -> dict[str, Value]:
    scope, name = place
    if scope == p.SYSTEM:
        return _system(house)
    limits = house.feeder_limits if scope == p.FEEDER else house.site_limits
    limit = limits.get(name, NO_LIMIT)
    own = {
        "limited": Value(float(limit != NO_LIMIT)),
        "scada_import": Value(_or(limit.import_kw, most.get((scope, name, "scada_import"), 0.0))),
        "scada_export": Value(_or(limit.export_kw, most.get((scope, name, "scada_export"), 0.0))),
        "scada_left": Value(float(int(limit.left_s))),
    }
    if scope == p.FEEDER:
        return own | _head(house.heads.get(name)) | _feeder(house.feeders.get(name), house, name)
    feeder, site = sites.get(name, (None, None))
    return own | _site(feeder, site, house, name)


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _stale(feeder: FeederState | None) -> bool:
    return feeder is None or feeder.age_s is None or feeder.age_s > STALE_S


def _system(house: House) -> dict[str, Value]:
    sites = [site for feeder in house.feeders.values() for site in feeder.sites]
    stale = any(_stale(feeder) for feeder in house.feeders.values())
    heard = sum(site.heard for site in sites)
    return {
        "healthy": Value(float(house.controlling)),
        "heartbeat": Value(float(house.heartbeat % p.HEARTBEAT_MODULO)),
        "curtail_all": Value(float(house.curtail_all)),
        "stale": Value(float(stale)),
        "sites_lost": Value(float(heard < len(sites)), not stale),
        "trip": Value(float(bool(house.trips))),
        "sites": Value(float(len(sites))),
        "sites_heard": Value(float(heard), not stale),
    }


def _feeder(feeder: FeederState | None, house: House, name: str) -> dict[str, Value]:
    ours = {
        "stale": Value(float(_stale(feeder))),
        "failsafe": Value(float(house.curtail_all or name in house.failsafe_feeders)),
        "age": Value(float(int(min(OLDEST_S, _or(feeder.age_s if feeder else None, OLDEST_S))))),
    }
    if feeder is None or feeder.age_s is None:
        return ours
    good, heard = not _stale(feeder), [site for site in feeder.sites if site.heard]

    def told(value: float | None) -> Value:
        return Value(_or(value, 0.0), good and value is not None, feeder.at_ms)

    power = sum(_or(site.power_kw, 0.0) for site in heard)
    give = sum(site.import_limit_kw for site in heard)
    take = sum(site.export_limit_kw for site in heard)
    violated = (feeder.loading_percent or 0.0) > 100.0 or (
        feeder.voltage_pu is not None and not LOWEST_PU <= feeder.voltage_pu <= HIGHEST_PU
    )
    estimated = feeder.loading_percent is not None
    return ours | {
        "automatic": told(float(feeder.mode == "automatic")),
        "mode": told(float(MODES.index(feeder.mode)) if feeder.mode in MODES else None),
        "sites_lost": told(float(len(heard) < len(feeder.sites))),
        "violated": told(float(violated) if estimated else None),
        "trip": Value(float(any(site.name in house.trips for site in feeder.sites))),
        "p": told(feeder.head_kw),
        "q": told(feeder.head_kvar),
        "import_limit": told(sum(site.import_limit_kw for site in feeder.sites)),
        "export_limit": told(sum(site.export_limit_kw for site in feeder.sites)),
        "import_headroom": told(give - power),
        "export_headroom": told(take + power),
        "flex_import": told(sum(_flexible_import(site) for site in heard)),
        "flex_export": told(sum(_flexible_export(site) for site in heard)),
        "flex_import_kwh": told(_sum(_room_kwh(site) for site in heard)),
        "flex_export_kwh": told(_sum(site.energy_kwh for site in heard)),
        "voltage": told(feeder.voltage_pu),
        "loading": told(feeder.loading_percent),
        "sites": told(float(len(feeder.sites))),
        "sites_heard": told(float(len(heard))),
    }


def _head(head: Head | None) -> dict[str, Value]:
    if head is None:
        return {}
    good = head.age_s <= STALE_S
    return {
        "head_p": Value(head.power_kw, good, head.at_ms),
        "head_q": Value(head.reactive_kvar, good, head.at_ms),
    }


def _site(feeder: FeederState | None, site: SiteState | None, house: House, name: str) -> dict[str, Value]:
    trip = {"trip": Value(float(name in house.trips))}
    if feeder is None or site is None or feeder.age_s is None:
        return trip | {"heard": Value(0.0), "age": Value(OLDEST_S)}
    fresh = not _stale(feeder)
    good = fresh and site.heard

    def told(value: float | None, vouched: bool = good) -> Value:
        return Value(_or(value, 0.0), vouched and value is not None, feeder.at_ms)

    age = OLDEST_S if site.silent_s is None else float(int(min(OLDEST_S, site.silent_s + feeder.age_s)))
    return trip | {
        "heard": Value(float(good)),
        "age": Value(age),
        "in_failsafe": told(float(site.in_failsafe)),
        "over": told(float(site.stage != "obeys")),
        "locked": told(float(site.stage == "locked"), fresh),
        "p": told(site.power_kw),
        "import_limit": told(site.import_limit_kw),
        "export_limit": told(site.export_limit_kw),
        "charge": told(site.charge_percent),
    }


def _flexible_import(site: SiteState) -> float:
    """Return how much more a site could take: within its limit, and what its vehicles can."""
    room = site.import_limit_kw - _or(site.power_kw, 0.0)
    able = site.available_import_kw
    return max(0.0, room if able is None else min(room, able - _or(site.power_kw, 0.0)))


def _flexible_export(site: SiteState) -> float:
    """Return how much less a site could take or more it could give."""
    power = _or(site.power_kw, 0.0)
    able = site.export_limit_kw if site.available_export_kw is None else min(site.export_limit_kw, site.available_export_kw)
    return max(0.0, power + able)


def _room_kwh(site: SiteState) -> float | None:
    if site.energy_kwh is None or not site.charge_percent:
        return None
    return site.energy_kwh * (100.0 - site.charge_percent) / site.charge_percent


def _sum(numbers: Iterable[float | None]) -> float | None:
    """Return the sum; None when no site can say."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None
