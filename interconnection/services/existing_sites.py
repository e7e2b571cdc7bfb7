"""Which sites a study counts beside the one it studies: agreements in force, and who is ahead in the queue. Reads only.

An agreement counts at its firm limits, an offer that is prepared or open at its own; who is ahead and studied at what its
newest study found firm. Who is ahead and not studied yet is named and counts for nothing: its own study will count
whatever has been agreed by then, and the newcomer's is due again when it is (`queue_order.restudy_triggers`).
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Min

from derms.errors import Conflict
from derms.grid.existing import ExistingSite
from derms.limits import NOTHING, Limit
from interconnection import states
from interconnection.models import Application, Constraint, Feeder, FeederVersion, Offer, Study
from interconnection.queue_order import earlier, live


def ahead_of(application: Application, version: FeederVersion) -> tuple[ExistingSite, ...]:
    """Return who is there, or ahead, when an application is studied on a feeder model, in the queue's order."""
    return _sites(earlier(application), version)


def in_force(feeder: Feeder, version: FeederVersion) -> tuple[ExistingSite, ...]:
    """Return the agreements in force on a feeder, in order of completeness: for a question that stands in no queue."""
    return _sites(live(feeder.pk).filter(state__in=states.COMMITTED), version)


def _sites(applications: Iterable[Application], version: FeederVersion) -> tuple[ExistingSite, ...]:
    """Return the applications as sites; raises Conflict for an agreement that the model has no place for.

    Who only waits at a bus that the newest model lost must ask anew, and counts for nothing; an agreement is in force.
    """
    known = {entry[0]: set(entry[1]) for entry in version.description["buses"]}
    rows = []
    for row in applications:
        if set(row.phase_numbers) <= known.get(row.bus.lower(), set()):
            rows.append(row)
        elif row.state in states.COMMITTED:
            raise Conflict(
                f"{row.reference} has an agreement at bus {row.bus}, phases {row.phases}, which the feeder's newest model "
                "lacks: nothing else is studied on it as if nobody were there", where="model",
                remedy="Import a model that has this bus, or end that agreement.",
            )  # fmt: skip
    offers = _offers(rows)
    studied = _studied([row for row in rows if row.pk not in offers])
    found = []
    for row in rows:
        limit, basis = offers.get(row.pk) or studied.get(row.pk) or (NOTHING, "request")
        found.append(ExistingSite(row.reference, row.bus, row.phase_numbers, limit.import_w, limit.export_w, basis))
    return tuple(found)


def _offers(rows: list[Application]) -> dict[int, tuple[Limit, str]]:
    """Return the firm limits that are signed or offered, by application."""
    standing = Offer.objects.filter(
        application__in=rows, status__in=(Offer.ACCEPTED, Offer.OPEN, Offer.PREPARED)
    ).values("application_id", "status", "firm_import_w", "firm_export_w").order_by("prepared", "pk")  # fmt: skip
    found: dict[int, tuple[Limit, str]] = {}
    for offer in standing:
        basis = "agreement" if offer["status"] == Offer.ACCEPTED else "offer"
        if found.get(offer["application_id"], (NOTHING, ""))[1] != "agreement":
            found[offer["application_id"]] = (Limit(offer["firm_import_w"], offer["firm_export_w"]), basis)
    return found


def _studied(rows: list[Application]) -> dict[int, tuple[Limit, str]]:
    """Return what each application's newest study found firm: the least that any element leaves it."""
    newest: dict[int, int] = {}
    done = Study.objects.filter(application__in=rows, status=Study.DONE).order_by("-finished", "-pk")
    for application, study in done.values_list("application_id", "pk"):
        newest.setdefault(application, study)
    least = {
        (row["application_id"], row["side"]): row["least"]
        for row in Constraint.objects.filter(study__in=newest.values())
        .values("application_id", "side")
        .annotate(least=Min("least_w"))
        .order_by()
    }
    asked = {row.pk: row for row in rows}
    return {
        key: (
            Limit(least.get((key, "import"), asked[key].import_w), least.get((key, "export"), asked[key].export_w)), "study"
        )
        for key in newest
    }  # fmt: skip
