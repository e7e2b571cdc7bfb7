"""What the desk does on an application between filing and study: screens, clocks, questions; and the lines of a feeder."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from derms.access import access
from interconnection import queries, queue_order, roles
from interconnection.models import Application
from interconnection.services import bulk as bulk_services
from interconnection.services import clocks, screening
from interconnection.views.common import PAGE_SIZE, or_404, told, whole_number


@access(post=(roles.ENGINEER,))
def screen_application(request: HttpRequest, number: int) -> HttpResponse:
    """Run the screens of the application's rule pack."""
    application = or_404(queries.application, request.user, number)
    with told(request):
        run = screening.screen(application, actor=str(request.user))
        messages.success(request, f"{len(run.results)} screens in {run.seconds:.1f} s.")
    return redirect("application", number=number)


@access(post=(roles.ENGINEER,))
def bulk(request: HttpRequest) -> HttpResponse:
    """One action on the chosen applications of the board; the answer counts what was taken and names what was not."""
    chosen = [whole_number(text, 0, 0, 2**31 - 1) for text in request.POST.getlist("application")[:PAGE_SIZE]]
    rows = queries.applications(request.user).filter(pk__in=chosen).order_by("pk")
    what = request.POST.get("what", "")
    with told(request):
        found = bulk_services.act(rows, what, actor=str(request.user))
        taken = [item for item in found if not item.refusal]
        if taken:
            where = "each shows its screens once they have run"
            if what != "screen":
                where = "the studies' page shows how far they are"
            messages.success(request, f"{len(taken)} queued: {where}.")
        refused: dict[str, list[str]] = {}
        for item in found:
            if item.refusal:
                refused.setdefault(item.refusal, []).append(item.application.reference)
        for why, references in refused.items():
            messages.warning(request, f"{', '.join(references)}: left as it is, for {why}")
        if not found:
            messages.warning(request, "Nothing was chosen.")
    query = QueryDict(request.POST.get("back", "")[:500]).urlencode()
    return redirect(reverse("queue") + (f"?{query}" if query else ""))


def _clock(application: Application, request: HttpRequest) -> Any:
    return get_object_or_404(application.clocks, pk=request.POST.get("clock") if _digits(request) else 0)


def _digits(request: HttpRequest) -> bool:
    text = request.POST.get("clock", "")
    return text.isascii() and text.isdigit() and len(text) < 12


@access(post=(roles.ENGINEER,))
def pause_clock(request: HttpRequest, number: int) -> HttpResponse:
    """Pause a clock, with its cause, or let it go on."""
    application = or_404(queries.application, request.user, number)
    clock = _clock(application, request)
    with told(request):
        if request.POST.get("go_on"):
            clocks.resume(clock, by=str(request.user))
        else:
            clocks.pause(clock, cause=request.POST.get("cause", ""), by=str(request.user))
    return redirect("application", number=number)


@access(post=(roles.ENGINEER, roles.APPROVER))
def ask_applicant(request: HttpRequest, number: int) -> HttpResponse:
    """Ask the applicant for information: the utility's clocks wait for the answer."""
    application = or_404(queries.application, request.user, number)
    with told(request):
        clocks.ask(application, request.POST.get("question", ""), by=request.user)
    return redirect("application", number=number)


@access(post=(roles.APPLICANT, roles.ENGINEER))
def answer_question(request: HttpRequest, number: int, question: int) -> HttpResponse:
    """Answer a question; the clocks that waited go on."""
    application = or_404(queries.application, request.user, number)
    asked = get_object_or_404(application.information_requests, pk=question)
    with told(request):
        clocks.answer(asked, request.POST.get("answer", ""), by=request.user)
    return redirect("application", number=number)


@access(get=(roles.ENGINEER, roles.APPROVER, roles.OPERATOR, roles.AUDITOR))
def feeder_lines(request: HttpRequest, name: str) -> HttpResponse:
    """Every constraint of a feeder with its line: who waits on which element, in which order."""
    feeder = or_404(queries.feeder, name)
    return render(request, "interconnection/lines.html", {"feeder": feeder, "lines": queue_order.board(feeder.pk)})
