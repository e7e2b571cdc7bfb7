"""The offer editor, the second person, the letter and the signed terms, and what the applicant says to them."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from derms.access import SIGNED_IN, access
from derms.errors import HeadroomError, InputError, NotFound
from interconnection import letter, offer_options, queries, roles, study_page
from interconnection.charts import MONTHS
from interconnection.forms import OfferForm
from interconnection.models import Application, Offer, Study
from interconnection.services import offer_editor
from interconnection.services import offers as offer_services
from interconnection.views.common import or_404, told, whole_number


def _study(application: Application, request: HttpRequest) -> Study:
    """Return the finished study that the address names, or the newest one."""
    rows = application.studies.filter(status=Study.DONE)
    number = whole_number(request.GET.get("study"), 0, 0, 2**31)
    found = (rows.filter(pk=number) if number else rows).first()
    if found is None:
        raise Http404("no finished study of this application")
    return found


def _most(answer: dict[str, Any], side: str) -> list[list[int]]:
    """What a static schedule may say at most: the study's least less its margin."""
    return [list(row) for row in offer_options.allowed(answer, side, zone=settings.DISPLAY_TIME_ZONE)]


@access(get=(roles.ENGINEER,), post=(roles.ENGINEER,))
def edit_offer(request: HttpRequest, number: int) -> HttpResponse:
    """The editor: options side by side, "yes, if" as sentences with fields, the 12 × 24 grids."""
    application = or_404(queries.application, request.user, number)
    study = _study(application, request)
    if request.method == "POST":
        form = OfferForm(request.POST, application=application)
        if form.is_valid():
            with told(request):
                offer_editor.prepare(application, study, form.edit(), engineer=request.user)
                messages.success(request, "Prepared. Another person issues it: an approver.")
                return redirect("application", number=number)
    found = offer_editor.options(application, study)
    chosen = next((o for o in found if o.kind == request.GET.get("option", "dynamic") and not o.missing), None)
    chosen = chosen or next(o for o in found if not o.missing)
    if request.method == "GET":
        form = OfferForm.starting(offer_editor.draft(application, study, chosen), application)
    answer = json.loads(study.result)
    least = offer_options.least_of(answer, settings.DISPLAY_TIME_ZONE)
    context: dict[str, Any] = {
        "application": application,
        "study": study,
        "answer": answer,
        "options": found,
        "chosen": chosen.kind if request.method == "GET" else form["kind"].value(),
        "form": form,
        "volt_var": offer_editor.volt_var_study(application, study),
        "sides": study_page.sides(answer),
        "grids": {
            side: {"least": _most(answer, side) if chosen.kind in offer_options.STATIC
                   else [[least.by_side[side].get((month, hour)) for hour in range(24)] for month in range(12)],
                   "asked": int(answer[f"{side}_kw"] * 1000)}
            for side in offer_options.SIDES
        },
        "months": MONTHS,
        "hours": range(24),
        "zone": settings.DISPLAY_TIME_ZONE,
    }  # fmt: skip
    return render(request, "interconnection/offer_edit.html", context, status=200 if request.method == "GET" else 422)


@access(post=(roles.ENGINEER,))
def check_offer(request: HttpRequest, number: int) -> HttpResponse:
    """What the fields mean now, as a fragment: sentences, energy, hours, or the first refusal; nothing is stored."""
    application = or_404(queries.application, request.user, number)
    study = _study(application, request)
    form = OfferForm(request.POST, application=application)
    context: dict[str, Any] = {"form": form}
    if form.is_valid():
        try:
            edit = form.edit()
            answer = offer_editor.base(application, study)
            context["meanings"] = [
                (side, offer_options.meaning(answer, side, edit.grids[side], settings.DISPLAY_TIME_ZONE))
                for side in offer_options.SIDES
                if answer[f"{side}_kw"]
            ]  # fmt: skip
            terms = offer_editor.terms_of(application, study, edit)
            context |= {"terms": terms, "sentences": letter.sentences(terms), "expected": letter.expected(terms)}
            context["static"] = edit.kind in offer_options.STATIC
            offer_editor.check(application, study, edit, terms)
        except HeadroomError as error:
            context["error"] = error
    return render(request, "interconnection/_offer_check.html", context)


def _named(request: HttpRequest, application: Application) -> Offer:
    found = application.offers.filter(sha256=request.POST.get("sha256", "")).first()
    if found is None:
        raise NotFound("this offer is not there", where="offer", remedy="Read the page again.")
    return found


@access(post=(roles.APPROVER,))
def approve_offer(request: HttpRequest, number: int) -> HttpResponse:
    """Issue the offer that waits, as the second person."""
    application = or_404(queries.application, request.user, number)
    with told(request):
        offer_services.approve_offer(_named(request, application), approver=request.user)
    return redirect("application", number=number)


@access(post=(roles.ENGINEER, roles.APPROVER))
def take_back_offer(request: HttpRequest, number: int) -> HttpResponse:
    """Take back an offer that waits or is open."""
    application = or_404(queries.application, request.user, number)
    with told(request):
        offer_services.take_back(_named(request, application), by=request.user, reason=request.POST.get("reason", ""))
    return redirect("application", number=number)


@access(post=(roles.APPLICANT,))
def accept_offer(request: HttpRequest, number: int) -> HttpResponse:
    """Accept the open offer by a typed name."""
    application = or_404(queries.application, request.user, number)
    with told(request):
        offer_services.accept_offer(
            _named(request, application), applicant=request.user, typed_name=request.POST.get("typed_name", "")
        )
    return redirect("application", number=number)


@access(post=(roles.APPLICANT,))
def decline_offer(request: HttpRequest, number: int) -> HttpResponse:
    """Decline the open offer."""
    application = or_404(queries.application, request.user, number)
    with told(request):
        offer_services.decline_offer(
            _named(request, application), applicant=request.user, reason=request.POST.get("reason", "")[:500]
        )
    return redirect("application", number=number)


def _offer(request: HttpRequest, number: int, offer: int) -> tuple[Application, Offer]:
    application = or_404(queries.application, request.user, number)
    rows = application.offers.select_related("study", "prepared_by", "issued_by")
    if not roles.sees_all(request.user):
        rows = rows.exclude(issued__isnull=True)  # what nobody has issued is not the applicant's to read
    found = rows.filter(pk=offer).first()
    if found is None:
        raise Http404
    return application, found


@access(get=SIGNED_IN)
def offer_letter(request: HttpRequest, number: int, offer: int) -> HttpResponse:
    """The offer as a tagged PDF."""
    application, found = _offer(request, number, offer)
    agreement = getattr(found, "agreement", None)
    names = letter.Names(
        settings.UTILITY_NAME, application.reference, application.applicant.get_full_name() or str(application.applicant),
        application.name, str(found.prepared_by), str(found.issued_by or ""), agreement.typed_name if agreement else "",
    )  # fmt: skip
    made = letter.pdf(found.terms, json.loads(found.study.result), names, found.issued)
    answer = HttpResponse(made, content_type="application/pdf")
    answer["Content-Disposition"] = f'inline; filename="{application.reference}-offer-{found.pk}.pdf"'
    return answer


@access(get=SIGNED_IN)
def offer_terms(request: HttpRequest, number: int, offer: int) -> HttpResponse:
    """The signed terms, byte for byte: their SHA-256 is the offer's."""
    application, found = _offer(request, number, offer)
    if found.terms.sha256() != found.sha256:
        raise InputError("the document does not fit its hash", where="offer")
    answer = HttpResponse(found.document.encode(), content_type="application/json")
    answer["Content-Disposition"] = f'attachment; filename="{application.reference}-offer-{found.pk}.json"'
    return answer
