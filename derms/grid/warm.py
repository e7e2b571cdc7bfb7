"""Load every compiled kernel once, from the cache or by compiling: before a child locks itself in, or a clock is read."""

from __future__ import annotations

from derms.grid.capacity import StudyRequest
from derms.grid.opendss import Circuit

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
