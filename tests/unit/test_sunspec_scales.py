"""Several vendors' scale factors: whatever the registers' steps are, what goes out is never looser than the limit."""

from __future__ import annotations

import sunspec2.device as sunspec
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from derms.limits import Limit
from telemetry.protocols.sunspec import codec
from telemetry.protocols.sunspec.codec import Image, grant_writes, limit_in_force, octets, ratings, reading, words

no_deadline = hypothesis_settings(deadline=None)  # no time in a test

MOST = st.integers(1_000, 30_000)


def image(*, w: int, wset: int, percent: int, import_raw: int, export_raw: int, storage: bool = True) -> Image:
    """Return registers: ratings in counts of 10**w watts, set-points of 10**wset watts, limits of 10**percent per cent."""
    models = {number: sunspec.Model(number) for number in (701, 702, 704, *((713,) if storage else ()))}
    for number, model in models.items():
        model.points["ID"].value = number
        model.points["L"].value = len(model.get_mb()) // 2 - 2
    for name in ("WMaxRtg", "WMax", "WDisChaRteMaxRtg", "WDisChaRteMax"):
        models[702].points[name].value = export_raw
    for name in ("WChaRteMaxRtg", "WChaRteMax"):
        models[702].points[name].value = import_raw
    models[702].W_SF.value = models[701].W_SF.value = w
    models[701].W.value, models[701].Var.value, models[701].Var_SF.value = -123, 0, w
    models[704].WSet_SF.value, models[704].WMaxLimPct_SF.value = wset, percent
    models[704].WSetPct_SF.value = models[704].VarSet_SF.value = models[704].VarSetPct_SF.value = 0
    for name in ("WMaxLimPct", "WMaxLimPctEna", "WSet", "WSetEna", "WSetRvrtRem"):
        models[704].points[name].value = 0
    made, address = Image(), codec.BASE + 2
    for number, model in models.items():
        made.addresses[number], made.models[number] = address, bytearray(model.get_mb())
        address += len(model.get_mb()) // 2
    return made


def obey(device: Image, limit: Limit, failsafe: Limit) -> tuple[Limit | None, dict[int, list[int]]]:
    """Write a grant into a device's registers as the wire would, and return what the device then says it obeys."""
    writes = grant_writes(device, limit, failsafe, 60)
    registers = words(bytes(device.models[704]))
    sent = dict(writes.parameters + writes.enables)
    for first, values in writes.parameters + writes.enables:
        registers[first : first + len(values)] = values
    device.models[704][:] = octets(registers)
    return limit_in_force(device, ratings(device)), sent


@no_deadline
@given(st.integers(0, 2), st.integers(-1, 3), st.integers(-2, 0), MOST, MOST, st.floats(0, 1), st.floats(0, 1))
def test_a_limit_decoded_from_any_vendors_registers_is_within_what_was_granted(
    w: int, wset: int, percent: int, import_raw: int, export_raw: int, one: float, two: float
) -> None:
    device = image(w=w, wset=wset, percent=percent, import_raw=import_raw, export_raw=export_raw)
    nameplate = ratings(device)
    granted, failsafe = nameplate.scaled(one), Limit(0, 0)
    shown, _ = obey(device, granted, failsafe)
    assert shown is not None
    assert shown.within(granted)
    assert granted.import_w - shown.import_w <= max(1, 10**wset)
    assert granted.export_w - shown.export_w <= nameplate.export_w * 10**percent / 100 + 1
    assert shown.scaled(two).within(granted)


@no_deadline
@given(st.integers(-1, 3), st.integers(-2, 0))
def test_parameters_come_before_the_enables_and_carry_the_reversion(wset: int, percent: int) -> None:
    """SunSpec 704: the enables stand at the lowest registers, so they need a write of their own, last."""
    device = image(w=1, wset=wset, percent=percent, import_raw=6_000, export_raw=6_000)
    writes = grant_writes(device, Limit(30_000, 20_000), Limit(6_000, 3_000), 60)
    assert [first for first, _ in writes.enables] == [14, 22]
    assert all(values == [1] for _, values in writes.enables)
    obey(device, Limit(30_000, 20_000), Limit(6_000, 3_000))
    control = device.points(704)
    assert control.WSetRvrtTms.value == control.WMaxLimPctRvrtTms.value == 60
    assert control.WSetEnaRvrt.value == control.WMaxLimPctEnaRvrt.value == 1
    assert 0 <= -control.WSetRvrt.cvalue <= 6_000
    assert 0 <= control.WMaxLimPctRvrt.cvalue <= 5.0


def test_a_charger_without_storage_of_its_own_is_read_without_a_state_of_charge() -> None:
    found = reading("s", image(w=0, wset=0, percent=-1, import_raw=20_000, export_raw=20_000, storage=False), 0.0)
    assert found.power_w == 123.0
    assert found.state_of_charge_percent is None
