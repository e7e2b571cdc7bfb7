"""A site that speaks SunSpec: models 1, 701, 702, 704, 713, 715 over Modbus/TCP, with reversion timers.

The timers run on the site's own clock, in the product's own lease: enabling `WSet` with `WSetRvrtTms` offers a lease of
that length; when it is over, the reversion values are in force, which are the site's stored failsafe.
"""

from __future__ import annotations

import asyncio
from typing import Any

import sunspec2.device as sunspec
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from derms.errors import InputError
from derms.limits import Limit
from telemetry.protocols.site_device import SiteDevice
from telemetry.protocols.sunspec.codec import BASE, END, MARKER, octets, words

MODELS = (1, 701, 702, 704, 713, 715)
DEVICE_ID = 1
PERCENT_SCALE = -1
WRITABLE_FUNCTIONS = (6, 16)


class SunSpecSiteServer:
    """One site's SunSpec server; create it with `serve_sunspec`."""

    def __init__(self, device: SiteDevice, host: str, port: int, *, watt_scale: int | None = None) -> None:
        if host in ("", "0.0.0.0", "::"):  # noqa: S104  (refused, not bound)
            raise InputError("Modbus does not listen on every address", where="host", remedy="Name one address.")
        self._device, self._host = device, host
        self._watt_scale = _scale_for(device.nameplate) if watt_scale is None else watt_scale
        self._order = device.lease.order_floor[1]
        self._models = {number: sunspec.Model(number) for number in MODELS}
        self._fill_static()
        self._layout()
        self.refresh()
        image = SimData(BASE, values=self._registers(), datatype=DataType.REGISTERS)
        device_map = SimDevice(id=DEVICE_ID, simdata=[image], action=self._action)
        self._server = ModbusTcpServer(device_map, address=(host, port))
        self._task: asyncio.Task[Any] | None = None
        self.port = port

    async def start(self) -> None:
        """Listen."""
        self._task = asyncio.create_task(self._server.serve_forever(background=False))
        while self._server.transport is None:
            if self._task.done():
                self._task.result()
            await asyncio.sleep(0.005)
        transport: Any = self._server.transport
        self.port = transport.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening."""
        await self._server.shutdown()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def refresh(self) -> None:
        """Take measurements and the present state of the lease into the registers."""
        measured, scale = self._device.measurements(), 10**self._watt_scale
        m = self._models
        m[701].W.value = round(-measured.power_w / scale)
        m[701].VA.value = abs(m[701].W.value)
        m[701].Var.value = round(-measured.reactive_var / scale)
        m[701].LNV.value = round(measured.voltage_pu * 277 * 10)
        m[713].SoC.value = round(measured.state_of_charge_percent * 10)
        m[713].WHAvail.value = min(65_000, round(measured.energy_wh / 1000))
        m[715].DERHb.value = (m[715].DERHb.value + 1) % 2**32
        self._show_lease()

    def _show_lease(self) -> None:
        now = self._device.monotonic()
        lease, control = self._device.lease.lease(now), self._models[704]
        limit = self._device.lease.limit(now)
        left = 0 if lease is None else max(1, int(lease.ends - now))
        control.WSetRvrtRem.value = control.WMaxLimPctRvrtRem.value = left
        control.WSetEna.value = control.WMaxLimPctEna.value = 1
        control.WSet.value = -limit.import_w
        control.WMaxLimPct.value = self._percent_up(limit.export_w)

    def _percent_up(self, value_w: int) -> int:
        """What is shown is never tighter than what is in force."""
        return min(1000, -(-value_w * 1000 // self._device.nameplate.export_w)) if self._device.nameplate.export_w else 0

    def _fill_static(self) -> None:
        m, nameplate, scale = self._models, self._device.nameplate, 10**self._watt_scale
        m[1].Mn.value, m[1].Md.value, m[1].Vr.value, m[1].SN.value = (
            "Headroom",
            "V2G site twin",
            "1",
            self._device.site[:32],
        )
        for name, value in {
            "A_SF": 0, "V_SF": -1, "Hz_SF": -2, "W_SF": self._watt_scale, "PF_SF": -2, "VA_SF": self._watt_scale,
            "Var_SF": self._watt_scale, "TotWh_SF": 0, "TotVarh_SF": 0, "Tmp_SF": 0,
        }.items():  # fmt: skip
            m[701].points[name].value = value
        m[701].InvSt.value, m[701].ConnSt.value, m[701].Hz.value = 3, 1, 6000
        for name in ("W_SF", "PF_SF", "VA_SF", "Var_SF", "V_SF", "A_SF", "S_SF"):
            m[702].points[name].value = self._watt_scale if name in ("W_SF", "VA_SF", "Var_SF") else 0
        for name in ("WChaRteMaxRtg", "WChaRteMax"):
            m[702].points[name].value = nameplate.import_w // scale
        for name in ("WMaxRtg", "WMax", "WDisChaRteMaxRtg", "WDisChaRteMax", "VAMaxRtg", "VAMax"):
            m[702].points[name].value = nameplate.export_w // scale
        for name, value in {"PF_SF": 0, "WMaxLimPct_SF": PERCENT_SCALE, "WSet_SF": 0, "WSetPct_SF": -1, "VarSet_SF": 0,
                            "VarSetPct_SF": -1, "WSetMod": 1, "WSetEnaRvrt": 1, "WMaxLimPctEnaRvrt": 1, "WSetRvrtTms": 0,
                            "WMaxLimPctRvrtTms": 0, "WSetPct": 0, "WSetPctRvrt": 0}.items():  # fmt: skip
            m[704].points[name].value = value
        m[704].WSetRvrt.value = -self._device.lease.failsafe.import_w
        m[704].WMaxLimPctRvrt.value = self._percent_up(self._device.lease.failsafe.export_w)
        m[713].WH_SF.value, m[713].Pct_SF.value = 3, -1
        m[715].LocRemCtl.value, m[715].DERHb.value, m[715].ControllerHb.value = 0, 0, 0

    def _layout(self) -> None:
        self._addresses, address = {}, BASE + 2
        for number, model in self._models.items():
            model.points["ID"].value = number
            model.points["L"].value = len(model.get_mb()) // 2 - 2
            self._addresses[number] = address
            address += len(model.get_mb()) // 2

    def _registers(self) -> list[int]:
        found = list(MARKER)
        for model in self._models.values():
            found += words(model.get_mb())
        return [*found, END, 0]

    async def _action(
        self, function: int, start: int, address: int, count: int, registers: list[int], values: list[Any] | None
    ) -> ExcCodes | None:
        """Answer a request: registers are made anew for each read, and a write passes `_written` first."""
        if values is not None:
            refusal = self._written(address, [int(value) for value in values])
            if refusal is not None:
                return refusal
        registers[:] = self._registers()
        return None

    def _written(self, address: int, values: list[int]) -> ExcCodes | None:
        first = address - self._addresses[704]
        if not 14 <= first or first + len(values) > 33:
            return ExcCodes.ILLEGAL_ADDRESS
        if any(first <= read_only < first + len(values) for read_only in (20, 21)):
            return ExcCodes.ILLEGAL_ADDRESS
        control = self._models[704]
        before = control.get_mb()
        registers = words(before)
        registers[first : first + len(values)] = values
        control.set_mb(octets(registers), dirty=False)
        nameplate = self._device.nameplate
        if control.WMaxLimPct.value > 1000 or not -nameplate.import_w <= control.WSet.value <= nameplate.export_w:
            control.set_mb(before, dirty=False)
            return ExcCodes.ILLEGAL_VALUE
        if first <= 22 < first + len(values) and control.WSetEna.value == 1:
            self._offer(control)
        return None

    def _offer(self, control: Any) -> None:
        """Enabling the set-point takes all staged parameters into force, for the reversion time."""
        now, self._order = self._device.monotonic(), self._order + 1
        limit = Limit(
            max(0, -int(control.WSet.value)), int(control.WMaxLimPct.value) * self._device.nameplate.export_w // 1000
        )
        seconds = float(min(control.WSetRvrtTms.value, control.WMaxLimPctRvrtTms.value))
        self._device.lease.offer(limit, epoch=0, sequence=self._order, ttl_s=seconds, stamp=now, now=now)
        self._show_lease()


def _scale_for(nameplate: Limit) -> int:
    """Return the smallest power of ten at which twice the nameplate fits a signed register."""
    scale = 0
    while 2 * max(nameplate.import_w, nameplate.export_w) > 32_767 * 10**scale:
        scale += 1
    return scale


async def serve_sunspec(device: SiteDevice, host: str = "127.0.0.1", port: int = 0, **options: int) -> SunSpecSiteServer:
    """Start a site's SunSpec server; port 0 picks a free one."""
    server = SunSpecSiteServer(device, host, port, **options)
    await server.start()
    return server
