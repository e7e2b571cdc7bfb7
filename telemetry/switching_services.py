"""Pre-switch simulation: what a switching order would do to the sites, before anybody gives it. Writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from derms.agreement import Terms
from derms.errors import HeadroomError, InputError
from derms.grid.criteria import CriteriaSettings
from derms.grid.envelope import EnvelopeRequest, Site
from derms.grid.switching import switched
from derms.limits import Limit
from derms.sandbox.feeder_process import FeederProcess
from interconnection.models import FeederVersion
from interconnection.queries import agreements_in_force
from telemetry import certificate_services, queries
from telemetry.control.settings import ControlSettings

ANSWER_S = 120.0


@dataclass(frozen=True, slots=True)
class SiteEffect:
    """One site before and after, kW; `lost` is what its limit in force would be cut by; `dead`: it would have no supply."""

    site: str
    import_kw_now: float
    export_kw_now: float
    import_kw_then: float
    export_kw_then: float
    import_kw_lost: float
    export_kw_lost: float
    reason: str
    dead: bool = False


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a switching order would do. `certified`: None when that state was never certified (no publishing then)."""

    feeder: str
    opened: tuple[str, ...]
    closed: tuple[str, ...]
    sites: tuple[SiteEffect, ...]
    dead_buses: int
    worst_loading_percent: float | None
    worst_element: str
    problem: str
    certified: bool | None

    @property
    def sentence(self) -> str:
        """Return what an operator reads: "This order will curtail three sites by 1.2 MW"."""
        if self.problem:
            return f"This order cannot be judged: {self.problem}"
        cut = [item for item in self.sites if item.import_kw_lost > 0 or item.export_kw_lost > 0]
        if not cut:
            return "This order will curtail no site."
        import_kw, export_kw = sum(i.import_kw_lost for i in cut), sum(i.export_kw_lost for i in cut)
        many = "one site" if len(cut) == 1 else f"{len(cut)} sites"
        return f"This order will curtail {many} by {import_kw:,.0f} kW of import and {export_kw:,.0f} kW of export."

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self) | {"sentence": self.sentence}


def simulate_switching(
    feeder: str, *, opened: Sequence[str] = (), closed: Sequence[str] = (), now: datetime, head_w: float | None = None
) -> Simulation:
    """Return what opening and closing elements would do to every site now.

    The loads are those that explain the present head measurement in the present state (`head_w` overrides it; without
    any, the study's own hour); each site's limit then is what the envelope gives in the new state, without a ramp.
    Raises InputError for an unknown feeder or element.
    """
    version = FeederVersion.objects.filter(feeder__name=feeder).select_related("feeder").first()
    if version is None:
        raise InputError(f"no feeder is named {feeder!r}", where="feeder")
    terms = agreements_in_force(now.date(), feeder)
    present = certificate_services.switching_state(feeder)
    was_open, was_closed = (present.opened, present.closed) if present else ([], [])
    after = switched(
        version.text,
        [*(name for name in was_open if name not in closed), *opened],
        [*(name for name in was_closed if name not in opened), *closed],
    )
    before = switched(version.text, was_open, was_closed)
    head = queries.head(feeder)
    watts = head_w if head_w is not None else (head.power_w if head is not None else None)
    hour = hour_of(now)
    now_limits, powers = _now(feeder, terms, now)
    settings = ControlSettings()
    scale = _scale_now(before, terms, powers, hour, watts, settings)
    with FeederProcess(after) as model:
        state = model.call("islands", {})
        dead = {node.rsplit(".", 1)[0] for node in state["islands"]}
        live = [item for item in terms if item.bus.lower() not in dead]
        answer, problem = _envelope(model, live, powers, hour, scale, settings)
    effects = tuple(_effect(item, now_limits[item.site], answer, dead) for item in terms)
    certificate = certificate_services.certificate_for(version, terms, opened, closed)
    return Simulation(
        feeder, tuple(opened), tuple(closed), effects if not problem else (), len(dead),
        None if answer is None else round(answer["worst_loading_pu"] * 100.0, 1),
        "" if answer is None else answer["worst_element"], problem,
        None if certificate is None else certificate.holds,
    )  # fmt: skip


def hour_of(now: datetime) -> int:
    """Return the hour of the study year."""
    start = now.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
    return int((now - start).total_seconds() // 3600) % 8760


def _now(feeder: str, terms: Sequence[Terms], now: datetime) -> tuple[dict[str, Limit], dict[str, float]]:
    """Return each site's limit in force and power (W) as the board shows them; failsafe and 0 where nothing is fresh."""
    board = queries.board(feeder, now)
    limits, powers = {item.site: item.failsafe for item in terms}, {item.site: 0.0 for item in terms}
    if board is not None and not board["stale"]:
        for item in board["sites"]:
            if item["site"] in limits:
                limits[item["site"]] = Limit.of(item["import_limit_kw"] * 1000.0, item["export_limit_kw"] * 1000.0)
                powers[item["site"]] = 1000.0 * (item["power_kw"] or 0.0)
    return limits, powers


def _scale_now(
    text: str, terms: Sequence[Terms], powers: dict[str, float], hour: int, head_w: float | None,
    settings: ControlSettings,
) -> float:  # fmt: skip
    if head_w is None:
        return 1.0
    with FeederProcess(text) as model:
        try:
            request = _request(terms, powers, hour, head_w, settings, model)
            return float(model.call("envelope", request.to_dict(), timeout_s=ANSWER_S)["load_scale"])
        except HeadroomError:
            return 1.0


def _envelope(
    model: FeederProcess,
    terms: Sequence[Terms],
    powers: dict[str, float],
    hour: int,
    scale: float,
    settings: ControlSettings,
) -> tuple[dict[str, Any] | None, str]:
    try:
        # The loads are known, the head in the new state is not: it is what the model says at that scale.
        places = [[item.bus, list(item.phases), powers[item.site], 0.0] for item in terms]
        plant = {"hour": hour, "load_scale": scale, "sites": places, "elements": _watched(model, terms)}
        head_w = model.call("plant", plant)["head_w"]
        request = _request(terms, powers, hour, head_w, settings, model, first=scale)
        return model.call("envelope", request.to_dict(), timeout_s=ANSWER_S), ""
    except HeadroomError as error:
        return None, str(error)


def _watched(model: FeederProcess, terms: Sequence[Terms]) -> list[str]:
    places = [
        [item.bus, list(item.phases), 0.1 * max(item.flexible.import_w, item.flexible.export_w, 10)] for item in terms
    ]
    return list(model.call("participants", {"sites": places})["elements"])


def _request(
    terms: Sequence[Terms], powers: dict[str, float], hour: int, head_w: float, settings: ControlSettings,
    model: FeederProcess, first: float = 1.0,
) -> EnvelopeRequest:  # fmt: skip
    sites = tuple(
        Site(
            item.site,
            item.bus,
            item.phases,
            powers[item.site],
            0.0,
            item.failsafe,
            item.flexible,
            item.failsafe,
            item.failsafe,
            True,
        )
        for item in terms
    )
    return EnvelopeRequest(
        hour, head_w, sites, CriteriaSettings(), tuple(_watched(model, terms)), settings.thermal_margin,
        settings.voltage_margin_pu, first,
    )  # fmt: skip


def _effect(terms: Terms, now: Limit, answer: dict[str, Any] | None, dead: set[str]) -> SiteEffect:
    if terms.bus.lower() in dead or answer is None:
        then, reason, is_dead = Limit(0, 0), "no supply", terms.bus.lower() in dead
    else:
        granted = answer["granted"][terms.site]
        then, is_dead = Limit(**granted["limit"]), False
        side = "import" if granted["import_share"] <= granted["export_share"] else "export"
        reason = f"{granted[f'{side}_criterion'] or 'agreement'} at {granted[f'{side}_element'] or 'flexible limit'}"
    lost = Limit(max(0, now.import_w - then.import_w), max(0, now.export_w - then.export_w))
    return SiteEffect(
        terms.site, now.import_w / 1000, now.export_w / 1000, then.import_w / 1000, then.export_w / 1000,
        lost.import_w / 1000, lost.export_w / 1000, reason, is_dead,
    )  # fmt: skip
