"""What the operations pages show, put together from the control room's tables; each page in a few statements."""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from interconnection import site_queries
from interconnection.queries import permitted_sites
from telemetry import alarm_queries, certificate_services, next_hours, order_queries, queries
from telemetry.control import orders
from telemetry.control.settings import ControlSettings
from telemetry.feeder_map import Place, feeder_map, rating_kw
from telemetry.live import NOT_PERMITTED, site_state, summary
from telemetry.models import CycleRow, GrantRow
from telemetry.pictures import Gauge, Line, band, bar, faceplate, loading, trend

TREND_CYCLES = 360
GAP_S = 35.0
MOST_SITES = 200
ORDER_OF_STATES = ("locked", "warned", "silent", "failsafe", "lease", NOT_PERMITTED)


def feeders(now: datetime) -> list[dict[str, Any]]:
    """Return the list of feeders: newest cycle, mode, alarms."""
    alarms = alarm_queries.counts()["feeders"]
    boards = queries.newest_boards({})
    modes = order_queries.modes(list(boards))
    permitted = permitted_sites([site["site"] for _, _, board in boards.values() for site in board.get("sites", [])])
    found = []
    for feeder, (_, at, board) in sorted(boards.items()):
        line = summary(feeder, at, board, now, permitted)
        line |= {
            "mode": modes.get(feeder, orders.AUTOMATIC),
            "alarms": alarms.get(feeder, {"count": 0, "unacknowledged": 0, "worst": 0}),
            "loading_bar": loading(line["loading_percent"]),
            "band": band(line["v_min_pu"], line["v_max_pu"]),
            "abnormal": [
                _row(feeder, site, permitted)
                for site in board.get("sites", [])
                if site_state(site, permitted) not in ("lease", NOT_PERMITTED)
            ],
        }
        found.append(line)
    return found


def feeder(name: str, now: datetime, text: str = "") -> dict[str, Any] | None:
    """Return one feeder's page; None for a feeder that no engine ever ran.

    Of many sites the abnormal ones come first and 200 are shown; `text`: only sites whose name holds it.
    """
    board = queries.board(name, now)
    if board is None:
        return None
    described = site_queries.description(name) or {}
    buses = site_queries.site_buses(name)
    permitted = permitted_sites([site["site"] for site in board["sites"]])
    states = {site["site"]: site_state(site, permitted) for site in board["sites"]}
    places = [Place(buses.get(site, ""), site, state) for site, state in states.items()]
    element = board.get("element") or ""
    percent = board.get("loading_percent")
    chosen = [site for site in board["sites"] if text.lower() in site["site"]]
    chosen.sort(key=lambda site: (ORDER_OF_STATES.index(states[site["site"]]), site["site"]))
    return {
        "board": board,
        "mode": order_queries.mode_row(name),
        "mode_name": order_queries.mode(name),
        "modes": orders.MODES,
        "summary": summary(name, datetime.fromisoformat(board["at"]), board, now, permitted),
        "sites": [_row(name, site, permitted) for site in chosen[:MOST_SITES]],
        "found": len(chosen),
        "text": text,
        "next": next_hours.of_feeder(name, [site["site"] for site in board["sites"]], now),
        "margins": margins(board, described),
        "loading_bar": loading(percent, 220),
        "band": band(board.get("v_min_pu"), board.get("v_max_pu"), width=160),
        "map": feeder_map(described, places, element, (percent or 0.0) > 100.0),
        "orders": list(order_queries.in_force(name, now)),
        "waiting": list(order_queries.waiting(name)),
        "switching": certificate_services.switching_state(name),
        "alarms": alarm_queries.listed(alarm_queries.Filter(feeder=name), now)[:6],
    }


def margins(board: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    """Return what the estimate's level costs: the margins, and what they cost all sites together in kW.

    The engine's own figure counts where the cycle carries one; else the thermal margin on the most loaded element.
    """
    settings = ControlSettings()
    level = board.get("level")
    factor = settings.margin_factor(level or "")
    rating = rating_kw(described, board.get("element") or "") if described else None
    cost = board.get("margin_kw") if isinstance(board.get("margin_kw"), dict) else None
    return {
        "level": level,
        "cost": cost,
        "rating_kw": None if rating is None else round(rating),
        "headroom_kw": None
        if rating is None
        else headroom(rating, board.get("loading_percent"), factor * settings.thermal_margin),
        "kw": None if rating is None or cost else round(factor * settings.thermal_margin * rating, 1),
        "percent": round(factor * settings.thermal_margin * 100, 1),
        "voltage_pu": round(factor * settings.voltage_margin_pu, 4),
    }


def headroom(rating_kw: float, percent: float | None, margin: float) -> int | None:
    """Return the kW that are left at an element below its rating and its margin, rounded down; None when not known."""
    return None if percent is None else math.floor(rating_kw * (1.0 - margin - percent / 100.0))


def site(feeder: str, name: str, now: datetime) -> dict[str, Any] | None:
    """Return a site's faceplate; None for a site that the newest cycle does not know."""
    board = queries.board(feeder, now)
    entry = next((item for item in (board or {}).get("sites", []) if item["site"] == name), None)
    if board is None or entry is None:
        return None
    promise = site_queries.promise(name)
    grants = list(GrantRow.objects.filter(site=name)[:20])
    return {
        "site": _row(feeder, entry, permitted_sites([name])),
        "board": board,
        "faceplate": faceplate(Gauge.of(entry)),
        "trend": site_trend(feeder, name, board, now),
        "promise": promise,
        "next": next_hours.of_site(feeder, name, promise, now),
        "grants": grants,
        "why": entry.get("why") or (grants[0].reason if grants else None),
        "evidence": queries.evidence(feeder, name, 5),
        "orders": [order for order in order_queries.in_force(feeder, now) if order.site in ("", name)],
        "waiting": [order for order in order_queries.waiting(feeder) if order.site in ("", name)],
        "mode": order_queries.mode(feeder),
        "alarms": [
            alarm for alarm in alarm_queries.listed(alarm_queries.Filter(feeder=feeder), now) if alarm["subject"] == name
        ],
    }


def site_trend(feeder: str, name: str, board: dict[str, Any], now: datetime) -> str:
    """Return power and limits over the last hour; a gap is a gap. Only this site's entry of each cycle is read."""
    place = [item["site"] for item in board["sites"]].index(name)
    since = now - timedelta(hours=1)
    rows = CycleRow.objects.filter(feeder=feeder, at__gte=since).values_list("at", f"board__sites__{place}")[:TREND_CYCLES]
    facts = [(at, item) for at, item in reversed(rows) if item is not None and item["site"] == name]
    if len(facts) < 2:
        return ""
    since = max(since, facts[0][0])
    power: list[tuple[datetime, float | None]] = []
    for at, item in facts:
        if power and (at - power[-1][0]).total_seconds() > GAP_S:
            power.append((at - timedelta(seconds=1), None))
        power.append((at, item["power_kw"] if item["heard"] else None))
    lines = [
        Line("power", "one", power),
        Line("may import", "two", [(at, item["import_limit_kw"]) for at, item in facts], step=True),
        Line("may export", "three", [(at, -item["export_limit_kw"]) for at, item in facts], step=True),
    ]
    minutes = (now - since).total_seconds() / 60
    title = f"{name}: power and limits over the last {minutes:.0f} minutes"
    return trend(lines, since, now, title, size=(560, 400))


def _row(feeder: str, site: dict[str, Any], permitted: Collection[str] | None = None) -> dict[str, Any]:
    gauge = Gauge.of(site)
    return site | {"feeder": feeder, "state": site_state(site, permitted), "bar": bar(gauge), "over": gauge.over}
