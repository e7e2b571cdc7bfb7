"""What if: one question about one place on a stored feeder, answered while the reader waits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from derms.errors import NotFound
from derms.grid.criteria import CriteriaSettings
from derms.grid.existing import ExistingSite
from derms.sandbox.warm_children import CHILDREN
from interconnection.models import Feeder, FeederVersion
from interconnection.services.existing_sites import in_force
from interconnection.services.studies import QUICK_HOURS, build_request

ANSWER_S = 60.0


def answer(
    version: FeederVersion, bus: str, phases: tuple[int, ...], import_w: int, export_w: int, *,
    hours: int | tuple[int, ...] = QUICK_HOURS, criteria: CriteriaSettings | None = None, inverter: str = "unity",
    power_factor: float = 1.0, volt_watt: bool = False, existing: tuple[ExistingSite, ...] | None = None,
    timeout_s: float = ANSWER_S,
) -> dict[str, Any]:  # fmt: skip
    """Return what a site may do at a place, how near each criterion is, and what would pass; nothing is stored.

    `version`: a stored feeder model; `bus`; `phases` out of 1, 2, 3; `import_w`, `export_w`: whole watts >= 0, not both
    nothing; `hours`: how many, spread evenly over the feeder's year, or the study hours themselves (0-based, rising);
    `inverter`: a key of `derms.grid.study_request.INVERTERS`; `power_factor`: 0.5..1, fixed, with inverter "unity" only;
    `volt_watt`: the default curve, counted as curtailment; `existing`: the sites that count beside this one, None: the
    agreements in force on the feeder. The answer is documented at `derms.grid.what_if.what_if`, with `feeder`,
    `model_sha256`, `bus`, `phases` added, and `counted`: how many sites count, and their firm kilowatts.

    A feeder's first question starts a confined child (seconds); the next ones find it warm. Raises InputError (what, where,
    what to do), NotConverged, LocalError.
    """
    available = int(version.description["hours"])
    count = min(hours, available) if isinstance(hours, int) else available
    there = in_force(version.feeder, version) if existing is None else existing
    request = build_request(
        version, bus, phases, import_w, export_w, hours=count, criteria=criteria, inverter=inverter, existing=there,
        volt_watt=volt_watt,
    )  # fmt: skip
    request = replace(request, power_factor=power_factor)
    if not isinstance(hours, int):
        request = replace(request, hours=tuple(hours))
    found = CHILDREN.call(version.sha256, version.text, "what_if", {"request": request.to_dict()}, timeout_s=timeout_s)
    found.pop("existing", None)  # other people's limits are counted, not told
    return {
        "feeder": version.feeder.name, "model_sha256": version.sha256, "bus": request.bus, "phases": list(request.phases),
        "counted": {
            "sites": len(there), "import_kw": sum(site.import_w for site in there) / 1000,
            "export_kw": sum(site.export_w for site in there) / 1000,
        },
        **found,
    }  # fmt: skip


def newest_version(feeder_name: str) -> FeederVersion:
    """Return the newest stored model of a feeder; raises NotFound."""
    feeder = Feeder.objects.filter(name=feeder_name).first()
    version = None if feeder is None else feeder.versions.first()
    if version is None:
        raise NotFound(f"no feeder is named {feeder_name!r}", where="feeder", remedy="The list shows all.")
    return version
