"""What the outstation towards SCADA needs behind it: a desk that takes its orders, and a picture of the house."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from telemetry.protocols.dnp3.scada_state import House


class OrderDesk(Protocol):
    """Takes a control centre's orders. Calls return when the order is stored; they raise leaves of `HeadroomError`.

    `centre`: the control centre's configured name; it may only end what it ordered itself.
    """

    def curtail_all(self, centre: str, on: bool) -> None:
        """Order every site of every feeder to its failsafe limit, or end this centre's orders to do so."""
        ...

    def failsafe(self, centre: str, feeder: str, on: bool) -> None:
        """Order a feeder's sites to their failsafe limits, or end this centre's order to do so."""
        ...

    def limit(self, centre: str, scope: str, name: str, side: str, most_w: int | None, seconds: float) -> None:
        """Limit a feeder's sites together, or one site, on one side ("import", "export") for a time; None ends it."""
        ...

    def measured(self, feeder: str, power_w: float, reactive_var: float) -> None:
        """Take a measurement of a feeder's head, import positive."""
        ...

    def house(self) -> House:
        """Return the picture as it stands now, orders included."""
        ...


@dataclass(frozen=True, slots=True)
class Centre:
    """One control centre: an association with its own port, addresses, events and rights.

    `allow`: names or `sha256:` fingerprints of certificates; empty means plain TCP, which only loopback may have, or
    who sets `plain_beyond_loopback`.
    """

    name: str
    host: str = "127.0.0.1"
    port: int = 20_000
    master: int = 1
    commands: bool = True
    unsolicited: bool = False
    allow: frozenset[str] = frozenset()
    plain_beyond_loopback: bool = False
