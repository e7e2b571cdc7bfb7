"""A study over several confined children: the hours are dealt out in slices, the answer is the same as from one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from queue import Empty, SimpleQueue

from derms.errors import Conflict
from derms.grid.capacity import closes, scaled, slices, with_curtailment
from derms.grid.study_request import StudyRequest
from derms.grid.study_result import Slice, StudyResult, merge
from derms.sandbox.feeder_process import FeederProcess

SLICE_S = 900.0

Progress = Callable[[int, int], None]


def run_study(
    text: str,
    model_sha256: str,
    request: StudyRequest,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    kept: Mapping[int, Slice] | None = None,
    on_slice: Callable[[int, Slice], None] | None = None,
) -> StudyResult:
    """Run a study of an emitted model in up to `workers` children (default: one a core).

    `progress(done, total)` in hours. `kept`: slices of an earlier run of the same request by their first hour, not run
    again; `on_slice(first_hour, slice)` hears of each new one, from a worker's thread. Raises what the study raises, or
    Conflict when cancelled.
    """
    whole = _main(text, model_sha256, request, workers, progress, cancelled, kept, on_slice)
    closed = _closed(text, whole)
    years = {
        other.load_scale: _main(text, model_sha256, other, workers, None, cancelled, None, None)
        for other in scaled(request)
    }
    return with_curtailment(closed, years)


def _main(
    text: str, model_sha256: str, request: StudyRequest, workers: int | None, progress: Progress | None,
    cancelled: Callable[[], bool] | None, kept: Mapping[int, Slice] | None, on_slice: Callable[[int, Slice], None] | None,
) -> StudyResult:  # fmt: skip
    """Run the hours of one request, slice by slice, in as many children as there is work for."""
    waiting: SimpleQueue[tuple[int, ...]] = SimpleQueue()
    kept = kept or {}
    parts_to_do = [hours for hours in slices(request.hours) if not _fits(kept.get(hours[0]), hours)]
    for part_hours in parts_to_do:
        waiting.put(part_hours)
    count = max(1, min(workers or os.cpu_count() or 1, len(parts_to_do)))
    counter = _Counter(len(request.hours), progress, done=len(request.hours) - sum(map(len, parts_to_do)))
    stop = threading.Event()

    def work() -> tuple[list[Slice], list[str]]:
        done: list[Slice] = []
        with FeederProcess(text) as feeder:
            findings = feeder.call("findings")["findings"]
            while not stop.is_set():
                try:
                    part = waiting.get_nowait()
                except Empty:
                    break
                if cancelled is not None and cancelled():
                    stop.set()
                    break
                arguments = {"request": request.to_dict(), "hours": list(part)}
                raw = feeder.call("study_hours", arguments, timeout_s=SLICE_S, progress=counter.slice())
                done.append(Slice.from_dict(raw))
                if on_slice is not None:
                    on_slice(part[0], done[-1])
        return done, findings

    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(work) for _ in range(count)]
        try:
            results = [future.result() for future in futures]
        except BaseException:
            stop.set()
            raise
    if stop.is_set():
        raise Conflict("the study was cancelled", where="study")
    parts = [part for result, _ in results for part in result]
    parts += [kept[hours[0]] for hours in slices(request.hours) if _fits(kept.get(hours[0]), hours)]
    return merge(request, parts, findings=results[0][1], model_sha256=model_sha256)


def _closed(text: str, result: StudyResult) -> StudyResult:
    """Return the result with what is looked at once, at the hours that bind: in a child of its own, when they are known."""
    if not closes(result.request):
        return result
    with FeederProcess(text) as feeder:
        arguments = {"request": result.request.to_dict(), "worst": result.worst_hours()}
        return replace(result, closing=feeder.call("closing", arguments, timeout_s=SLICE_S))


def _fits(part: Slice | None, hours: tuple[int, ...]) -> bool:
    return part is not None and tuple(sorted(hour.hour for hour in part.hours)) == tuple(hours)


class _Counter:
    """Adds up the hours that all children have done."""

    def __init__(self, total: int, progress: Progress | None, *, done: int = 0) -> None:
        self._total, self._progress, self._done = total, progress, done
        self._lock = threading.Lock()

    def slice(self) -> Progress:
        """Return a progress function for one slice."""
        before = 0

        def report(done: int, total: int) -> None:
            nonlocal before
            with self._lock:
                self._done += done - before
                before = done
                if self._progress is not None:
                    self._progress(self._done, self._total)

        return report
