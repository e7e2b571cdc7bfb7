"""What the control room asks of the arrays in one cycle, as plain data that can be stored and asked again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from derms.errors import InputError
from derms.grid.envelope import EnvelopeRequest
from derms.grid.sharing_rules import RULES

MeterRow = tuple[str, str, str, int, float, float]


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """One cycle's question. `envelope`: sites, criteria, margins; `head_w` None: level study.

    `rules`: sharing rule by element ("" is the rule of all others). `meters`: [name, kind, element or node, phase,
    value, sigma]; kinds as in `least_squares`. `volts_pu`, `need`, `rank`: each site's measured voltage, its wish (import,
    export W) and its place in the queue, in the order of the sites; None where unknown.
    """

    envelope: EnvelopeRequest
    rules: Mapping[str, str]
    meters: tuple[tuple[str, str, str, int, float, float], ...]
    volts_pu: tuple[float | None, ...]
    need: tuple[tuple[float, float] | None, ...]
    rank: tuple[int, ...]
    study_low: float
    study_high: float
    scale_low: float
    scale_high: float
    least_margin_factor: float
    price_margin: bool = True
    """Say what the margins cost: the sharing once more without them."""

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> LiveRequest:
        """Rebuild from plain data that went through JSON; raises InputError for a rule that does not exist."""
        plain = dict(raw)
        inner = dict(plain["envelope"])
        inner["head_w"] = float("nan") if inner["head_w"] is None else inner["head_w"]
        plain["envelope"] = EnvelopeRequest.from_dict(inner)
        plain["meters"] = tuple(
            (str(m[0]), str(m[1]), str(m[2]), int(m[3]), float(m[4]), float(m[5])) for m in raw["meters"]
        )
        plain["volts_pu"], plain["rank"] = tuple(raw["volts_pu"]), tuple(raw["rank"])
        plain["need"] = tuple(None if item is None else (item[0], item[1]) for item in raw["need"])
        for rule in plain["rules"].values():
            if rule not in RULES:
                raise InputError(f"unknown sharing rule {rule!r}", where="rules", remedy=", ".join(RULES))
        return cls(**plain)


def canonical(data: Any) -> str:
    """Return plain data as canonical JSON."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def question(
    envelope: EnvelopeRequest, *, rules: Mapping[str, str], meters: Sequence[MeterRow], volts_pu: Sequence[float | None],
    need: Sequence[tuple[float, float] | None], rank: Sequence[int], study: tuple[float, float], scale: tuple[float, float],
    least_margin_factor: float, price_margin: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Return the plain data that `live_envelope` takes. `envelope.head_w` NaN (sent as null): level study."""
    plain = asdict(envelope)
    plain["head_w"] = None if not np.isfinite(envelope.head_w) else envelope.head_w
    return {
        "envelope": plain, "rules": dict(rules), "meters": [list(item) for item in meters], "volts_pu": list(volts_pu),
        "need": [None if item is None else list(item) for item in need], "rank": list(rank),
        "study_low": study[0], "study_high": study[1], "scale_low": scale[0], "scale_high": scale[1],
        "least_margin_factor": least_margin_factor, "price_margin": price_margin,
    }  # fmt: skip
