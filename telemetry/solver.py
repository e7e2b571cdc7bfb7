"""The envelope solver of the control room: a feeder in a confined child, asked once a cycle."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from derms.grid.criteria import CriteriaSettings
from derms.grid.envelope import EnvelopeRequest, Site
from derms.grid.live_request import MeterRow, canonical, question
from derms.limits import Limit
from derms.sandbox.feeder_process import FeederProcess
from telemetry.control.decide import Target
from telemetry.control.grant import Reason
from telemetry.control.settings import ControlSettings
from telemetry.control.state import EnvelopeAnswer, HeadReading

PRICE_EVERY = 6
"""Once a minute is often enough to say what the margins cost."""
SOLVE_S = 8.0
"""A cycle lasts 10 s: a solution that takes longer is no solution."""


class FeederEnvelopeSolver:
    """Answers the engine's question with exact power flows on the feeder's own model.

    `rules`: asked each cycle for the sharing rule by element, "" for all others; `meters`: likewise for further
    measurements on the feeder. `ceilings`: asked each cycle for the sites with what their tables leave them now.
    """

    without_head = True

    def __init__(
        self, feeder: FeederProcess, elements: Sequence[str], criteria: CriteriaSettings | None = None, *,
        rules: Callable[[], Mapping[str, str]] = dict, meters: Callable[[], Sequence[MeterRow]] = tuple,
        ceilings: Callable[[Sequence[Site]], Awaitable[Sequence[Site]]] | None = None,
    ) -> None:  # fmt: skip
        self._feeder = feeder
        self._elements = tuple(elements)
        self._criteria = criteria or CriteriaSettings()
        self._rules, self._meters = rules, meters
        self._ceilings = ceilings
        self._scale, self._count = 1.0, 0
        self._margin_w: tuple[float, float] | None = None

    async def solve(
        self, *, hour: int, head: HeadReading | None, asks: Sequence[Site], settings: ControlSettings
    ) -> EnvelopeAnswer:
        """Return targets for all sites; raises NotConverged when the state is not known, LocalError when we fail."""
        if self._ceilings is not None:
            asks = await self._ceilings(asks)
        request = EnvelopeRequest(
            hour=hour,
            head_w=head.power_w if head is not None else math.nan,
            sites=tuple(asks),
            criteria=self._criteria,
            elements=self._elements,
            thermal_margin=settings.thermal_margin,
            voltage_margin_pu=settings.voltage_margin_pu,
            first_scale=self._scale,
        )
        asked = question(
            request, rules=self._rules(), meters=self._meters(), volts_pu=[site.v_pu for site in asks],
            need=[site.need for site in asks], rank=[site.rank for site in asks],
            study=(settings.study_low, settings.study_high), scale=(settings.scale_low, settings.scale_high),
            least_margin_factor=settings.least_margin_factor, price_margin=self._count % PRICE_EVERY == 0,
        )  # fmt: skip
        raw = await asyncio.to_thread(self._feeder.call, "live_envelope", asked, timeout_s=SOLVE_S)
        self._count += 1
        if raw["margin_w"] is not None:
            self._margin_w = (raw["margin_w"][0], raw["margin_w"][1])
        if head is not None:
            self._scale = raw["load_scale"]
        return EnvelopeAnswer(
            targets={name: _target(item, raw["shrunk"]) for name, item in raw["granted"].items()},
            load_scale=raw["load_scale"],
            level=raw["level"],
            worst_loading_percent=raw["worst_loading_pu"] * 100.0,
            worst_element=raw["worst_element"],
            lowest_voltage_pu=raw["lowest_v_pu"],
            highest_voltage_pu=raw["highest_v_pu"],
            corners_checked=raw["corners"],
            shrunk=raw["shrunk"],
            margin_w=self._margin_w,
            engine=raw["engine"],
            inputs=canonical(asked),
            outputs=canonical(raw),
        )


def _target(raw: dict[str, Any], shrunk: bool) -> Target:
    """The reason names the side that is cut more. What made a corner shrink may have been a voltage."""
    side = "import" if raw["import_share"] <= raw["export_share"] else "export"
    share = raw[f"{side}_share"]
    criterion = raw[f"{side}_criterion"] or "agreement"
    element = raw[f"{side}_element"] or "flexible limit"
    thermal_only = not shrunk and not any("voltage" in (raw[f"{way}_criterion"] or "") for way in ("import", "export"))
    return Target(Limit(**raw["limit"]), Reason(criterion, element, share, ""), thermal_only)
