"""Links that lose, delay, repeat and reorder, both ways or one way, between engines and sites."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 3.0


class Silent(Exception):
    """No answer came in time; the request may still arrive, or may have been taken."""


@dataclass
class Link:
    """One engine's way to one site. `cut_out`: requests do not arrive; `cut_back`: answers do not."""

    cut_out: bool = False
    cut_back: bool = False
    loss: float = 0.0
    repeat: float = 0.0
    slow_s: float = 0.0
    buffered_s: float = 0.0

    def heal(self) -> None:
        """Make the link good again."""
        self.cut_out = self.cut_back = False
        self.loss = self.repeat = self.slow_s = self.buffered_s = 0.0


class Network:
    """All links. A request is a function that runs at the site when, and as often as, the message arrives there."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._links: dict[tuple[str, str], Link] = {}
        self.late = self.repeated = self.lost = 0

    def link(self, engine: str, site: str) -> Link:
        """Return the link between two ends."""
        return self._links.setdefault((engine, site), Link())

    def links(self) -> list[Link]:
        """Return all links."""
        return list(self._links.values())

    async def exchange(self, engine: str, site: str, request: Callable[[], Any]) -> Any:
        """Carry one request and its answer; raises Silent after the time-out."""
        loop, link, chance = asyncio.get_running_loop(), self.link(engine, site), self._chance
        answer: asyncio.Future[Any] = loop.create_future()

        def arrive() -> None:
            value = request()
            if value is None or link.cut_back or chance.random() < link.loss:
                self.lost += 1
                return
            loop.call_later(0.01 + chance.random() * link.slow_s, reply, value)

        def reply(value: Any) -> None:
            if not answer.done():
                answer.set_result(value)

        delay = 0.01 + chance.random() * link.slow_s
        if link.cut_out or chance.random() < link.loss:
            if link.buffered_s and chance.random() < 0.5:  # it sits in a buffer and comes out much later
                self.late += 1
                loop.call_later(chance.random() * link.buffered_s, arrive)
            else:
                self.lost += 1
        else:
            loop.call_later(delay, arrive)
            if chance.random() < link.repeat:
                self.repeated += 1
                loop.call_later(delay + chance.random() * 20.0, arrive)
        try:
            return await asyncio.wait_for(answer, TIMEOUT_S)
        except TimeoutError as error:
            raise Silent from error
