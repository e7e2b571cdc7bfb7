"""Who does at the site what the test needs: a person who is asked, or a command of a test rig."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable

from derms.errors import RemoteError

WORDS = {
    "charge": "Let all vehicles charge with full power.",
    "discharge": "Let all vehicles discharge with full power.",
    "power-cycle": "Take the controller's supply away for ten seconds and give it back.",
}
RIG_S = 300.0


class Person:
    """Asks a person and waits for Enter. `ask`: shows a text and returns when the person has answered."""

    def __init__(self, ask: Callable[[str], object]) -> None:
        self._ask = ask

    async def charge(self) -> None:
        """Ask for charging."""
        await self._do("charge")

    async def discharge(self) -> None:
        """Ask for discharging."""
        await self._do("discharge")

    async def power_cycle(self) -> None:
        """Ask for a loss of supply."""
        await self._do("power-cycle")

    async def _do(self, word: str) -> None:
        await asyncio.to_thread(self._ask, f"{WORDS[word]} Then press Enter. ")


class RigCommand(Person):
    """Runs a command with one more word: charge, discharge or power-cycle. Exit status 0 means that it was done."""

    def __init__(self, command: str) -> None:
        super().__init__(print)
        self._command = shlex.split(command)

    async def _do(self, word: str) -> None:
        process = await asyncio.create_subprocess_exec(*self._command, word)
        try:
            status = await asyncio.wait_for(process.wait(), RIG_S)
        except TimeoutError as error:
            process.kill()
            raise RemoteError(f"the rig did not {word} within {RIG_S:.0f} s", where="rig") from error
        if status:
            raise RemoteError(f"the rig could not {word} (status {status})", where="rig")
