"""The words of screens: a screen of a pack, what it may know, what a measure gives, and a screen's result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from interconnection.request import Request


@dataclass(frozen=True, slots=True)
class Screen:
    """One screen of a pack: which measure, against which threshold, from where."""

    id: str
    side: str
    title: str
    measure: str
    verified: bool
    threshold: float | None = None
    unit: str = ""
    compare: str = "at_most"
    stage: str = "initial"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    citation: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """The existing load of the line section (feeder head), W, and over how many hours it was looked for."""

    most_w: float
    most_hour: int
    least_w: float
    least_hour: int
    hours: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What the screens may know: the request, its neighbours in the queue and on the wires, what the engine answered.

    `ahead_import_w`, `ahead_export_w`: agreed or queued before this one on the same feeder. `pending`: the engine's answer
    with those added at this bus (nothing when there are none). `certified`: a gap of the certificates, or "".
    `firm_bank_w`: what the bank carries with its largest unit out (None: not known).
    `fault_pu`: the fault current that the engine was asked with, of the
    export asked for; `fault_scale`: by how much the inverters' own is above that.
    """

    request: Request
    load: Load
    answer: Mapping[str, Any]
    pending: Mapping[str, Any] | None = None
    ahead_import_w: int = 0
    ahead_export_w: int = 0
    certified: str = ""
    firm_bank_w: int | None = None
    site_bus: str = ""
    fault_pu: float = 1.2
    fault_scale: float = 1.0

    @property
    def judged_export_w(self) -> int:
        """Return the export that counts: the limit, or everything on site where nothing limits it (export mode full)."""
        asked = self.request
        return self.nameplate_w if asked.export_mode == "full" else asked.export_w

    @property
    def nameplate_w(self) -> int:
        """Return all inverters' export power."""
        asked = self.request
        return asked.charger_count * asked.charger_export_w + asked.storage_w + asked.pv_w


@dataclass(frozen=True, slots=True)
class Measured:
    """A measure's value, where and when, and the largest kW that would pass (None: no power changes it)."""

    value: float
    element: str = ""
    hour: int | None = None
    passes_kw: float | None = None
    advice: str = ""
    basis: str = ""


@dataclass(frozen=True, slots=True)
class Silent:
    """A measure that gives no value: it does not apply, or something is not known; why, and what to do."""

    status: str
    why: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """One screen's outcome: pass, fail, not_applicable or unknown; margin positive is inside, in the screen's unit."""

    id: str
    side: str
    stage: str
    title: str
    status: str
    value: float | None
    threshold: float | None
    unit: str
    margin: float | None
    element: str
    hour: int | None
    would_pass: str
    passes_kw: float | None
    basis: str
    citation: str
    verified: bool


Outcome = Measured | Silent
Function = Callable[[Facts, Screen], Outcome]


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure by name: its function, whether it needs a threshold, the parameters that it knows, what it says."""

    function: Function
    says: str
    needs_threshold: bool = True
    parameters: tuple[str, ...] = ()
