"""The confined child: imports what it needs, locks itself in, compiles one feeder, answers calls until its input ends."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, BinaryIO

from derms.errors import HeadroomError, InputError, LocalError
from derms.sandbox.calls import CALLS
from derms.sandbox.confine import Bounds, confine
from derms.sandbox.wire import HEADER, MOST_BYTES, describe_error, pack


def main() -> None:
    """Serve on standard input and output."""
    preload()
    serve_one()


def serve_one() -> None:
    """Confine this process, compile the one feeder that the first message brings, answer until the input ends."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # The engine prints to standard output now and then: that must not land between messages.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    start = _read(source)
    if start is None:
        return
    held = confine(Bounds(int(start["cpu_s"]), int(start["memory_bytes"])))
    if held.landlock_abi < 1 and not start["without_landlock"]:
        error = LocalError(
            "this kernel has no Landlock: untrusted models are not compiled here",
            where="sandbox",
            remedy="Use Linux 5.13 or later, or set HEADROOM_SANDBOX_WITHOUT_LANDLOCK=1 for models that you trust.",
        )
        _send(sink, {"error": describe_error(error)})
        return
    _serve(source, sink, start["text"])


def preload() -> None:
    """Import the engine, and load everything that it loads late."""
    import dss  # noqa: F401
    import numpy.fft  # noqa: F401
    import opendssdirect  # noqa: F401

    from derms.grid.opendss import Circuit
    from derms.grid.warm import warm_up

    # Compiled kernels are read from their folder now: afterwards nothing can be.
    warm_up()
    # One tiny circuit touches every library file that OpenDSS loads late.
    Circuit.compile(
        "clear\nnew circuit.preload\nnew line.l bus1=sourcebus bus2=b\nset voltagebases=(115)\ncalcvoltagebases"
    )


def _serve(source: BinaryIO, sink: BinaryIO, text: str) -> None:
    from derms.grid.opendss import Circuit

    circuit = None
    try:
        circuit = Circuit.compile(text)
        circuit.widen_load_bands()
        _send(sink, {"result": {"name": circuit.name}})
    except HeadroomError as error:
        _send(sink, {"error": describe_error(error)})
        return
    while (call := _read(source)) is not None:
        _send(sink, _answer(circuit, call, sink))


def _answer(circuit: Any, call: dict[str, Any], sink: BinaryIO) -> dict[str, Any]:
    def report(done: int, total: int) -> None:
        _send(sink, {"progress": [done, total]})

    function = CALLS.get(call.get("call", ""))
    try:
        if function is None:
            raise InputError(f"no call {call.get('call')!r}", where="sandbox")
        return {"result": function(circuit, call["arguments"], report)}
    except HeadroomError as error:
        return {"error": describe_error(error)}
    except MemoryError:
        return {"error": describe_error(LocalError("the feeder needs more memory than it may use", where="sandbox"))}


def _read(source: BinaryIO) -> dict[str, Any] | None:
    header = source.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    (length,) = HEADER.unpack(header)
    if length > MOST_BYTES:
        return None
    return dict(json.loads(source.read(length)))


def _send(sink: BinaryIO, message: dict[str, Any]) -> None:
    sink.write(pack(message))
    sink.flush()


if __name__ == "__main__":
    main()
