"""What SCADA is shown, read from the control room's tables: the newest cycle of each feeder, and the orders in force."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Q

from derms.agreement import Terms
from interconnection.queries import agreements_in_force
from telemetry import order_queries, queries
from telemetry.control import orders
from telemetry.models import CycleRow
from telemetry.order_models import OperatorOrder
from telemetry.protocols.dnp3 import scada_points as p
from telemetry.protocols.dnp3.scada_state import FeederState, Head, House, ScadaLimit, SiteState

AGREEMENTS_S = 10.0
CURTAIL, FAILSAFE = "curtail_all", "failsafe"


def terms_in_force(now: datetime) -> list[Terms]:
    """Return the terms of every agreement in force; agreements count the utility's days."""
    return agreements_in_force(now.date())


def feeders(now: datetime) -> list[str]:
    """Return the feeders with an agreement in force."""
    return sorted({item.feeder for item in terms_in_force(now)})


def sites_of(scope: str, name: str, now: datetime) -> list[Terms]:
    """Return the terms of a feeder's sites, or of one site."""
    return [item for item in terms_in_force(now) if name == (item.feeder if scope == p.FEEDER else item.site)]


def subjects(terms: Iterable[Terms], slots: dict[str, dict[str, int]]) -> tuple[list[p.Subject], list[p.Subject]]:
    """Return (feeders, sites) with their slots and flexible limits in kilowatts, rounded down to the wire's 0.1 kW."""
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    sites = []
    for item in terms:
        totals[item.feeder][0] += item.flexible.import_w
        totals[item.feeder][1] += item.flexible.export_w
        flexible = item.flexible
        sites.append(p.Subject(item.site, slots[p.SITE][item.site], _kw(flexible.import_w), _kw(flexible.export_w)))
    found = [p.Subject(name, slots[p.FEEDER][name], _kw(one), _kw(two)) for name, (one, two) in totals.items()]
    return found, sites


def by(centre: str, what: str) -> str:
    """Return whom the books name: the centre and what it orders, so that its orders end one by one."""
    return f"scada {centre} {what}"


def own(by: str, now: datetime, *, feeder: str = "", site: str | None = None) -> list[OperatorOrder]:
    """Return the orders in force that `by` gave; of one feeder, of one site, when these are named."""
    rows = OperatorOrder.objects.filter(state=OperatorOrder.ACTIVE, source=OperatorOrder.SCADA, by=by, starts__lte=now)
    rows = rows.filter(Q(expires__isnull=True) | Q(expires__gt=now))
    if feeder:
        rows = rows.filter(feeder=feeder)
    return list(rows if site is None else rows.filter(site=site))


class Picture:
    """Builds the house, and remembers the boards it has parsed: only new cycles are read again."""

    def __init__(self) -> None:
        self._number = 0
        self._boards: dict[str, tuple[int, CycleRow]] = {}
        self._terms: tuple[datetime, list[Terms]] | None = None

    def house(self, now: datetime, *, controlling: bool, heartbeat: int) -> House:
        """Return the house at `now`."""
        terms = self._agreements(now)
        names = sorted({item.feeder for item in terms})
        in_force = [row for name in names for row in order_queries.in_force(name, now)]
        scada = [row for row in in_force if row.source == OperatorOrder.SCADA]
        failsafes = [row for row in scada if row.kind == orders.FAILSAFE]
        every = {row.feeder for row in failsafes if row.by.endswith(f" {CURTAIL}")}
        self._number += 1
        return House(
            controlling=controlling,
            heartbeat=heartbeat,
            number=self._number,
            feeders={name: self._feeder(name, now) for name in names},
            curtail_all=bool(names) and every == set(names),
            failsafe_feeders=frozenset(row.feeder for row in in_force if row.kind == orders.FAILSAFE and not row.site),
            trips=frozenset(item.site for item in queries.trip_requests() if item.feeder in names),  # the ladder's too
            feeder_limits=_limits(scada, terms, now, p.FEEDER),
            site_limits=_limits(scada, terms, now, p.SITE),
            heads={name: head for name in names if (head := _head(name, now)) is not None},
            held=frozenset(_held(row) for row in failsafes),
        )

    def _agreements(self, now: datetime) -> list[Terms]:
        if self._terms is None or not 0 <= (now - self._terms[0]).total_seconds() < AGREEMENTS_S:
            self._terms = (now, terms_in_force(now))
        return self._terms[1]

    def _feeder(self, name: str, now: datetime) -> FeederState:
        newest = CycleRow.objects.filter(feeder=name).values_list("pk", flat=True).first()
        kept = self._boards.get(name)
        if newest is not None and (kept is None or kept[0] != newest):
            kept = self._boards[name] = (newest, CycleRow.objects.get(pk=newest))
        mode = order_queries.mode(name)
        if kept is None or newest is None:
            return FeederState(name, None, None, mode, None, None, None, None, ())
        row = kept[1]
        board, age = row.board, (now - row.at).total_seconds()
        low, high = board.get("v_min_pu"), board.get("v_max_pu")
        worst = max((item for item in (low, high) if item is not None), key=lambda pu: abs(pu - 1.0), default=None)
        return FeederState(
            # A row from the future is a clock that jumped: its age is unknown, hence stale.
            name, age if age >= -1.0 else float("inf"), int(row.at.timestamp() * 1000), mode, board.get("head_kw"),
            board.get("head_kvar"), worst, board.get("loading_percent"),
            tuple(_site(item) for item in board.get("sites", [])),
        )  # fmt: skip


def _site(item: dict[str, Any]) -> SiteState:
    return SiteState(
        name=item["site"],
        heard=bool(item.get("heard")),
        silent_s=item.get("silent_s"),
        in_failsafe=bool(item.get("in_failsafe")),
        stage=str(item.get("stage", "obeys")),
        power_kw=item.get("power_kw"),
        import_limit_kw=float(item.get("import_limit_kw", 0.0)),
        export_limit_kw=float(item.get("export_limit_kw", 0.0)),
        charge_percent=item.get("state_of_charge_percent"),
        available_import_kw=item.get("available_import_kw"),
        available_export_kw=item.get("available_export_kw"),
        energy_kwh=item.get("energy_kwh"),
    )


def _head(feeder: str, now: datetime) -> Head | None:
    row = queries.head(feeder)
    if row is None:
        return None
    age = (now - row.at).total_seconds()
    at_ms = int(row.at.timestamp() * 1000)
    return Head(row.power_w / 1000, row.reactive_var / 1000, age if age >= -1.0 else float("inf"), at_ms)


def _held(row: OperatorOrder) -> tuple[str, str, str]:
    centre, _, key = row.by.removeprefix("scada ").rpartition(" ")
    return centre, key, p.SYSTEM_NAME if key == CURTAIL else row.feeder


def _limits(rows: list[OperatorOrder], terms: list[Terms], now: datetime, scope: str) -> dict[str, ScadaLimit]:
    """Return SCADA's own limits in force by subject: of one centre the sum over sites, of several the least."""
    totals: dict[tuple[str, str, str], int] = defaultdict(int)
    left: dict[str, float] = {}
    flexible = {item.site: item.flexible for item in terms}
    for row in rows:
        for side in ("import", "export"):
            if row.kind != orders.CAP or row.limit is None or not row.by.endswith(f" {scope} {side}"):
                continue
            if row.site not in flexible:
                continue
            name = row.feeder if scope == p.FEEDER else row.site
            totals[(name, row.by, side)] += row.limit.import_w if side == "import" else row.limit.export_w
            if row.expires is not None:
                seconds = (row.expires - now).total_seconds()
                left[name] = min(left.get(name, seconds), seconds)
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for (name, _, side), watts in totals.items():
        found[name][side] = min(found[name].get(side, float("inf")), watts / 1000)
    return {
        name: ScadaLimit(sides.get("import"), sides.get("export"), left.get(name, 0.0)) for name, sides in found.items()
    }


def _kw(watts: int) -> float:
    return watts // 100 / 10
