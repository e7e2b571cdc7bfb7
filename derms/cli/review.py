"""Commands between filing and offer: screens, questions, the place in each constraint's queue, what may be offered."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from derms.cli.caller import Caller
from derms.cli.show import out

Json = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
Number = Annotated[int, typer.Argument(help="The application's number.")]


def screens(
    number: Number, run: Annotated[bool, typer.Option(help="Run them now (engineers).")] = False, as_json: Json = False
) -> None:
    """The newest screens of an application, each with what would pass."""
    caller = Caller.known()
    if run:
        found = caller.post(f"applications/{number}/screens/", {})
    else:
        rows = caller.get(f"applications/{number}/screens/", page_size=1)["results"]
        found = rows[0] if rows else {"results": []}
    columns = ["status", "side", "title", "value", "threshold", "unit", "element", "would_pass"]
    out(found if as_json else found["results"], as_json, columns)


def complete(
    number: Number, waive: Annotated[list[str] | None, typer.Option(help="A gap that may stay open; repeat.")] = None,
    reason: str = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Find an application complete, waiving gaps by name with a reason (engineers)."""
    body = {"waived": waive or [], "reason": reason}
    out(Caller.known().post(f"applications/{number}/complete/", body), as_json, ["id", "reference", "state"])


def questions(number: Number, as_json: Json = False) -> None:
    """What was asked of the applicant, and the answers."""
    rows = Caller.known().rows(f"applications/{number}/questions/")
    out(rows, as_json, ["id", "asked", "question", "answered", "answer"])


def answer(number: Number, question: int, text: str, as_json: Json = False) -> None:
    """Answer a question; the clocks that waited go on."""
    found = Caller.known().post(f"applications/{number}/questions/{question}/answer/", {"answer": text})
    out(found, as_json, ["id", "question", "answer", "answered"])


def queue(number: Number, as_json: Json = False) -> None:
    """The place on each element that limits an application, and why its study may no longer hold."""
    found = Caller.known().get(f"applications/{number}/queue/")
    columns = ["side", "element", "criterion", "position", "of", "least_kw", "asked_kw", "withdrawal_frees_kw"]
    out(found if as_json else found["positions"], as_json, columns)
    for item in found["restudy"] if not as_json else []:
        typer.echo(f"study again: {item['what']}")


def options(number: Number, as_json: Json = False) -> None:
    """What the newest study lets the utility offer, side by side (the utility's people)."""
    found: dict[str, Any] = Caller.known().get(f"applications/{number}/options/")
    rows = [
        {
            "kind": item["kind"], "usd": item["usd"], "missing": item["missing"],
            **{f"{side} kW": item["flexible"][f"{side}_kw"] for side in ("import", "export")},
            **{f"{side} %": item["energy_percent"].get(side) for side in ("import", "export")},
        }
        for item in found["options"]
    ]  # fmt: skip
    columns = ["kind", "import kW", "export kW", "import %", "export %", "usd", "missing"]
    out(found if as_json else rows, as_json, columns)


COMMANDS = (screens, complete, questions, answer, queue, options)
