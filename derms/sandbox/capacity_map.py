"""All buses over many hours: OpenDSS settles hour after hour in one thread, the compiled search runs in the others.

Runs inside the confined child. Memory is bounded: at most `threads + 2` hours are in flight, each a few tens of
megabytes on a feeder of ten thousand nodes; the answer is two 32-bit numbers a bus, hour and direction.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from derms.errors import InputError
from derms.grid.criteria import CriteriaSettings
from derms.grid.devices import head_element
from derms.grid.fast import HourState
from derms.grid.hosting import Limits, all_buses, hour_limits, name_of, watch
from derms.grid.limits_kernel import workspace
from derms.grid.opendss import Circuit
from derms.grid.site_year import fast_engine

MOST_THREADS = 64


def capacity_map(circuit: Circuit, arguments: dict[str, Any], report: Callable[[int, int], None]) -> dict[str, Any]:
    """Return the largest import and export of every bus in every hour.

    `hours`: [hour, load scale] each; `criteria`; `cap_w`: [import, export] watts; `threads`. Result: `buses`, `phases`,
    `names` (constraint code to [criterion, element]) and `arrays`: base64 of an npz with `watts` and `code`
    (hours, 2, buses), int32, import first; limits rounded down to whole watts; -1 as code where nothing binds.
    """
    threads = int(arguments["threads"])
    if not 1 <= threads <= MOST_THREADS:
        raise InputError(f"{threads} threads are outside 1..{MOST_THREADS}", where="threads")
    settings, cap = CriteriaSettings(**arguments["criteria"]), tuple(arguments["cap_w"])
    engine, hours, head = fast_engine(circuit), arguments["hours"], head_element(circuit)
    first = engine.hour_state(int(hours[0][0]), load_scale=float(hours[0][1])).network
    candidates, watching = all_buses(first), watch(first, settings, head=head)
    watts = np.zeros((len(hours), 2, len(candidates.names)), dtype=np.int32)
    code = np.zeros_like(watts)
    spare = [workspace(first.size) for _ in range(threads + 2)]

    def work(state: HourState) -> Limits:
        room = spare.pop()
        try:
            return hour_limits(
                state.network, state.reference, watch(state.network, settings, head=head), candidates, cap, work=room
            )
        finally:
            spare.append(room)

    running: dict[Future[Limits], int] = {}
    unsolved = done = 0

    def collect(least: int) -> None:
        nonlocal unsolved, done
        while len(running) > least:
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                place, limits = running.pop(future), future.result()
                watts[place], code[place] = np.floor(limits.watts), limits.code
                unsolved += limits.unsolved()
                done += 1
                report(done, len(hours))

    with ThreadPoolExecutor(threads) as pool:
        for place, (hour, scale) in enumerate(hours):
            running[pool.submit(work, engine.hour_state(int(hour), load_scale=float(scale)))] = place
            collect(threads + 1)
        collect(0)
    packed = io.BytesIO()
    np.savez_compressed(packed, watts=watts, code=code)
    return {
        "buses": list(candidates.names),
        "phases": [int(count) for count in candidates.phases],
        "names": {str(item): name_of(first, watching, int(item)) for item in np.unique(code)},
        "unsolved": unsolved,
        "arrays": base64.b64encode(packed.getvalue()).decode(),
    }
