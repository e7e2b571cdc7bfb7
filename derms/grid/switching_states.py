"""Switching states of a feeder for planning: what is open, closed, or tied together; the model's text in each state.

(`switching` opens and closes for the control room, in a model whose ties are modelled; here a tie may be declared.)

A state is data, declared by the utility: the normal one, each transfer that its operators really make, the loss of a bank.
Its text is the model's own with a few allow-listed lines more, so that everything that works on a feeder works on a state
of it. What a state leaves without supply is taken out of the text, by name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from derms.errors import InputError, ModelRefused
from derms.grid.opendss import Circuit
from derms.grid.study_result import StudyResult

NORMAL = "normal"
NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
KINDS = "line|transformer|capacitor|reactor|generator|pvsystem|storage"
ELEMENT = re.compile(rf"({KINDS})\.[a-z0-9_.:-]{{1,80}}")
BUS = re.compile(r"[a-z0-9_:-]{1,80}")
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class SwitchingState:
    """One state: `opened`, `closed`: elements ("line.sw2"); `ties`: [bus, bus] pairs joined by a switch on all the phases
    that they share; `thermal_pu`: the loading allowed in it (emergency ratings), None for the study's own."""

    name: str
    opened: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    ties: tuple[tuple[str, str], ...] = ()
    description: str = ""
    thermal_pu: float | None = None

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise InputError(f"{self.name!r} is no name of a state", where="name", remedy="Small letters, digits, - and _.")
        for field in ("opened", "closed"):
            names = tuple(str(item).lower() for item in getattr(self, field))
            wrong = [item for item in names if not ELEMENT.fullmatch(item)]
            if wrong:
                raise InputError(
                    f"{wrong[0]!r} is no element that can be switched", where=field, remedy="For example line.sw2."
                )
            object.__setattr__(self, field, names)
        ties = tuple((str(a).lower(), str(b).lower()) for a, b in self.ties)
        if any(not BUS.fullmatch(bus) for pair in ties for bus in pair) or any(a == b for a, b in ties):
            raise InputError("a tie joins two buses", where="ties", remedy='For example ["151", "300"].')
        object.__setattr__(self, "ties", ties)
        if self.thermal_pu is not None and not 0.5 <= self.thermal_pu <= 2.0:
            raise InputError("the loading allowed is 0.5 to 2 pu", where="thermal_pu")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    def sha256(self) -> str:
        """Return the hash of what the state is, whatever it is called: see `meaning_sha256`."""
        return meaning_sha256(self.opened, self.closed, self.ties, self.thermal_pu)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> SwitchingState:
        """Rebuild a state from JSON; raises InputError."""
        unknown = set(raw) - {"name", "opened", "closed", "ties", "description", "thermal_pu"}
        if unknown or "name" not in raw:
            raise InputError(f"a state has name, opened, closed, ties; not {sorted(unknown)}", where="states")
        lists = ("opened", "closed", "ties")
        plain: dict[str, Any] = {key: tuple(value) if key in lists else value for key, value in raw.items()}
        return cls(**plain)


def meaning_sha256(
    opened: Sequence[str] = (), closed: Sequence[str] = (), ties: Sequence[Sequence[str]] = (),
    thermal_pu: float | None = None,
) -> str:  # fmt: skip
    """Return the hash of a state's open and closed elements, ties and ratings; their order and capitals mean nothing."""
    facts = {
        "opened": sorted({item.lower() for item in opened}), "closed": sorted({item.lower() for item in closed}),
        "ties": sorted({tuple(sorted(bus.lower() for bus in pair)) for pair in ties}),
        "thermal_pu": None if thermal_pu is None else float(thermal_pu),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class StateText:
    """A model's text in a state, and the buses that it leaves without supply."""

    text: str
    dead_buses: tuple[str, ...]


def text_of_state(text: str, state: SwitchingState) -> StateText:
    """Return an emitted model's text in a state; raises InputError for an element or bus that the model does not have.

    It compiles the model: call it where a model may be compiled (the confined child).
    """
    normal = Circuit.compile(text)
    known = {item.name for item in normal.elements} | {
        name.lower() for name in normal.engine.Circuit.AllElementNames()
    }  # fmt: skip
    declared = set(re.findall(rf'(?im)^new "?((?:{KINDS})\.[^" ]+)', text))
    for name in (*state.opened, *state.closed):
        if name not in known and name not in {item.lower() for item in declared}:
            raise InputError(f"feeder {normal.name} has no element {name!r}", where=f"state {state.name}")
    lines = [f'edit "{name}" enabled=no' for name in state.opened]
    lines += [f'edit "{name}" enabled=yes' for name in state.closed]
    for number, (left, right) in enumerate(state.ties):
        phases = sorted(set(normal.bus(left).phases) & set(normal.bus(right).phases))
        if not phases:
            raise InputError(f"buses {left} and {right} share no phase", where=f"state {state.name}")
        nodes = "." + ".".join(map(str, phases))
        lines.append(
            f'new "line.headroom_tie_{number}" bus1="{left}{nodes}" bus2="{right}{nodes}" phases={len(phases)} r1=0.0001 '
            "x1=0.0001 r0=0.0001 x0=0.0001 c1=0 c0=0 length=1 normamps=10000 emergamps=10000"
        )
    switched = _before_bases(text, lines)
    dead = sorted({node.rsplit(".", 1)[0] for node in Circuit.compile(switched).islands})
    return StateText(_without(switched, set(dead)) if dead else switched, tuple(dead))


def _before_bases(text: str, lines: Sequence[str]) -> str:
    """Put lines before the voltage bases are worked out, where the model's elements end."""
    found = text.splitlines()
    place = next(
        (number for number, line in enumerate(found) if re.match(r"(?i)(set voltagebases|calcv)", line)), len(found)
    )
    return "\n".join([*found[:place], *lines, *found[place:]])


def _without(text: str, dead: set[str]) -> str:
    """Take out what hangs on dead buses and what leads to them: a part without supply has no voltage to judge."""
    kept, gone = [], set()
    for line in text.splitlines():
        head = re.match(r'(?i)(new|edit) "?([a-z]+\.[^" ]+)', line)
        name = head.group(2).lower() if head else ""
        buses = [bus.split(".", 1)[0].lower() for bus in _buses(line)]
        if head and head.group(1).lower() == "new" and buses and any(bus in dead for bus in buses):
            gone.add(name)
            continue
        controlled = re.search(r'(?i)(?:transformer|capacitor|element)="?([^" ]+)', line) if head else None
        target = controlled.group(1).lower() if controlled else ""
        orphan = {target, f"transformer.{target}", f"capacitor.{target}"} & gone if target else set()
        if name in gone or (head and orphan):
            gone.add(name)
            continue
        if line.lower().startswith("setbusxy") and any(f'"{bus}"' in line.lower() for bus in dead):
            continue
        kept.append(line)
    if not any(line.lower().startswith('new "line.') or line.lower().startswith("new line.") for line in kept):
        raise ModelRefused("the state leaves nothing with supply", where="state")
    return "\n".join(kept)


def _buses(line: str) -> list[str]:
    found = re.findall(r'(?i)\bbus[12]?="?([^" ]+)', line)
    for group in re.findall(r"(?i)\bbuses=[(\[]([^)\]]*)[)\]]", line):
        found += [item.strip('" ') for item in re.split(r"[ ,]+", group.strip()) if item.strip('" ')]
    return found


def month_of(hour: int) -> int:
    """Return the month (from 0) of a study hour (from 0) of a year of 365 days."""
    ends = np.cumsum(MONTH_DAYS) * 24
    return min(11, int(np.searchsorted(ends, hour, side="right")))


def month_hour_table(result: StudyResult) -> dict[str, list[list[float | None]]]:
    """Return the least import and export by month and hour of the day, 12 x 24 kW rounded down; None: not studied."""
    answer: dict[str, list[list[float | None]]] = {}
    for side in ("import", "export"):
        table: list[list[float | None]] = [[None] * 24 for _ in range(12)]
        for hour in result.hours:
            month = month_of(hour.hour)
            kw, old = getattr(hour, f"{side}_w") // 100 / 10, table[month][hour.hour % 24]
            table[month][hour.hour % 24] = kw if old is None else min(old, kw)
        answer[f"{side}_kw"] = table
    return answer
