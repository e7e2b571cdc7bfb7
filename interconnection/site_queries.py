"""What the control room asks the planning desk about a site: what was promised, and what the study expects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from derms.agreement import Terms
from interconnection.models import Agreement, FeederVersion

HOURS = 8760


@dataclass(frozen=True, slots=True)
class Promise:
    """A site's agreement and its study's limits: `hours` of the year with kW magnitudes and what binds ("" nothing)."""

    application: int
    owner: str
    terms: Terms
    hours: tuple[int, ...]
    import_kw: tuple[float, ...]
    export_kw: tuple[float, ...]
    import_by: tuple[str, ...]

    def at(self, hour: int) -> int | None:
        """Return the place that stands for an hour of the year: itself, else the nearest studied at that hour of day.

        Nearest within a month: so a quick study, with an hour of each month and hour of day, speaks for every hour. Else
        the studied hour before it within a day and a quarter; None where none is near.
        """
        wanted = hour % HOURS
        near = [
            (min(abs(wanted - studied), HOURS - abs(wanted - studied)), place)
            for place, studied in enumerate(self.hours) if studied % 24 == wanted % 24
        ]  # fmt: skip
        if near and min(near)[0] <= 31 * 24:
            return min(near)[1]
        earlier = [place for place, studied in enumerate(self.hours) if 0 <= wanted - studied <= 30]
        return earlier[-1] if earlier else None


def promise(site: str) -> Promise | None:
    """Return what was promised to a site, or None for one that has no agreement."""
    return next(iter(promises([site])), None)


def promises(sites: Sequence[str]) -> list[Promise]:
    """Return what was promised to some sites, in one statement; their studies' hours are many: ask for few."""
    rows = Agreement.objects.select_related("offer__study", "offer__application__applicant").filter(site__in=sites)
    return [_promise(row) for row in rows]


def _promise(row: Agreement) -> Promise:
    study = row.offer.study
    hourly = json.loads(study.result).get("hourly", {}) if study.result else {}
    return Promise(
        row.offer.application_id,
        str(row.offer.application.applicant),
        row.terms,
        tuple(study.request.get("hours", ())),
        tuple(hourly.get("import_kw", ())),
        tuple(hourly.get("export_kw", ())),
        tuple(hourly.get("import_criterion", ())),
    )


def description(feeder: str) -> dict[str, Any] | None:
    """Return the newest model's buses and elements of a feeder."""
    return FeederVersion.objects.filter(feeder__name=feeder).values_list("description", flat=True).first()


def newest_version(feeder: str) -> FeederVersion | None:
    """Return the newest model of a feeder, without its text."""
    return FeederVersion.objects.filter(feeder__name=feeder).select_related("feeder").defer("text", "description").first()


def whole_version(feeder: str) -> FeederVersion | None:
    """Return the newest model of a feeder with its text."""
    return FeederVersion.objects.filter(feeder__name=feeder).select_related("feeder").first()


def site_buses(feeder: str) -> dict[str, str]:
    """Return the bus of each site that ever had an agreement on a feeder."""
    rows = Agreement.objects.filter(offer__application__feeder__name=feeder)
    return {site: bus.lower() for site, bus in rows.values_list("site", "offer__application__bus")}
