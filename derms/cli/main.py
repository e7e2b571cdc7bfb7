"""The commands. Exit status: 0 done, 1 did not come true, 2 the API refused, 3 not signed in, 4 no answer."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from derms.cli import review
from derms.cli.caller import Caller, Failed
from derms.cli.show import out

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Ask for a flexible connection, follow its study, accept its offer, read its limits.",
)  # fmt: skip
Json = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
Number = Annotated[int, typer.Argument(help="The application's number.")]
POLL_S = 1.0
MOST_PAUSE_S = 10.0


@app.command()
def login(url: Annotated[str, typer.Argument(help="For example https://headroom.example.org")]) -> None:
    """Keep an address and a token (asked for, or from standard input), and check that they work."""
    _https(url)
    token = typer.prompt("Token", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline().strip()
    caller = Caller(url, token)
    me = caller.get("me/")
    typer.echo(f"Signed in as {me['user']} ({', '.join(me['roles']) or 'no role'}); kept in {caller.keep()}.")


@app.command()
def register(url: str, username: str) -> None:
    """Make an account as an applicant, where the utility allows it, and keep its first token."""
    _https(url)
    password = typer.prompt("Password", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    body = {"username": username, "password": password}
    made = Caller(url, "").call("POST", "registrations/", body=body)[0]
    typer.echo(f"Registered as {made['user']}; token kept in {Caller(url, made['token']).keep()} until {made['expires']}.")


def _https(url: str) -> None:
    if not url.startswith(("https://", "http://127.0.0.1", "http://localhost", "http://[::1]")):
        raise Failed("A token goes over https only (http is for this machine).")


@app.command()
def whoami(as_json: Json = False) -> None:
    """Who the token acts for, and what it opens."""
    me = Caller.known().get("me/")
    out(me, as_json, ["user", "signed_in_by"])


@app.command()
def feeders(as_json: Json = False) -> None:
    """Feeders that one may apply on."""
    out(Caller.known().get("feeders/")["results"], as_json, ["name", "nodes", "sha256"])


@app.command()
def ask(
    bus: str, import_kw: float, export_kw: float, feeder: Annotated[str, typer.Option(help="Default: the sandbox.")] = "",
    phases: str = "123", inverter: str = "unity", hours: int = 288, as_json: Json = False,
) -> None:  # fmt: skip
    """An indicative answer in seconds: what a place allows, what stops it. It binds nobody."""
    body: dict[str, Any] = {
        "bus": bus, "phases": phases, "import_kw": import_kw, "export_kw": export_kw, "inverter": inverter, "hours": hours,
    }  # fmt: skip
    if feeder:
        body["feeder"] = feeder
    answer = Caller.known().call("POST", "indicative/", body=body)[0]
    keys = ("asked_kw", "passes", "largest_kw", "criterion", "element", "hour")
    rows = [
        {"side": side, **{key: answer[side].get(key) for key in keys}} for side in ("import", "export") if side in answer
    ]
    out(answer if as_json else rows, as_json, ["side", *keys])


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="JSON with the application's fields; - reads standard input.")],
    submit: Annotated[bool, typer.Option(help="Hand it in at once.")] = False,
    as_json: Json = False,
) -> None:
    """File an application."""
    text = sys.stdin.read() if str(file) == "-" else file.read_text()
    caller = Caller.known()
    try:
        made = caller.post("applications/", json.loads(text))
    except json.JSONDecodeError as error:
        raise Failed(f"{file}: no JSON: {error}") from error
    if submit:
        made = caller.post(f"applications/{made['id']}/submit/")
        gaps = caller.get(f"applications/{made['id']}/gaps/")["gaps"] if made["state"] == "submitted" else []
        for gap in gaps:
            typer.echo(f"missing: {gap['where']}: {gap['what']}. {gap['remedy']}", err=True)
    out(made, as_json, ["id", "reference", "state", "name", "feeder", "bus", "import_kw", "export_kw"])


@app.command()
def bulk(
    file: Path, dry_run: Annotated[bool, typer.Option(help="Check and store nothing.")] = False,
    submit: bool = False, as_json: Json = False,
) -> None:  # fmt: skip
    """File many applications from CSV or NDJSON; a result for each row, exit status 1 when one was refused."""
    kind = "application/x-ndjson" if file.suffix in (".ndjson", ".jsonl") else "text/csv"
    query = {"dry_run": str(dry_run).lower(), "submit": str(submit).lower()}
    answer = Caller.known().call(
        "POST", "applications/bulk/", raw=file.read_bytes(), query=query, headers={"Content-Type": kind}
    )[0]
    rows = [
        {**row, "what": "; ".join(f"{e['pointer']}: {e['detail']}" for e in row.get("problem", {}).get("errors", []))
         or row.get("problem", {}).get("title", "")}
        for row in answer["results"]
    ]  # fmt: skip
    out(answer if as_json else rows, as_json, ["row", "status", "reference", "what"])
    if answer["refused"]:
        raise typer.Exit(1)


@app.command()
def applications(state: str = "", as_json: Json = False) -> None:
    """Your applications, newest first."""
    rows = Caller.known().rows("applications/", state=state or None)
    out(rows, as_json, ["id", "reference", "state", "name", "feeder", "bus", "import_kw", "export_kw"])


@app.command()
def status(number: Number, as_json: Json = False) -> None:
    """Where an application stands, and what it lacks."""
    caller = Caller.known()
    found = caller.get(f"applications/{number}/")
    gaps = caller.get(f"applications/{number}/gaps/")["gaps"] if found["state"] in ("draft", "submitted") else []
    out(
        found | {"gaps": gaps} if as_json else found,
        as_json,
        ["id", "reference", "state", "name", "import_kw", "export_kw"],
    )
    for gap in gaps if not as_json else []:
        typer.echo(f"missing: {gap['where']}: {gap['what']}. {gap['remedy']}")


@app.command()
def submit(number: Number, as_json: Json = False) -> None:
    """Hand a draft in."""
    out(Caller.known().post(f"applications/{number}/submit/"), as_json, ["id", "reference", "state"])


@app.command()
def withdraw(number: Number, reason: str = "", as_json: Json = False) -> None:
    """Withdraw an application."""
    body = {"reason": reason}
    out(Caller.known().post(f"applications/{number}/withdraw/", body), as_json, ["id", "reference", "state"])


@app.command()
def study(
    number: Number, order: Annotated[bool, typer.Option(help="Order one (engineers).")] = False,
    hours: int = 8760, wait: Annotated[bool, typer.Option(help="Wait until it is done.")] = False, as_json: Json = False,
) -> None:  # fmt: skip
    """The newest study of an application: progress, then its answer."""
    caller = Caller.known()
    if order:
        found = caller.post(f"applications/{number}/studies/", {"hours": hours})
    else:
        rows = caller.get(f"applications/{number}/studies/", page_size=1)["results"]
        if not rows:
            raise Failed(f"Application {number} has no study yet.")
        found = rows[0]
    found = _follow(caller, found["id"], wait)
    shown = found | {
        key: value for key, value in found.get("result", {}).items() if not isinstance(value, dict | list)
    }  # fmt: skip
    out(found if as_json else shown, as_json)
    if found["status"] in ("failed", "cancelled"):
        raise typer.Exit(1)


def _follow(caller: Caller, number: int, wait: bool) -> dict[str, Any]:
    """Return a study, when asked to once it is over; the server says how long to wait between two looks."""
    while True:
        found, headers = caller.call("GET", f"studies/{number}/")
        if not wait or found["status"] not in ("queued", "running"):
            return dict(found)
        left = found["seconds_left"]
        words = f"{found['status']} {found['progress']:.0%}" + (f", about {left} s left" if left is not None else "")
        typer.echo(words, err=True)
        time.sleep(min(MOST_PAUSE_S, float(headers.get("Retry-After", POLL_S))))


@app.command()
def offer(number: Number, as_json: Json = False) -> None:
    """The newest offer: its terms and their hash."""
    found = Caller.known().get(f"applications/{number}/offer/")
    terms = found["terms"]
    shown = {name: found[name] for name in ("status", "kind", "valid_until", "sha256")}
    for name in ("firm", "flexible", "failsafe"):
        limit = terms.get(name)
        if isinstance(limit, dict):
            shown |= {f"{name} {side}": value for side, value in limit.items()}
    shown |= {name: value for name, value in terms.items() if not isinstance(value, dict | list)}
    out(found if as_json else shown, as_json)


@app.command()
def accept(
    number: Number, sha256: Annotated[str, typer.Option(help="The hash of the terms that you agree to.")],
    name: Annotated[str, typer.Option(help="Your full name: the signature.")], as_json: Json = False,
) -> None:  # fmt: skip
    """Accept the open offer as it stands: it becomes the agreement."""
    caller = Caller.known()
    found, headers = caller.call("GET", f"applications/{number}/offer/")
    if found["sha256"] != sha256:
        raise Failed(f"The offer's hash is {found['sha256']}, not the one you name. Read it again: headroom offer {number}")
    body = {"sha256": sha256, "typed_name": name}
    made = caller.post(f"applications/{number}/offer/accept/", body, **{"If-Match": headers["ETag"]})
    out(made, as_json, ["site", "sha256", "accepted", "typed_name"])


@app.command()
def limits(
    site: Annotated[str, typer.Argument(help="The site's name; without it all of yours.")] = "",
    count: int = 20, as_json: Json = False,
) -> None:  # fmt: skip
    """The limits in force, and of one site the newest ones that were sent."""
    caller = Caller.known()
    if not site:
        rows = caller.rows("sites/")
        out(rows, as_json, ["site", "feeder", "import_kw", "export_kw", "reason", "until", "state"])
        return
    rows = caller.get(f"sites/{site}/limits/", page_size=count)["results"]
    out(rows, as_json, ["at", "import_kw", "export_kw", "until", "criterion", "element", "share", "outcome"])


@app.command()
def curtailment(site: str, as_json: Json = False) -> None:
    """What the limits took from a site, by day, against what the offer expected."""
    found = Caller.known().get(f"sites/{site}/curtailment/")
    out(
        found if as_json else found["days"], as_json, ["day", "limited_hours", "withheld_import_kwh", "withheld_export_kwh"]
    )


for command in review.COMMANDS:
    app.command()(command)


def run() -> None:
    """Entry point of the script: errors become one message and an exit status."""
    try:
        app()
    except Failed as error:
        typer.echo(str(error), err=True)
        raise SystemExit(error.code) from None
