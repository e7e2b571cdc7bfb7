"""Load every compiled kernel once, from the cache or by compiling: before a child locks itself in, or a clock is read."""

from __future__ import annotations

from derms.grid.criteria import CriteriaSettings
from derms.grid.opendss import Circuit
from derms.grid.study_request import StudyRequest

TINY = (
    "clear",
    "new circuit.warm basekv=12.47 phases=3",
    "new linecode.wire nphases=3 r1=0.3 x1=0.4 r0=0.6 x0=1.2 normamps=300 units=km",
    "new line.one bus1=sourcebus bus2=a linecode=wire length=2 units=km",
    "new line.two bus1=a bus2=b linecode=wire length=1 units=km",
    "new load.near bus1=a phases=3 kv=12.47 kw=300 pf=0.95 model=1 vminpu=0.8 vmaxpu=1.2",
    "set voltagebases=(12.47)",
    "calcvoltagebases",
)


def warm_up() -> None:
    """Run one hour of everything on a circuit of three buses."""
    from derms.grid.closing import closing
    from derms.grid.fast import FastEngine
    from derms.grid.hosting import all_buses, hour_limits, watch
    from derms.grid.site_year import study_hours_on_arrays
    from derms.grid.what_if import what_if

    circuit = Circuit.compile("\n".join(TINY))
    engine = FastEngine(circuit)
    state = engine.hour_state(0)
    request = StudyRequest("b", (1, 2, 3), 1_000_000, 1_000_000, (0,))
    hour_limits(
        state.network, state.reference, watch(state.network, request.criteria), all_buses(state.network), (1e6, 1e6)
    )
    study_hours_on_arrays(circuit, request, (0,))
    closing(circuit, request, {"import": [0, 1], "export": [0, 1]})
    what_if(circuit, {"request": request.to_dict()})
    _warm_live(circuit)


def _warm_live(circuit: Circuit) -> None:
    """Run the control room's envelope by every rule: its first cycle has 8 s and no time to compile."""
    from derms.grid.envelope import EnvelopeRequest, Site
    from derms.grid.live import live_envelope
    from derms.grid.live_request import question
    from derms.grid.sharing_rules import RULES
    from derms.limits import NOTHING, Limit

    most = Limit(9_000_000, 9_000_000)
    sites = tuple(
        Site(name, bus, (1, 2, 3), 0.0, 0.0, NOTHING, most, NOTHING, NOTHING, True)
        for name, bus in (("s", "a"), ("t", "b"))
    )
    request = EnvelopeRequest(0, 300e3, sites, CriteriaSettings(), ("line.one", "line.two"), 0.03, 0.002)
    for rule in RULES:
        asked = question(
            request, rules={"": rule}, meters=(), volts_pu=(1.0, None), need=(None, None), rank=(0, 1), study=(0.7, 1.3),
            scale=(0.05, 2.5), least_margin_factor=0.5,
        )  # fmt: skip
        live_envelope(circuit, asked)
