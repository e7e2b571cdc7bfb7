"""A feeder in a confined child process: started once, kept compiled, asked by name, killed when it overruns."""

from __future__ import annotations

import json
import logging
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

from derms.errors import LocalError
from derms.sandbox.confine import Bounds
from derms.sandbox.nursery import NURSERY, PROJECT, Forked
from derms.sandbox.wire import HEADER, MOST_BYTES, pack, rebuild_error

START_S = 600.0  # the first start of a version compiles every kernel: a minute on a quiet machine
CALL_S = 60.0


class FeederProcess:
    """One compiled feeder behind a pipe. Not safe for two threads at once."""

    def __init__(self, text: str, *, bounds: Bounds | None = None, start_s: float = START_S) -> None:
        """Start the child and compile `text` (emitted by `dss_text`); raises what the compilation raises."""
        bounds = bounds or Bounds()
        self._process = _process()
        start = {
            "text": text,
            "cpu_s": bounds.cpu_s,
            "memory_bytes": bounds.memory_bytes,
            "without_landlock": os.environ.get("HEADROOM_SANDBOX_WITHOUT_LANDLOCK") == "1",
        }
        try:
            self._write(start)
            self.name: str = self._wait(start_s, None)["name"]
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Return the child's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Say whether the child still runs."""
        return self._process.poll() is None

    def call(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        *,
        timeout_s: float = CALL_S,
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, Any]:
        """Return what the named call (see `calls.CALLS`) gives; a child that overruns is killed: LocalError."""
        self._write({"call": name, "arguments": arguments or {}})
        return self._wait(timeout_s, progress)

    def close(self) -> None:
        """End the child."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # what a dead child did not read any more: closing writes it out
                    pipe.close()

    def __enter__(self) -> FeederProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _write(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(pack(message))
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise LocalError("the feeder's process has ended", where="sandbox", remedy="Start it again.") from error

    def _wait(self, timeout_s: float, progress: Callable[[int, int], None] | None) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while True:
            message = self._message(deadline)
            if "progress" in message and progress is not None:
                done, total = message["progress"]
                progress(int(done), int(total))
            if "error" in message:
                raise rebuild_error(message["error"])
            if "result" in message:
                return dict(message["result"])

    def _message(self, deadline: float) -> dict[str, Any]:
        (length,) = HEADER.unpack(self._exactly(HEADER.size, deadline))
        if length > MOST_BYTES:
            self.close()
            raise LocalError("the feeder's process sent too much", where="sandbox")
        try:
            return dict(json.loads(self._exactly(length, deadline)))
        except ValueError as error:
            self.close()
            raise LocalError("the feeder's process sent no message", where="sandbox") from error

    def _exactly(self, count: int, deadline: float) -> bytes:
        assert self._process.stdout is not None
        handle = self._process.stdout.fileno()
        parts: list[bytes] = []
        with selectors.DefaultSelector() as selector:
            selector.register(handle, selectors.EVENT_READ)
            while count:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    self.close()
                    raise LocalError("the feeder's process took too long and was ended", where="sandbox")
                part = os.read(handle, min(count, 1 << 20))
                if not part:
                    self._process.wait()
                    raise LocalError(
                        "the feeder's process died",
                        where="sandbox",
                        remedy="The model may need more time or memory than it is given.",
                    )
                parts.append(part)
                count -= len(part)
        return b"".join(parts)


def _process() -> subprocess.Popen[bytes] | Forked:
    """Return a new child: a fork of the helper where the kernel has pidfds (Linux 5.3), else one started alone."""
    if hasattr(os, "pidfd_open"):
        try:
            return NURSERY.born(environment())
        except (LocalError, OSError):
            # One started alone is slower, and no less confined.
            logging.getLogger(__name__).warning("no helper for feeders' processes: starting one alone", exc_info=True)
    return subprocess.Popen(
        [sys.executable, "-m", "derms.sandbox.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=PROJECT,
        env=environment(),
        start_new_session=True,
    )


def environment() -> dict[str, str]:
    """Return the child's environment: nothing of ours but what the interpreter needs."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "PYTHONPATH") if name in os.environ}
    return kept | {
        "PATH": "/usr/bin:/bin",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "DSS_CAPI_ALLOW_EDITOR": "0",
        "DSS_CAPI_ALLOW_DOSCMD": "0",
        "DSS_CAPI_ALLOW_CHANGE_DIR": "0",
    }
