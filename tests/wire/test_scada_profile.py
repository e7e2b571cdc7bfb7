"""The Device Profile is an interface: it is generated, checked in, and compared."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from telemetry.protocols.dnp3 import scada_points as p
from tests.wire import scada_profile, scada_tables

SPACE = "{http://www.dnp.org/DNP3/DeviceProfile}"


def test_the_checked_in_device_profile_is_what_the_outstation_says() -> None:
    assert scada_profile.document() == scada_profile.CHECKED_IN.read_text(), (
        "the interface towards SCADA changed: python -m tests.wire.scada_profile, and a line in the changelog"
    )


def test_the_profile_lists_every_point_and_no_direct_operate() -> None:
    root = ET.fromstring(scada_profile.CHECKED_IN.read_text())
    lists = {"BI": "binaryInput", "AI": "analogInput", "BO": "binaryOutput", "AO": "analogOutput"}
    for kind, element in lists.items():
        listed = {
            (int(item.findtext(f"{SPACE}index") or -1), item.findtext(f"{SPACE}name"))
            for item in root.iter(f"{SPACE}{element}") if item.find(f"{SPACE}index") is not None
        }  # fmt: skip
        points = p.point_map(scada_profile.FEEDERS, scada_profile.SITES)
        assert listed == {(point.index, point.name) for point in points if point.kind == kind}
    allowed = {"supportSelectOperate", "supportLatchOn", "supportLatchOff"}
    for operations in root.iter(f"{SPACE}supportedControlOperations"):
        assert {item.tag.removeprefix(SPACE) for item in operations} <= allowed


def test_the_manuals_point_tables_are_those_of_the_map() -> None:
    text = scada_tables.PAGE.read_text()
    assert text.count("<!-- feeder -->") == 2
    assert scada_tables.fill(text) == text, "python -m tests.wire.scada_tables"
