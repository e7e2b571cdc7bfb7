"""A few confined children kept compiled between questions: the second question about a feeder costs no start."""

from __future__ import annotations

import atexit
import threading
from collections import OrderedDict
from typing import Any

from derms.errors import LocalError
from derms.sandbox.feeder_process import FeederProcess

KEPT = 2
"""Children kept, each a few hundred megabytes on a feeder of some thousand nodes."""


class WarmChildren:
    """At most `kept` children, by the hash of their model; the one asked longest ago ends first. Safe for threads."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._children: OrderedDict[str, tuple[FeederProcess, threading.Lock]] = OrderedDict()

    def call(self, sha256: str, text: str, name: str, arguments: dict[str, Any], *, timeout_s: float) -> dict[str, Any]:
        """Ask a model's child; one that died or overran is started again once. Raises what the call raises."""
        failed = False
        while True:
            child, mine = self._child(sha256, text)
            with mine:
                if not self._keeps(sha256, child):
                    continue  # it was ended between the two locks, for a model that was asked later
                try:
                    return child.call(name, arguments, timeout_s=timeout_s)
                except LocalError:
                    self._drop(sha256, child)
                    if failed:
                        raise
                    failed = True

    def close(self) -> None:
        """End all children."""
        with self._lock:
            children, self._children = list(self._children.values()), OrderedDict()
        for child, _ in children:
            child.close()

    def _child(self, sha256: str, text: str) -> tuple[FeederProcess, threading.Lock]:
        with self._lock:
            if sha256 not in self._children:
                self._children[sha256] = (FeederProcess(text), threading.Lock())
            self._children.move_to_end(sha256)
            old = []
            for key in list(self._children):
                child, mine = self._children[key]
                # One that is answering now is left alone, even beyond the number kept.
                if len(self._children) > self._kept and key != sha256 and mine.acquire(blocking=False):
                    del self._children[key]
                    old.append((child, mine))
            found = self._children[sha256]
        for child, mine in old:
            child.close()
            mine.release()  # somebody may hold this lock's child since before it was ended, and wait for it
        return found

    def _keeps(self, sha256: str, child: FeederProcess) -> bool:
        with self._lock:
            return sha256 in self._children and self._children[sha256][0] is child

    def _drop(self, sha256: str, child: FeederProcess) -> None:
        child.close()
        with self._lock:
            if sha256 in self._children and self._children[sha256][0] is child:
                del self._children[sha256]


CHILDREN = WarmChildren()
atexit.register(CHILDREN.close)
