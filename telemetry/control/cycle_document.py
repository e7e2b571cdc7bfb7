"""A cycle as one canonical document: what was known, what was decided; run again it gives the same bytes. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from derms.limits import Limit
from telemetry.control.decide import Decision, Target, decide
from telemetry.control.grant import Reason
from telemetry.control.orders import Order, Orders
from telemetry.control.settings import ControlSettings
from telemetry.control.site_book import SiteBook


@dataclass(frozen=True, slots=True)
class _BookTerms:
    failsafe: Limit
    flexible: Limit
    slow: bool


@dataclass(frozen=True, slots=True)
class StillBook:
    """What the control law reads of a site's book, at one moment."""

    site: str
    terms: _BookTerms
    held: Limit
    is_fresh: bool
    raisable: bool
    since_change_s: float | None
    patience_s: float

    @classmethod
    def of(cls, book: SiteBook, now: float) -> StillBook:
        """Take the picture."""
        since = now - book.last_change_at
        return cls(
            book.site, _BookTerms(book.terms.failsafe, book.terms.flexible, book.terms.slow), book.in_force(now),
            book.fresh(now), book.may_raise(now), since if since < 1e9 else None, book.patience_s,
        )  # fmt: skip

    @property
    def last_change_at(self) -> float:
        """Return when the limit last changed, on a clock that reads 0 now."""
        return float("-inf") if self.since_change_s is None else -self.since_change_s

    def fresh(self, now: float) -> bool:
        """Say whether the site was heard."""
        return self.is_fresh

    def in_force(self, now: float) -> Limit:
        """Return the limit that was in force."""
        return self.held

    def may_raise(self, now: float) -> bool:
        """Say whether a raise could rest on what the site said."""
        return self.raisable


def document(
    *, feeder: str, model_sha256: str, snapshot: str, settings: ControlSettings, orders: Orders, may_raise: bool,
    problem: str, books: Sequence[StillBook], targets: Mapping[str, Target] | None, decisions: Sequence[Decision],
    question: str, answer: str, switching: str = "normal",
) -> str:  # fmt: skip
    """Return the canonical text. `question`, `answer`: the envelope solver's own canonical texts, empty for none."""
    return canonical(
        {
            "feeder": feeder,
            "model_sha256": model_sha256,
            "snapshot": snapshot,
            "switching": switching,
            "envelope": {"question": json.loads(question or "null"), "answer": json.loads(answer or "null")},
            "control": {
                "settings": asdict(settings),
                "orders": asdict(orders),
                "may_raise": may_raise,
                "problem": problem,
                "books": [asdict(book) for book in books],
                "targets": None if targets is None else {name: asdict(item) for name, item in sorted(targets.items())},
            },
            "decisions": [asdict(item) for item in decisions],
        }
    )


def decide_again(text: str) -> list[dict[str, Any]]:
    """Return what the control law decides on a document's inputs, as plain data."""
    raw = json.loads(text)
    control = raw["control"]
    books = {item["site"]: _book(item) for item in control["books"]}
    targets = control["targets"]
    if targets is not None:
        targets = {
            name: Target(_limit(item["limit"]), Reason(**item["reason"]), item["thermal_only"])
            for name, item in targets.items()
        }
    decisions = decide(
        books, targets, now=0.0, settings=ControlSettings(**control["settings"]), snapshot=raw["snapshot"],
        orders=_orders(control["orders"]), may_raise=control["may_raise"], problem=control["problem"],
    )  # fmt: skip
    return [asdict(item) for item in decisions]


def canonical(data: Any) -> str:
    """Return plain data as canonical JSON: sorted keys, no spaces, no NaN."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _book(raw: dict[str, Any]) -> StillBook:
    terms = _BookTerms(_limit(raw["terms"]["failsafe"]), _limit(raw["terms"]["flexible"]), raw["terms"]["slow"])
    return StillBook(**(raw | {"terms": terms, "held": _limit(raw["held"])}))


def _orders(raw: dict[str, Any]) -> Orders:
    items = tuple(Order(**(item | {"limit": _limit(item["limit"]) if item["limit"] else None})) for item in raw["items"])
    return Orders(raw["mode"], items, raw["known"], raw["topology"])


def _limit(raw: dict[str, int]) -> Limit:
    return Limit(raw["import_w"], raw["export_w"])
