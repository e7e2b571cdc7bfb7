"""A second engine for `validate`: EPRI's own OpenDSS through py-dss-interface, where that package is installed.

It runs in a process of its own: it prints, changes directories and would run a model's shell commands, so it is given
feeders that we trust only. `pip install py-dss-interface` switches it on; nothing else needs it.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from derms.errors import LocalError

PACKAGE = "py_dss_interface"
MARK = "HEADROOM-ANSWER "
SOLVE_S = 300.0


def available() -> bool:
    """Say whether the package is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


def held(controls: tuple[Any, Any]) -> str:
    """Return commands that put regulators and capacitors where a circuit's `controls()` has them, and hold them there."""
    taps, steps = controls
    lines = [f'edit "transformer.{name}" wdg={winding} tap={tap!r}' for name, winding, tap in taps]
    lines += [f'edit "capacitor.{name}" states=({",".join(map(str, states))})' for name, states in steps]
    return "\n".join(["set controlmode=off", *lines])


def solve(master: Path, commands: str) -> dict[str, Any]:
    """Return a snapshot of a master file: `head_kw`, `head_kvar`, `losses_kw`, `v` (pu by node); or LocalError.

    `commands` follow it, one a line; controls must be held (see `held`): which tap they rest at depends on the way there.
    """
    done = subprocess.run(
        [sys.executable, "-m", "derms.validation.second_engine", str(master.resolve())], input=commands,
        capture_output=True, text=True, timeout=SOLVE_S, check=False,
    )  # fmt: skip
    # It prompts on the same line.
    lines = [line.partition(MARK)[2] for line in done.stdout.splitlines() if MARK in line]
    if not lines:
        raise LocalError("the second engine gave no answer", where=PACKAGE, remedy=done.stderr[-300:])
    return dict(json.loads(lines[-1]))


def solve_text(text: str, commands: str) -> dict[str, Any]:
    """Return the same of a model's emitted text: what we emit must mean to EPRI's engine what it means to ours."""
    with tempfile.TemporaryDirectory() as folder:
        master = Path(folder) / "emitted.dss"
        master.write_text(text)
        return solve(master, commands)


def main(master: Path) -> None:
    """Compile and solve a file, and print the answer on a marked line."""
    from py_dss_interface import DSS

    dss = DSS()
    dss.text(f'compile "{master}"')
    dss.text("set tolerance=1e-7 maxiterations=100 maxcontroliter=100 mode=snap")
    for command in sys.stdin.read().splitlines():
        dss.text(command)
    dss.text("set controlmode=off")  # after the mode: setting a mode switches controls on
    dss.text("solve")
    power, losses = dss.circuit.total_power, dss.circuit.losses
    answer = {
        "head_kw": -float(power[0]), "head_kvar": -float(power[1]), "losses_kw": float(losses[0]) / 1000.0,
        "converged": bool(dss.solution.converged),
        "v": {
            name.lower(): float(value)
            for name, value in zip(dss.circuit.nodes_names, dss.circuit.buses_vmag_pu, strict=True)
        },
    }  # fmt: skip
    print(MARK + json.dumps(answer))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
