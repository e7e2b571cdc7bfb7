"""What an applicant asks for: one typed record, its checks that need no database, and differences between two of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any

from derms.errors import InputError
from derms.units import finite, watts

MOST_COUNT = 100_000
DAYS, HOURS = 7, 24
DOCUMENT_KINDS = ("one_line", "site_plan", "protection_settings", "relay_coordination", "authorisation_letter", "insurance")
CHOICES = {
    "protocol": ("dnp3", "sunspec", "ieee2030_5"),
    "export_mode": ("none", "limited", "scheduled", "dynamic", "full"),
    "limit_means": ("pcs", "ems", "relay", "utility"),
    "inverter_place": ("charger", "vehicle"),
}


@dataclass(frozen=True, slots=True)
class Request:
    """An application's fields: watts, volt-amperes, watt-hours, volts, amperes; fractions for states of charge."""

    name: str
    feeder: str
    bus: str
    phases: str
    import_w: int
    export_w: int
    charger_model: str
    charger_count: int
    charger_import_w: int
    charger_export_w: int
    need_wh_per_day: int
    wanted: date
    protocol: str = "dnp3"
    address: str = ""
    account: str = ""
    contact: str = ""
    contact_email: str = ""
    contact_phone: str = ""
    transformer: str = ""
    transformer_va: int | None = None
    service_v: int | None = None
    service_a: int | None = None
    secondary_shared: bool = False
    spot_network: bool = False
    import_va: int | None = None
    export_va: int | None = None
    export_mode: str = "dynamic"
    limit_means: str = "utility"
    charger_make: str = ""
    inverter_place: str = "charger"
    charger_fault_pu: float = 1.2
    certificates: list[dict[str, str]] = field(default_factory=list)
    vehicle_model: str = ""
    vehicle_count: int = 0
    vehicle_wh: int = 0
    storage_w: int = 0
    storage_wh: int = 0
    pv_w: int = 0
    load_most_w: int = 0
    load_least_w: int = 0
    schedule: dict[str, Any] = field(default_factory=dict)
    documents: list[dict[str, str]] = field(default_factory=list)
    rule_pack: str = "us-sgip-like"

    def document(self) -> dict[str, Any]:
        """Return the fields as plain data that JSON takes."""
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        return plain | {"wanted": self.wanted.isoformat()}

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Request:
        """Rebuild a request from `document()`; raises InputError naming a field that is unknown or missing."""
        unknown = sorted(set(document) - {item.name for item in fields(cls)})
        if unknown:
            raise InputError(f"unknown field {unknown[0]!r}", where=unknown[0])
        try:
            return cls(**{**document, "wanted": date.fromisoformat(str(document["wanted"]))})
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not an application: {error}", where="document") from error


STORED = tuple(item.name for item in fields(Request) if item.name != "feeder")
"""The fields that an application's row holds under the same name."""
_WATTS = (
    "import_w", "export_w", "charger_import_w", "charger_export_w", "need_wh_per_day", "vehicle_wh", "storage_w",
    "storage_wh", "pv_w", "load_most_w", "load_least_w",
)  # fmt: skip
_OPTIONAL = ("transformer_va", "import_va", "export_va", "service_v", "service_a")
_TEXTS = {"name": 120, "bus": 64, "charger_model": 120, "address": 200, "account": 40, "contact": 120, "contact_email": 254,
          "contact_phone": 40, "transformer": 64, "charger_make": 80, "vehicle_model": 120, "rule_pack": 64}  # fmt: skip


def check(request: Request) -> None:
    """Raise InputError for the first field whose value cannot be; whether something is missing is completeness."""
    if not request.name.strip():
        raise InputError("the application has no name", where="name", remedy="Name the site.")
    for name, most in _TEXTS.items():
        if not isinstance(value := getattr(request, name), str) or len(value) > most or "\x00" in value:
            raise InputError(f"{name} is no text of at most {most} characters", where=name)
    _check_count(request.charger_count, "charger_count", least=1)
    _check_count(request.vehicle_count, "vehicle_count", least=0)
    for name in _WATTS:
        watts(getattr(request, name), where=outside(name))
    for name in _OPTIONAL:
        if getattr(request, name) is not None and watts(getattr(request, name), where=outside(name)) == 0:
            raise InputError(f"{name} is zero", where=outside(name), remedy="Leave it out when it is not known.")
    _check_nameplates(request)
    for name, known in CHOICES.items():
        if getattr(request, name) not in known:
            raise InputError(f"unknown {name} {getattr(request, name)!r}", where=name, remedy=" or ".join(known))
    if not 0 <= finite(request.charger_fault_pu, where="charger_fault_pu") <= 10:
        raise InputError("the fault current is outside 0..10 times rated", where="charger_fault_pu")
    if request.load_least_w > request.load_most_w:
        raise InputError("the least load is above the largest", where="load_least_kw")
    if not date(2020, 1, 1) <= request.wanted <= date(2100, 12, 31):
        raise InputError("the date is not in 2020..2100", where="wanted")
    check_schedule(request.schedule)
    _check_lists(request)


def outside(name: str) -> str:
    """Return the name that people and the API use for a field: kilowatts outside, watts inside."""
    if name.endswith("_wh_per_day"):
        return name.replace("_wh_", "_kwh_")
    for inside, shown in (("_wh", "_kwh"), ("_va", "_kva"), ("_w", "_kw")):
        if name.endswith(inside):
            return name.removesuffix(inside) + shown
    return name


def _check_count(value: object, where: str, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MOST_COUNT:
        what = "there is no charger" if where == "charger_count" and value == 0 else f"{value!r} is not a count"
        raise InputError(what, where=where, remedy=f"A whole number from {least} to {MOST_COUNT}.")


def _check_nameplates(request: Request) -> None:
    for side in ("import", "export"):
        asked = getattr(request, f"{side}_w")
        nameplate = request.charger_count * watts(getattr(request, f"charger_{side}_w"), where=f"charger_{side}_kw")
        if asked > nameplate:
            raise InputError(
                f"{side} of {asked / 1000:g} kW is above the chargers' nameplates of {nameplate / 1000:g} kW",
                where=f"{side}_kw",
                remedy="Ask for at most the sum of the nameplates, or add chargers.",
            )
        apparent = getattr(request, f"{side}_va")
        if apparent is not None and apparent < asked:
            raise InputError(f"{side}: less kVA than kW", where=f"{side}_kva", remedy="kVA are at least the kW.")
    if request.import_w == 0 and request.export_w == 0:
        raise InputError("nothing is asked for", where="import_kw", remedy="Ask for import, export or both.")


def check_schedule(schedule: object) -> None:
    """Raise InputError unless a schedule is empty or 7 x 24 watts needed and 7 x 24 states of charge (0..1 or nothing)."""
    if not isinstance(schedule, dict) or set(schedule) - {"need_w", "departure_soc"}:
        raise InputError("a schedule has need_w and departure_soc", where="schedule")
    for name, rows in schedule.items():
        if not isinstance(rows, list) or len(rows) != DAYS or any(not isinstance(r, list) or len(r) != HOURS for r in rows):
            raise InputError(
                f"{name} is not 7 days of 24 hours", where=f"schedule.{name}", remedy="Monday first, hour 0 first."
            )
        for day, row in enumerate(rows):
            for hour, value in enumerate(row):
                where = f"schedule.{name}.{day}.{hour}"
                if name == "need_w":
                    watts(value, where=where)
                elif value is not None and not 0.0 <= finite(value, where=where) <= 1.0:
                    raise InputError(f"{value!r} is no state of charge", where=where, remedy="0 to 1, or nothing.")


def _check_lists(request: Request) -> None:
    for name, keys in (("certificates", {"standard", "listing"}), ("documents", {"kind", "status", "note"})):
        rows = getattr(request, name)
        if not isinstance(rows, list) or len(rows) > 50:
            raise InputError(f"{name} is no list of at most 50", where=name)
        for place, row in enumerate(rows):
            if (
                not isinstance(row, dict)
                or set(row) - keys
                or any(not isinstance(v, str) or len(v) > 200 for v in row.values())
            ):
                raise InputError(f"each of {name} has {', '.join(sorted(keys))} as text", where=f"{name}.{place}")
    for place, row in enumerate(request.documents):
        if row.get("kind") not in DOCUMENT_KINDS:
            raise InputError("unknown kind of document", where=f"documents.{place}", remedy=" or ".join(DOCUMENT_KINDS))
        if row.get("status") not in ("attached", "pending"):
            raise InputError("a document is attached or pending", where=f"documents.{place}.status")


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that two versions do not share."""

    field: str
    before: Any
    after: Any


def differences(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> list[Difference]:
    """Return each field that differs, inner fields by dotted name, in order; lists are compared item by item."""
    found: list[Difference] = []
    for name in sorted(set(before) | set(after)):
        one, two = before.get(name), after.get(name)
        if one == two:
            continue
        if isinstance(one, list) and isinstance(two, list):
            one, two = dict(_numbered(one)), dict(_numbered(two))
        if isinstance(one, dict) and isinstance(two, dict):
            found += differences(one, two, f"{prefix}{name}.")
        else:
            found.append(Difference(f"{prefix}{name}", one, two))
    return found


def _numbered(rows: list[Any]) -> list[tuple[str, Any]]:
    return [(str(place), row) for place, row in enumerate(rows)]


MATERIAL = (
    "feeder", "bus", "phases", "import_w", "export_w", "import_va", "export_va", "charger_count", "charger_import_w",
    "charger_export_w", "inverter_place", "storage_w", "pv_w", "export_mode",
)  # fmt: skip
"""Fields whose change may need a new study; less power at the same place is not material."""


def material(before: Request, after: Request) -> list[str]:
    """Return the fields whose change costs the place in the queue: another place or kind, or more power than before."""
    found = []
    for name in MATERIAL:
        one, two = getattr(before, name), getattr(after, name)
        if one == two:
            continue
        numeric = isinstance(one, int) and isinstance(two, int) and not isinstance(one, bool)
        if not numeric or two > one:
            found.append(name)
    return found
