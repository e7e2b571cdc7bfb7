"""What several sites may do together now: every limit at once, and every mixture of them, inside all criteria.

Sharing rule "pro rata by capacity": each site gets its failsafe plus the same fraction of what it asked for above it. The
fraction comes from exact power flows (`search.furthest`), with the criteria tightened by a margin for what the estimate
does not know. The firm floor always stands. Limits form a box and the feasible set does not: the box's corners are
checked, and the box shrinks until they hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from derms.errors import NotConverged
from derms.grid.criteria import Criteria, CriteriaSettings
from derms.grid.estimate import scale_to_head
from derms.grid.opendss import Circuit, Injection, Snapshot
from derms.grid.search import Found, furthest
from derms.limits import Limit

RESOLUTION = 0.002
"""Fraction of the flexible part to which the shared fraction is found; it is rounded down."""
SHRINK = 0.9
MOST_SHRINKS = 20


@dataclass(frozen=True, slots=True)
class Site:
    """One site: where, what it does now (W, var; None when silent), what it must and may get, what it may be doing.

    `v_pu`: its measured voltage; `need`: what it wishes to import and export now, W; `rank`: its place in the queue.
    """

    name: str
    bus: str
    phases: tuple[int, ...]
    p_w: float | None
    q_var: float
    failsafe: Limit
    flexible: Limit
    reserved: Limit
    in_force: Limit
    controllable: bool
    v_pu: float | None = None
    need: tuple[float, float] | None = None
    rank: int = 0


@dataclass(frozen=True, slots=True)
class EnvelopeRequest:
    """The measured head, the sites, the criteria and the margins kept free (per unit)."""

    hour: int
    head_w: float
    sites: tuple[Site, ...]
    criteria: CriteriaSettings
    elements: tuple[str, ...]
    thermal_margin: float
    voltage_margin_pu: float
    first_scale: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> EnvelopeRequest:
        """Rebuild a request from `to_dict()` that went through JSON."""
        plain = dict(raw)
        plain["criteria"] = CriteriaSettings(**plain["criteria"])
        plain["elements"] = tuple(plain["elements"])
        plain["sites"] = tuple(_site(item) for item in plain["sites"])
        return cls(**plain)


def _site(raw: Mapping[str, Any]) -> Site:
    plain = dict(raw)
    plain["phases"] = tuple(plain["phases"])
    plain["need"] = tuple(plain["need"]) if plain.get("need") else None
    for name in ("failsafe", "flexible", "reserved", "in_force"):
        plain[name] = Limit(**plain[name])
    return Site(**plain)


@dataclass(frozen=True, slots=True)
class Granted:
    """One site's limit with what stops each direction and the fraction of its flexible part that it got."""

    limit: Limit
    import_criterion: str
    import_element: str
    import_share: float
    export_criterion: str
    export_element: str
    export_share: float


@dataclass(frozen=True, slots=True)
class EnvelopeResult:
    """The limits, the estimate that they rest on, and how the corners fared."""

    granted: dict[str, Granted]
    load_scale: float
    worst_loading_pu: float
    worst_element: str
    lowest_v_pu: float
    highest_v_pu: float
    corners: int
    shrunk: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def envelope(circuit: Circuit, request: EnvelopeRequest) -> EnvelopeResult:
    """Return limits that are feasible together; raises NotConverged when the feeder's state is not known."""
    plain = _criteria(circuit, request, request.criteria)
    tight = _criteria(circuit, request, request.criteria.tightened(request.thermal_margin, request.voltage_margin_pu))
    sides = {}
    scale, base, now = _state(circuit, request, "import", request.first_scale)
    sides["import"] = _share(circuit, request, tight, base, "import")
    if any(site.p_w is None for site in request.sites):
        scale, base, now = _state(circuit, request, "export", scale)
    sides["export"] = _share(circuit, request, tight, base, "export")
    limits = _limits(request, sides)
    limits, corners, shrunk = _box(circuit, request, plain, base, limits)
    limits = _no_raise_into_reserved(circuit, request, plain, base, limits)
    worst = int(now.loading_pu[plain.participating].argmax()) if len(plain.participating) else 0
    volts = now.v_pu[plain.watched_nodes]
    return EnvelopeResult(
        granted={
            name: Granted(
                limit,
                sides["import"].criterion,
                sides["import"].element,
                round(sides["import"].fraction, 4),
                sides["export"].criterion,
                sides["export"].element,
                round(sides["export"].fraction, 4),
            )
            for name, limit in limits.items()
        },
        load_scale=scale,
        worst_loading_pu=float(now.loading_pu[plain.participating].max(initial=0.0)),
        worst_element=plain.elements[plain.participating[worst]] if len(plain.participating) else "",
        lowest_v_pu=float(volts.min()),
        highest_v_pu=float(volts.max()),
        corners=corners,
        shrunk=shrunk,
    )


def _criteria(circuit: Circuit, request: EnvelopeRequest, settings: CriteriaSettings) -> Criteria:
    return Criteria(circuit, settings).only(request.elements)


def _state(circuit: Circuit, request: EnvelopeRequest, side: str, first: float) -> tuple[float, Snapshot, Snapshot]:
    """Return scale, base state without the sites, and the present state; controls then rest at the present state."""
    known = []
    for site in request.sites:
        # A silent site explains part of the head: the load is highest if it exports, lowest if it imports.
        guess = -site.reserved.export_w if side == "import" else site.reserved.import_w
        power = site.p_w if site.p_w is not None else float(guess)
        known.append(Injection(site.bus, site.phases, power, site.q_var))
    scale = scale_to_head(circuit, request.hour, request.head_w, known, first=first).load_scale
    base = circuit.settle(request.hour, load_scale=scale, from_present_controls=True)
    now = circuit.settle(request.hour, load_scale=scale, injections=known, from_present_controls=True)
    return scale, base, now


def _share(circuit: Circuit, request: EnvelopeRequest, criteria: Criteria, base: Snapshot, side: str) -> Found:
    sign = 1.0 if side == "import" else -1.0

    def at(fraction: float) -> Snapshot:
        return circuit.solve([_at_fraction(site, side, sign, fraction) for site in request.sites])

    return furthest(at, at(0.0), base, criteria, resolution=RESOLUTION)


def _at_fraction(site: Site, side: str, sign: float, fraction: float) -> Injection:
    if not site.controllable:
        return Injection(site.bus, site.phases, sign * getattr(site.reserved, f"{side}_w"))
    low, high = getattr(site.failsafe, f"{side}_w"), getattr(site.flexible, f"{side}_w")
    return Injection(site.bus, site.phases, sign * (low + fraction * (high - low)))


def _limits(request: EnvelopeRequest, sides: Mapping[str, Found]) -> dict[str, Limit]:
    def one(site: Site, side: str) -> int:
        low, high = getattr(site.failsafe, f"{side}_w"), getattr(site.flexible, f"{side}_w")
        return int(low + sides[side].fraction * (high - low))

    return {site.name: Limit(one(site, "import"), one(site, "export")) for site in request.sites if site.controllable}


def _box(
    circuit: Circuit, request: EnvelopeRequest, criteria: Criteria, base: Snapshot, limits: dict[str, Limit]
) -> tuple[dict[str, Limit], int, bool]:
    """Shrink towards the failsafe until every corner that is looked at holds."""
    corners = 0
    for attempt in range(MOST_SHRINKS + 1):
        patterns = _patterns(request, limits)
        corners += len(patterns)
        if all(_holds(circuit, criteria, base, pattern) for pattern in patterns):
            return limits, corners, attempt > 0
        limits = {
            site.name: _toward(site.failsafe, limits[site.name], SHRINK) for site in request.sites if site.controllable
        }
    return {site.name: site.failsafe for site in request.sites if site.controllable}, corners, True


def _toward(floor: Limit, limit: Limit, factor: float) -> Limit:
    return Limit(
        floor.import_w + int(factor * max(0, limit.import_w - floor.import_w)),
        floor.export_w + int(factor * max(0, limit.export_w - floor.export_w)),
    )


def _patterns(request: EnvelopeRequest, limits: Mapping[str, Limit]) -> list[list[Injection]]:
    """Return the mixed corners: each site alone at one end while the others are at the other end, or at nothing."""
    sites = [site for site in request.sites if site.controllable and limits[site.name] != site.failsafe]
    if len(request.sites) < 2 or not sites:
        return []
    patterns = []
    for chosen in sites:
        for sign in (1.0, -1.0):
            for others in (-sign, 0.0):
                patterns.append([_corner(site, limits, sign if site is chosen else others) for site in request.sites])
    return patterns


def _corner(site: Site, limits: Mapping[str, Limit], sign: float) -> Injection:
    box = limits.get(site.name, site.reserved)
    return Injection(site.bus, site.phases, sign * (box.import_w if sign > 0 else box.export_w) if sign else 0.0)


def _holds(circuit: Circuit, criteria: Criteria, base: Snapshot, injections: Sequence[Injection]) -> bool:
    try:
        return criteria.holds(circuit.solve(injections), base)
    except NotConverged:
        return False


def _no_raise_into_reserved(
    circuit: Circuit, request: EnvelopeRequest, criteria: Criteria, base: Snapshot, limits: dict[str, Limit]
) -> dict[str, Limit]:
    """Hold raises back while another site may still be using what it has to give up: break before make."""
    late = {
        site.name: limits[site.name].cover(site.reserved) if site.controllable else site.reserved for site in request.sites
    }
    if all(late[name].within(limit) for name, limit in limits.items()):
        return limits
    held = {}
    for site in request.sites:
        if not site.controllable:
            continue
        others = [
            _corner(other, {other.name: late[other.name] if other is not site else limits[site.name]}, sign)
            for sign in (1.0, -1.0)
            for other in request.sites
        ]
        both = [others[: len(request.sites)], others[len(request.sites) :]]
        good = all(_holds(circuit, criteria, base, pattern) for pattern in both)
        held[site.name] = limits[site.name] if good else limits[site.name].meet(site.in_force.cover(site.failsafe))
    return held
