"""A site that speaks SunSpec: models 1, 701, 702, 703, 704, 713, 715 over Modbus/TCP, with reversion timers.

The timers run on the site's own clock, in the product's own lease: enabling `WSet` with `WSetRvrtTms`, or writing it anew,
offers a lease of that length; when it is over, the site's stored failsafe is in force, whatever a client wrote as its
reversion. A set-point without a timer is refused: nothing would end it. What lowers needs no timer: `WMaxLimPct`, the
ceilings of 702, and 703 `ES`.
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

MODELS = (1, 701, 702, 703, 704, 713, 715)
DEVICE_ID = 1
PERCENT_SCALE = -1
WRITABLE = {
    702: ("WMax", "WChaRteMax", "WDisChaRteMax"),
    703: ("ES",),
    704: ("WMaxLimPctEna", "WMaxLimPct", "WMaxLimPctRvrt", "WMaxLimPctEnaRvrt", "WMaxLimPctRvrtTms", "WSetEna", "WSetMod",
          "WSet", "WSetRvrt", "WSetPct", "WSetPctRvrt", "WSetEnaRvrt", "WSetRvrtTms"),
}  # fmt: skip


class SunSpecSiteServer:
    """One site's SunSpec server; create it with `serve_sunspec`."""

    def __init__(self, device: SiteDevice, host: str, port: int, *, watt_scale: int | None = None) -> None:
        if host in ("", "0.0.0.0", "::"):  # noqa: S104  (refused, not bound)
            raise InputError("Modbus does not listen on every address", where="host", remedy="Name one address.")
        self._device, self._host = device, host
        self._watt_scale = _scale_for(device.nameplate) if watt_scale is None else watt_scale
        self._order = device.lease.order_floor[1]
        self._set_point_w, self._capped = 0, False
        self._models = {number: sunspec.Model(number) for number in MODELS}
        self._shown = sunspec.Model(704)
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
        m[701].InvSt.value, m[701].ConnSt.value = (3, 1) if self.energised else (7, 0)
        m[715].DERHb.value = (m[715].DERHb.value + 1) % 2**32
        self._show_lease()

    @property
    def energised(self) -> bool:
        """Say whether the site may exchange power at all (703 ES)."""
        return bool(self._models[703].ES.value)

    @property
    def ceiling(self) -> Limit:
        """Return the static ceilings of 702: what they lower, they lower without a timer."""
        capacity = self._models[702]
        export = min(capacity.WMax.cvalue, capacity.WDisChaRteMax.cvalue)
        return Limit.of(capacity.WChaRteMax.cvalue, export)

    @property
    def set_point_w(self) -> int | None:
        """Return the set-point in force, watts, generation positive as SunSpec has it; None without a lease."""
        return self._set_point_w if self._device.lease.lease(self._device.monotonic()) is not None else None

    def _show_lease(self) -> None:
        now = self._device.monotonic()
        lease, control = self._device.lease.lease(now), self._shown
        # Beside what a client staged, never over it: a refresh between its writes must not change what its enable takes.
        control.set_mb(self._models[704].get_mb(), dirty=False)
        limit = self._device.lease.limit(now)
        left = 0 if lease is None else max(1, int(lease.ends - now))
        control.WSetRvrtRem.value = control.WMaxLimPctRvrtRem.value = left
        control.WSetEna.value = 1
        control.WMaxLimPctEna.value = int(lease is None or self._capped)
        control.WSet.value = self._set_point_w if lease is not None and self._set_point_w > 0 else -limit.import_w
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
        m[701].Hz.value = 6000
        m[703].ES.value, m[703].V_SF.value, m[703].Hz_SF.value = 1, -1, -2
        for name in ("W_SF", "PF_SF", "VA_SF", "Var_SF", "V_SF", "A_SF", "S_SF"):
            m[702].points[name].value = self._watt_scale if name in ("W_SF", "VA_SF", "Var_SF") else 0
        for name in ("WChaRteMaxRtg", "WChaRteMax"):
            m[702].points[name].value = nameplate.import_w // scale
        for name in ("WMaxRtg", "WMax", "WDisChaRteMaxRtg", "WDisChaRteMax", "VAMaxRtg", "VAMax"):
            m[702].points[name].value = nameplate.export_w // scale
        for name, value in {"PF_SF": 0, "WMaxLimPct_SF": PERCENT_SCALE, "WSet_SF": 0, "WSetPct_SF": -1, "VarSet_SF": 0,
                            "VarSetPct_SF": -1, "WSetMod": 1, "WSetEnaRvrt": 1, "WMaxLimPctEnaRvrt": 1, "WSetRvrtTms": 0,
                            "WMaxLimPctRvrtTms": 0, "WSetPct": 0, "WSetPctRvrt": 0, "WSet": 0, "WSetEna": 0,
                            "WMaxLimPct": 1000, "WMaxLimPctEna": 0}.items():  # fmt: skip
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
        for number, model in self._models.items():
            found += words((self._shown if number == 704 else model).get_mb())
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
        """Take a write whole or refuse it whole: one model, writable points only, in range."""
        model = next((number for number, start in self._addresses.items()
                      if start <= address < start + len(self._models[number].get_mb()) // 2), None)  # fmt: skip
        if model not in WRITABLE:
            return ExcCodes.ILLEGAL_ADDRESS
        first, points = address - self._addresses[model], self._models[model].points
        places = {points[name].offset + step: name for name in WRITABLE[model] for step in range(points[name].len)}
        if any(first + place not in places for place in range(len(values))):
            return ExcCodes.ILLEGAL_ADDRESS
        before = self._models[model].get_mb()
        registers = words(before)
        registers[first : first + len(values)] = values
        self._models[model].set_mb(octets(registers), dirty=False)
        if not self._lawful():
            self._models[model].set_mb(before, dirty=False)
            return ExcCodes.ILLEGAL_VALUE
        touched = {places[first + place] for place in range(len(values))}
        if "WMaxLimPctEna" in touched:
            self._capped = bool(self._models[704].WMaxLimPctEna.value)
        if touched & {"WSetEna", "WSet"} and self._models[704].WSetEna.value == 1:
            self._offer(self._models[704])
        elif touched & {"WMaxLimPct", "WMaxLimPctEna", *WRITABLE[702]}:
            self._tighten()
        return None

    def _tighten(self) -> None:
        """What lowers holds at once: a lease in force goes on to its end, met with the caps as they stand now."""
        now = self._device.monotonic()
        lease = self._device.lease.lease(now)
        if lease is None:
            return
        export_w = lease.limit.export_w
        if self._capped:
            export_w = min(export_w, int(self._models[704].WMaxLimPct.value) * self._device.nameplate.export_w // 1000)
        limit, self._order = Limit(lease.limit.import_w, export_w).meet(self.ceiling), self._order + 1
        if limit != lease.limit:
            self._device.lease.offer(limit, epoch=0, sequence=self._order, ttl_s=lease.ends - now, stamp=now, now=now)
        self._show_lease()

    def _lawful(self) -> bool:
        control, capacity, most = self._models[704], self._models[702], self._device.nameplate
        ceilings = capacity.WChaRteMax.value <= capacity.WChaRteMaxRtg.value and all(
            capacity.points[name].value <= capacity.points[name + "Rtg"].value for name in ("WMax", "WDisChaRteMax")
        )
        set_point = -most.import_w <= control.WSet.value <= most.export_w
        return ceilings and set_point and control.WMaxLimPct.value <= 1000

    def _offer(self, control: Any) -> None:
        """Take the set-point into force for the reversion time: the shorter one where both functions have one.

        Written while it was enabled, a set-point comes before its enable: the parameters of a new grant restart the timer
        with the old ones for a moment, and the enable that follows settles it.
        """
        now, self._order = self._device.monotonic(), self._order + 1
        self._set_point_w = int(control.WSet.value)
        export_w = max(0, self._set_point_w)
        if self._capped:
            export_w = int(control.WMaxLimPct.value) * self._device.nameplate.export_w // 1000
        timers = [int(timer) for timer in (control.WSetRvrtTms.value, control.WMaxLimPctRvrtTms.value) if timer]
        limit = Limit(max(0, -self._set_point_w), export_w).meet(self.ceiling)
        seconds = float(min(timers)) if control.WSetRvrtTms.value else 0.0
        if seconds > 0:
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
