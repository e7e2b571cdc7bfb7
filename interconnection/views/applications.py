"""Pages of the planning desk."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from derms.access import SIGNED_IN, access
from derms.errors import HeadroomError, NotFound
from interconnection import queries, roles, study_page
from interconnection.api import order
from interconnection.forms import ApplicationForm
from interconnection.models import Study
from interconnection.services import applications as application_services
from interconnection.services import offers as offer_services


def _application(request: HttpRequest, number: int) -> Any:
    try:
        return queries.application(request.user, number)
    except NotFound as error:
        raise Http404 from error


@access(get=SIGNED_IN)
def queue(request: HttpRequest) -> HttpResponse:
    """All applications that the user may see, newest first."""
    page = Paginator(queries.applications(request.user), 50).get_page(request.GET.get("page"))
    return render(request, "interconnection/queue.html", {"page": page, "may_file": _may_file(request)})


def _may_file(request: HttpRequest) -> bool:
    return roles.has(request.user, roles.APPLICANT, roles.ENGINEER)


@access(get=(roles.APPLICANT, roles.ENGINEER), post=(roles.APPLICANT, roles.ENGINEER))
def new_application(request: HttpRequest) -> HttpResponse:
    """File an application."""
    form = ApplicationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            application = application_services.file_application(form.request(), applicant=request.user)
            application_services.submit(application, actor=str(request.user))
            return redirect("application", number=application.pk)
        except HeadroomError as error:
            field = error.where if error.where in form.fields else None
            form.add_error(field, f"{error.what}. {error.remedy}".strip())
    return render(request, "interconnection/new.html", {"form": form})


@access(get=SIGNED_IN)
def application(request: HttpRequest, number: int) -> HttpResponse:
    """One application with its newest study and offer."""
    found = _application(request, number)
    study = found.studies.first()
    answer = json.loads(study.result) if study and study.status == Study.DONE else None
    context = {
        "application": found,
        "study": study,
        "answer": answer,
        "sides": study_page.sides(answer) if answer else [],
        "offer": found.offers.select_related("study").first(),
        "events": found.events.all(),
        "engineer": roles.has(request.user, roles.ENGINEER),
        "approver": roles.has(request.user, roles.APPROVER),
        "owner": found.applicant_id == request.user.pk,
        "gaps": application_services.find_gaps(found) if found.state in ("draft", "submitted") else [],
    }
    return render(request, "interconnection/application.html", context)


@access(post=(roles.ENGINEER,))
def start_study(request: HttpRequest, number: int) -> HttpResponse:
    """Order a study of all hours, or a quick one."""
    found = _application(request, number)
    try:
        order(found, 288 if request.POST.get("quick") else 8760, request.user)
    except HeadroomError as error:
        messages.error(request, f"{error.what}. {error.remedy}")
    return redirect("application", number=number)


@access(post=(roles.ENGINEER,))
def issue_offer(request: HttpRequest, number: int) -> HttpResponse:
    """Prepare the offer that the newest study supports; a second person issues it."""
    found = _application(request, number)
    study = found.studies.filter(status=Study.DONE).first()
    try:
        if study is None:
            raise NotFound("there is no study to offer from", where="study", remedy="Run one first.")
        terms = offer_services.draft_terms(found, study, starts=found.wanted, ends=None)
        offer_services.prepare_offer(found, study, terms, engineer=request.user)
    except HeadroomError as error:
        messages.error(request, f"{error.what}. {error.remedy}")
    return redirect("application", number=number)


@access(post=(roles.APPROVER,))
def approve_offer(request: HttpRequest, number: int) -> HttpResponse:
    """Issue the offer that waits, as the second person."""
    found = _application(request, number)
    offer = found.offers.filter(sha256=request.POST.get("sha256", "")).first()
    try:
        if offer is None:
            raise NotFound("this offer is not there", where="offer", remedy="Read the page again.")
        offer_services.approve_offer(offer, approver=request.user)
    except HeadroomError as error:
        messages.error(request, f"{error.what}. {error.remedy}")
    return redirect("application", number=number)


@access(post=(roles.APPLICANT,))
def accept_offer(request: HttpRequest, number: int) -> HttpResponse:
    """Accept the open offer."""
    found = _application(request, number)
    offer = found.offers.filter(sha256=request.POST.get("sha256", "")).first()
    try:
        if offer is None:
            raise NotFound("this offer is not there", where="offer", remedy="Read the page again.")
        offer_services.accept_offer(offer, applicant=request.user, typed_name=request.POST.get("typed_name", ""))
    except HeadroomError as error:
        messages.error(request, f"{error.what}. {error.remedy}")
    return redirect("application", number=number)


@access(get=SIGNED_IN)
def feeders(request: HttpRequest) -> HttpResponse:
    """All feeders."""
    rows = [(feeder, feeder.versions.all()[0]) for feeder in queries.feeders()]
    return render(request, "interconnection/feeders.html", {"rows": rows, "today": date.today()})  # noqa: DTZ011


@access(get=SIGNED_IN)
def feeder(request: HttpRequest, name: str) -> HttpResponse:
    """One feeder with its findings."""
    try:
        found = queries.feeder(name)
    except NotFound as error:
        raise Http404 from error
    version = found.versions.all()[0]
    return render(request, "interconnection/feeder.html", {"feeder": found, "version": version})
