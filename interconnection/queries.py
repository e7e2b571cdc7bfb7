"""The only readers of the planning desk. Who asks is an argument that no query can forget."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.db.models import QuerySet

from derms.agreement import Terms
from derms.errors import NotFound
from interconnection import states
from interconnection.models import Agreement, Application, Feeder, Study
from interconnection.roles import sees_all


def applications(user: Any) -> QuerySet[Application]:
    """Return the applications that a user may see: all for the utility's people, their own for applicants."""
    rows = Application.objects.select_related("feeder", "applicant")
    return rows if sees_all(user) else rows.filter(applicant=user)


def application(user: Any, number: int) -> Application:
    """Return one application; another's answers exactly as a missing one."""
    found = applications(user).filter(pk=number).first()
    if found is None:
        raise NotFound(f"there is no application {number}", where="application", remedy="Check the number.")
    return found


def study(user: Any, number: int) -> Study:
    """Return one study of an application that the user may see."""
    rows = Study.objects.select_related("application", "version__feeder")
    if not sees_all(user):
        rows = rows.filter(application__applicant=user)
    found = rows.filter(pk=number).first()
    if found is None:
        raise NotFound(f"there is no study {number}", where="study", remedy="Check the number.")
    return found


def feeders() -> QuerySet[Feeder]:
    """Return all feeders with their versions."""
    return Feeder.objects.prefetch_related("versions").order_by("name")


def feeder(name: str) -> Feeder:
    """Return a feeder by name."""
    found = feeders().filter(name=name).first()
    if found is None:
        raise NotFound(f"no feeder is named {name!r}", where="feeder", remedy="The list shows all.")
    return found


def agreements_in_force(on: date, feeder_name: str | None = None) -> list[Terms]:
    """Return the terms that the control room must obey on a day, in order of acceptance."""
    over = (states.ENDED, states.WITHDRAWN)
    rows = Agreement.objects.exclude(offer__application__state__in=over).order_by("accepted", "pk")
    if feeder_name is not None:
        rows = rows.filter(offer__application__feeder__name=feeder_name)
    found = [row.terms for row in rows]
    return [terms for terms in found if terms.starts <= on and (terms.ends is None or on < terms.ends)]
