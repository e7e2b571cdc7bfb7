"""Safety bugs of the wires: codecs that round up or turn a sign, and what only SunSpec can do wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from derms.limits import Limit
from telemetry.control.grant import Acknowledgement, Grant, Reading
from telemetry.protocols.dnp3 import codec
from telemetry.protocols.sunspec import client as sunspec_client
from telemetry.protocols.sunspec import codec as sunspec_codec
from tests.simulation.modbus import SunSpecSimulatedSite
from tests.simulation.planted import bug


@bug("the codec rounds a limit up")
def _() -> Iterator[None]:
    with patch.object(codec, "_per_mille", lambda value, rating: min(1000, -(-value * 1000 // rating))):
        yield


@bug("the codec swaps import and export")
def _() -> Iterator[None]:
    right = codec.limit_to_raw
    with patch.object(codec, "limit_to_raw", lambda limit, ratings: right(limit, ratings)[::-1]):
        yield


@bug("the codec reads generation as import")
def _() -> Iterator[None]:
    right = codec.reading

    def mirrored(*args: Any) -> Reading:
        reading = right(*args)
        return replace(reading, power_w=-reading.power_w)

    with patch.object(codec, "reading", mirrored):
        yield


@bug("a SunSpec grant that stood still half-way is finished later")
def _() -> Iterator[None]:
    with patch.object(sunspec_client, "BEGUN_S", 1e9):
        yield


@bug("a SunSpec grant gets its whole lease however long it waited")
def _() -> Iterator[None]:
    right = sunspec_client.SunSpecSite.publish

    async def generous(self: sunspec_client.SunSpecSite, grant: Grant) -> Acknowledgement:
        return await right(self, replace(grant, ttl_s=3.0 * grant.ttl_s))

    with patch.object(sunspec_client.SunSpecSite, "publish", generous):
        yield


@bug("the SunSpec codec rounds the export limit up")
def _() -> Iterator[None]:
    with patch.object(sunspec_codec, "_percent", lambda value_w, most_w, scale: min(1000, -int(-value_w * 1000 // most_w))):
        yield


@bug("the SunSpec codec reads generation as import")
def _() -> Iterator[None]:
    right = sunspec_codec.reading

    def mirrored(*args: Any) -> Reading:
        found = right(*args)
        return replace(found, power_w=-found.power_w)

    with patch.object(sunspec_codec, "reading", mirrored):
        yield


@bug("the SunSpec device goes on when its reversion time is over")
def _() -> Iterator[None]:
    right = SunSpecSimulatedSite.limit_in_force

    def holds(self: SunSpecSimulatedSite) -> Limit:
        kept = self.lease._lease
        return kept.limit if kept is not None else right(self)

    with patch.object(SunSpecSimulatedSite, "limit_in_force", holds):
        yield
