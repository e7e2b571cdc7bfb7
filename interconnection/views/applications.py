"""The queue board, the search, one application and what people do with it."""

from __future__ import annotations

import csv
import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from derms.access import SIGNED_IN, access
from derms.errors import HeadroomError, InputError
from interconnection import application_page, board, letter, queries, queue_order, roles, states, study_page
from interconnection.csv_table import harmless
from interconnection.forms import ApplicationForm
from interconnection.models import Application, Offer, Study
from interconnection.services import applications as application_services
from interconnection.services import clocks as clock_services
from interconnection.services import commissioning, study_control
from interconnection.study_forms import StudyForm
from interconnection.views.common import or_404, page_of, told


@access(get=SIGNED_IN)
def queue(request: HttpRequest) -> HttpResponse:
    """The board: applications by stage, with who does what next."""
    stage, text, order = (request.GET.get(name, "")[:100] for name in ("stage", "q", "order"))
    found = board.rows(request.user, stage=stage, text=text, order=order)
    page = page_of(found, request)
    context = {
        "page": page, "dues": board.dues([row.pk for row in page], clock_services.local_day(timezone.now())),
        "stage": stage, "q": text, "order": order or "newest",
        "orders": [name for name in board.ORDERS if not name.startswith("-")],
        "columns": board.columns(order or "newest"), "engineer": roles.has(request.user, roles.ENGINEER),
        "tabs": [(name, name or "all", count) for name, count in board.counts(request.user).items()],
        "next": board.NEXT, "may_file": _may_file(request), "now": timezone.now(),
    }  # fmt: skip
    return render(request, "interconnection/queue.html", context)


@access(get=SIGNED_IN)
def queue_csv(request: HttpRequest) -> HttpResponse:
    """The board's rows as CSV, with the same filters."""
    stage, text, order = (request.GET.get(name, "")[:100] for name in ("stage", "q", "order"))
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="applications.csv"'
    writer = csv.writer(answer)
    writer.writerow(
        ["reference", "site", "applicant", "feeder", "bus", "import_kw", "export_kw", "chargers", "state", "filed"]
    )
    for row in board.rows(request.user, stage=stage, text=text, order=order).iterator(chunk_size=500):
        cells = [row.reference, row.name, str(row.applicant), row.feeder.name, row.bus, row.import_w / 1000,
                 row.export_w / 1000, row.charger_count, row.state, row.created.isoformat()]  # fmt: skip
        writer.writerow([harmless(cell) for cell in cells])
    return answer


@access(get=SIGNED_IN)
def search(request: HttpRequest) -> HttpResponse:
    """What a text names; a single application opens at once."""
    text = request.GET.get("q", "")
    found = board.search(request.user, text)
    if len(found) == 1 and found[0].kind == "application":
        return redirect("application", number=found[0].arguments[0])
    hits = [(hit, reverse(hit.url, args=hit.arguments)) for hit in found]
    return render(request, "interconnection/search.html", {"q": text, "hits": hits})


def _may_file(request: HttpRequest) -> bool:
    return roles.has(request.user, roles.APPLICANT, roles.ENGINEER)


@access(get=(roles.APPLICANT, roles.ENGINEER), post=(roles.APPLICANT, roles.ENGINEER))
def new_application(request: HttpRequest) -> HttpResponse:
    """File an application and hand it in."""
    form = ApplicationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            found = application_services.file_application(form.request(), applicant=request.user)
            application_services.submit(found, actor=str(request.user))
            return redirect("application", number=found.pk)
        except HeadroomError as error:
            _blame(form, error)
    return render(request, "interconnection/new.html", {"form": form})


@access(get=(roles.APPLICANT, roles.ENGINEER), post=(roles.APPLICANT, roles.ENGINEER))
def amend_application(request: HttpRequest, number: int) -> HttpResponse:
    """Store a new version of an application; a material change costs its place, and the page says so."""
    found = or_404(queries.application, request.user, number)
    before = application_services.current_request(found)
    form = ApplicationForm(request.POST or None, before=before)
    if request.method == "POST" and form.is_valid():
        try:
            application_services.amend(found, form.request(), by=request.user, cause=request.POST.get("cause", "")[:200])
            if found.state == states.SUBMITTED:
                application_services.submit(found, actor=str(request.user))
            return redirect("application", number=number)
        except HeadroomError as error:
            _blame(form, error)
    return render(request, "interconnection/new.html", {"form": form, "application": found})


def _blame(form: ApplicationForm, error: HeadroomError) -> None:
    field = error.where if error.where in form.fields else None
    form.add_error(field, f"{error.what}. {error.remedy}".strip())


@access(get=SIGNED_IN)
def application(request: HttpRequest, number: int) -> HttpResponse:
    """One application: both tracks, what is missing, studies, offers, commissioning, versions, history."""
    found = or_404(queries.application, request.user, number)
    offers = list(found.offers.select_related("study", "prepared_by", "issued_by", "agreement"))
    if not roles.sees_all(request.user):
        offers = [offer for offer in offers if offer.issued is not None]
    studies = list(queries.studies(request.user).filter(application=found)[:10])
    done = next((study for study in studies if study.status == Study.DONE), None)
    answer = json.loads(Study.objects.values_list("result", flat=True).get(pk=done.pk)) if done else None
    context: dict[str, Any] = {
        "application": found,
        "asked": application_services.current_request(found),
        "steps": application_page.steps(found.state),
        "next": board.NEXT.get(found.state),
        "actions": application_page.plain_actions(found, request.user),
        "studies": studies,
        "running": next((study for study in studies if study.status in (Study.QUEUED, Study.RUNNING)), None),
        "done": done,
        "sides": study_page.sides(answer) if answer else [],
        "offers": offers,
        "offer": next((offer for offer in offers if offer.status in (Offer.PREPARED, Offer.OPEN, Offer.ACCEPTED)), None),
        "results": found.commissioning_results.select_related("recorded_by", "witnessed_by")[:10],
        "versions": application_page.versions(found),
        "events": found.events.all(),
        "engineer": roles.has(request.user, roles.ENGINEER),
        "approver": roles.has(request.user, roles.APPROVER),
        "owner": found.applicant_id == request.user.pk,
        "gaps": application_services.find_gaps(found) if found.state in ("draft", "submitted") else [],
        **_between(found, names=roles.sees_all(request.user)),
        "may_study": "study" in states.actions(found.state),
        "study_form": StudyForm(auto_id="sf-%s"),
        "may_amend": found.state in (states.DRAFT, states.SUBMITTED, *states.QUEUED),
    }
    if context["offer"]:
        terms = context["offer"].terms
        context |= {"sentences": letter.sentences(terms), "expected": letter.expected(terms)}
    if context["running"]:
        context |= {
            "study": context["running"],
            "progress": queries.progress(context["running"], timezone.now()),
            "over": False,
        }
    return render(request, "interconnection/application.html", context)


def _between(found: Application, *, names: bool) -> dict[str, Any]:
    """Return what stands between filing and offer: clocks, screens, places, questions, reasons to study again.

    `names`: whether the reader may learn who the others are.
    """
    now = timezone.now()
    runs = list(found.clocks.select_related("application").prefetch_related("pauses"))
    screens = found.screen_runs.first()
    freed = {(item.side, item.criterion, item.element): item for item in queue_order.effect_of_withdrawal(found)}
    places = [
        (place, freed.get((place.constraint.side, place.constraint.criterion, place.constraint.element)))
        for place in queue_order.positions(found)
    ]
    return {
        "clocks": [(application_page.Clock.of(run), clock_services.standing(run, now=now)) for run in runs],
        "screens": screens,
        "screen_sides": application_page.by_side(screens.results) if screens else [],
        "places": places,
        "triggers": [item.what if names else item.public for item in queue_order.restudy_triggers(found)],
        "questions": found.information_requests.select_related("asked_by", "answered_by"),
        "may_screen": "screen" in states.actions(found.state),
    }


@access(post=(roles.APPLICANT, roles.ENGINEER))
def submit_application(request: HttpRequest, number: int) -> HttpResponse:
    """Hand a draft in, or look again for what is missing."""
    found = or_404(queries.application, request.user, number)
    with told(request):
        application_services.submit(found, actor=str(request.user))
    return redirect("application", number=number)


@access(post=(roles.ENGINEER,))
def deem_complete(request: HttpRequest, number: int) -> HttpResponse:
    """Find an application complete, waiving what the engineer names with a reason."""
    found = or_404(queries.application, request.user, number)
    with told(request):
        application_services.deem_complete(
            found, by=request.user, waived=request.POST.getlist("waived"), reason=request.POST.get("reason", "")[:500]
        )
    return redirect("application", number=number)


@access(post=(roles.APPLICANT, roles.ENGINEER, roles.APPROVER, roles.OPERATOR))
def act_on_application(request: HttpRequest, number: int) -> HttpResponse:
    """Take an action of the table that needs at most a reason; the service says who may."""
    found = or_404(queries.application, request.user, number)
    action = request.POST.get("action", "")
    with told(request):
        commissioning.act(found, action, by=request.user, reason=request.POST.get("reason", "")[:500])
    return redirect("application", number=number)


@access(post=(roles.ENGINEER,))
def start_study(request: HttpRequest, number: int) -> HttpResponse:
    """Order a study: the whole year with the fleet's curtailment, a quick look, or with settings of its own."""
    found = or_404(queries.application, request.user, number)
    hours, curtailment, settings = 288 if request.POST.get("quick") else 8760, True, None
    with told(request):
        if request.POST.get("settings"):
            form = StudyForm(request.POST)
            if not form.is_valid():
                field, errors = next(iter(form.errors.items()))
                raise InputError(" ".join(map(str, errors)), where=field)
            hours, curtailment = form.cleaned_data["hours"], form.cleaned_data["curtailment"]
            settings = form.settings()
        study = study_control.order(found, hours, actor=str(request.user), settings=settings, curtailment=curtailment)
        return redirect("study", number=study.pk)
    return redirect("application", number=number)
