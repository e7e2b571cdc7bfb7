"""Who may come in and at which rates: asked of the database each time, or remembered for seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol

from telemetry.utility_models import WireIdentity, WireRate

RATES = {"DeviceCapability": 300, "EndDeviceList": 300, "FunctionSetAssignmentsList": 300, "DERProgramList": 60,
         "DERList": 300, "MirrorUsagePointList": 300, "MirrorUsagePoint": 60}  # fmt: skip
OTHER_RATE_S = 300
REMEMBER_S, REMEMBER_REFUSED_S = 300.0, 10.0
"""A listener drops whoever was revoked every few seconds (`refuse`); a change of role or of hosts may take five minutes."""
MOST_REMEMBERED = 50_000


class Directory(Protocol):
    """What every request asks first."""

    def identity(self, lfdi: str) -> WireIdentity | None:
        """Return what is known of a certificate, or None."""
        ...

    def rate(self, resource: str) -> int:
        """Return a resource's poll or post rate in seconds."""
        ...


class FreshDirectory:
    """Asks the database each time."""

    def identity(self, lfdi: str) -> WireIdentity | None:
        """Return what is known of a certificate, or None."""
        return WireIdentity.objects.filter(lfdi=lfdi).first()

    def rate(self, resource: str) -> int:
        """Return a resource's poll or post rate in seconds."""
        row = WireRate.objects.filter(resource=resource).first()
        return row.seconds if row else RATES.get(resource, OTHER_RATE_S)


class RememberingDirectory:
    """Remembers who is welcome for minutes and who is not for seconds; the listener tells it who was revoked meanwhile."""

    def __init__(self, remember_s: float = REMEMBER_S, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._remember_s, self._monotonic = remember_s, monotonic
        self._fresh = FreshDirectory()
        self._identities: dict[str, tuple[float, WireIdentity | None]] = {}
        self._rates: tuple[float, dict[str, int]] = (-remember_s, {})

    def identity(self, lfdi: str) -> WireIdentity | None:
        """Return what is known of a certificate, or None; misses are remembered too."""
        now = self._monotonic()
        held = self._identities.get(lfdi)
        if held is None or now - held[0] >= self._lasts(held[1]):
            if len(self._identities) >= MOST_REMEMBERED:
                self._identities.clear()
            held = self._identities[lfdi] = (now, self._fresh.identity(lfdi))
        return held[1]

    def rate(self, resource: str) -> int:
        """Return a resource's poll or post rate in seconds."""
        now = self._monotonic()
        if now - self._rates[0] >= min(self._remember_s, REMEMBER_REFUSED_S):
            self._rates = (now, dict(WireRate.objects.values_list("resource", "seconds")))
        return self._rates[1].get(resource) or RATES.get(resource, OTHER_RATE_S)

    def _lasts(self, held: WireIdentity | None) -> float:
        welcome = held is not None and held.granted
        return self._remember_s if welcome else min(self._remember_s, REMEMBER_REFUSED_S)

    def refuse(self, revoked: Iterable[str]) -> None:
        """Forget those whose access was taken away: the next request asks the database."""
        for lfdi in revoked:
            self._identities.pop(lfdi, None)

    def forget(self) -> None:
        """Ask the database again from now on."""
        self._identities.clear()
        self._rates = (-self._remember_s, {})
