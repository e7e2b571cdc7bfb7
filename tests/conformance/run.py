"""`make conformance`: the CSIP-AUS server procedures of cactus against our server, and a table with a row each.

Needs the conformance kit beside this clone (../shared/kits/cactus), Python 3.12 and a package index. Arguments: `quick`
(the 56 that do not wait in real time, as a device), `aggregator` (the same as an aggregator where a procedure allows it),
`slow` (04 06 41 46, 20 minutes), `soak` (S-ALL-50, 60 polls instead of 72 hours), or one procedure, as S-ALL-46. Without
arguments: all four parts.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KIT = ROOT.parent / "shared" / "kits" / "cactus"
WORK = ROOT / "var" / "conformance"
CLIENT, WEBHOOKS = "cactus-client==1.3.3", "cactus-client-notifications==0.1.0"  # their pins clash: a folder each
PARTS = {
    "quick": ["--quick"],
    "aggregator": ["--quick", "--any-as", "aggregator"],
    "slow": ["--slow"],
    "soak": ["--include", "S-ALL-50", "--soak", "60"],
}
# The kit warns once for each program that a check passes over; this procedure has two programs and checks both.
INHERENT = {"S-ALL-49": 2}


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as found:
        return int(found.getsockname()[1])


def wait_for(port: int, processes: list[subprocess.Popen]) -> None:
    """Wait until somebody listens; raises where a process ended or nobody came up within five minutes."""
    for _ in range(1500):
        if any(process.poll() is not None for process in processes):
            raise RuntimeError("a process did not start: its port may have been taken meanwhile; run again")
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise RuntimeError(f"nobody listens on {port}")


def environment(name: str, python: str, *packages: str) -> Path:
    """Return the Python of an environment with packages, made once."""
    folder = WORK / name
    if not (folder / "done").exists():
        subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", *packages], check=True)
        (folder / "done").touch()
    return folder / "bin" / "python"


def main() -> int:
    """Run and write the table; 0 when everything passed without a warning of ours."""
    if not KIT.exists():
        print(f"the conformance kit is not at {KIT}: nothing was run")
        return 1
    python, parts = os.environ.get("PYTHON312", "python3.12"), sys.argv[1:] or list(PARTS)
    WORK.mkdir(parents=True, exist_ok=True)
    client = environment("client", python, CLIENT, str(KIT / "admin_plugin"))
    webhooks = environment("webhooks", python, WEBHOOKS)
    run = WORK / time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    run.mkdir()
    ours = {**os.environ, "HEADROOM_STATE_DIR": str(run / "state"), "UTILITY_TEST_API": "1", "UTILITY_PEN": "0",
            "SECRET_KEY": secrets.token_urlsafe(48)}  # fmt: skip
    subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, env=ours, check=True)
    port, setup, hooks = free_port(), free_port(), free_port()
    names = [item for host in ("localhost", "127.0.0.1") for item in ("--host", host)]
    subprocess.run([client, KIT / "make_pki.py", run / "pki", *names, "--device", "3", "--aggregator", "2"], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    where = [
        "--dcap",
        f"https://localhost:{port}/dcap",
        "--pki",
        run / "pki",
        "--notifications",
        f"http://localhost:{hooks}",
    ]
    subprocess.run([client, KIT / "setup_wd.py", run / "wd", *where], check=True, stdout=subprocess.DEVNULL)
    tls = ["--cert", run / "pki/server-chain.pem", "--key", run / "pki/server.key", "--ca", run / "pki/ca-bundle.pem"]
    serve = [sys.executable, "manage.py", "utility_server", "--port", str(port), "--test-api-port", str(setup), *tls]
    hook_env = {**os.environ, "SERVER_URL": f"http://localhost:{hooks}", "APP_PORT": str(hooks)}
    processes = [
        subprocess.Popen(serve, cwd=ROOT, env=ours),
        subprocess.Popen(
            [webhooks, "-m", "cactus_client_notifications.server.main"], env=hook_env, stdout=subprocess.DEVNULL
        ),
    ]
    rows: dict[str, dict] = {}
    try:
        for place in (port, setup, hooks):
            wait_for(place, processes)
        env = {**os.environ, "CACTUS_ADMIN_URL": f"http://127.0.0.1:{setup}"}
        for part in parts:
            out = run / f"{part}.json"
            command = [client, KIT / "run_suite.py", run / "wd", *PARTS.get(part, ["--include", part]), "--json", out]
            subprocess.run(command, env=env, check=False)
            for name, row in json.loads(out.read_text()).items():
                rows[f"{name} as aggregator" if part == "aggregator" else name] = row
    finally:
        for process in processes:
            process.terminate()
            process.wait(15)
    return table(rows, WORK / "table.md")


def table(rows: dict[str, dict], out: Path) -> int:
    """Write the table; return 1 if anything failed or warned beyond what the kit itself causes."""
    lines = ["| procedure | result | warnings | XSD errors | s |", "|---|---|---|---|---|"]
    bad = clean = 0
    for name, row in sorted(rows.items()):
        allowed = INHERENT.get(name.split()[0], 0)
        good = row["result"] == "PASS" and row["warnings"] <= allowed and row.get("xsd_errors", 0) <= 0
        bad += not good
        clean += row["result"] == "PASS" and row["warnings"] == 0
        note = f"{row['warnings']}" + (" (the kit's own)" if row["warnings"] and good else "")
        lines.append(f"| {name} | {row['result']} | {note} | {row.get('xsd_errors', '')} | {row['seconds']} |")
    lines.append(f"\n{len(rows) - bad} of {len(rows)} as wanted; {clean} strict-clean.")
    out.write_text("\n".join(lines) + "\n")
    print(lines[-1].strip(), f"Table: {out}")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
