"""A child that is ended for another model's sake leaves nobody waiting for its lock."""

from __future__ import annotations

from typing import Any

import pytest

from derms.errors import LocalError
from derms.sandbox import warm_children
from derms.sandbox.warm_children import WarmChildren


class Child:
    """Stands in for a compiled feeder; answers which text it holds."""

    def __init__(self, text: str) -> None:
        self.text, self.closed = text, False

    def call(self, name: str, arguments: dict[str, Any], *, timeout_s: float) -> dict[str, Any]:
        if self.closed:
            raise LocalError("the feeder's process has ended")
        return {"text": self.text}

    def close(self) -> None:
        self.closed = True


def test_who_holds_a_child_that_is_evicted_before_it_is_asked_gets_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_children, "FeederProcess", Child)
    children = WarmChildren(kept=1)
    found, turns = children._child, []

    def late(sha256: str, text: str) -> Any:
        pair = found(sha256, text)
        turns.append(sha256)
        if len(turns) <= 3:  # each time before it takes the lock, another model is asked
            found("other", "other")
            assert pair[1].acquire(blocking=False), "the eviction gave the lock back"
            pair[1].release()
        return pair

    monkeypatch.setattr(children, "_child", late)
    assert children.call("a", "a", "x", {}, timeout_s=1.0) == {"text": "a"}
    assert turns == ["a"] * 4
