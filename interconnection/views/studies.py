"""The study workbench: list, one study, its pictures, comparison, and the buttons that act on it."""

from __future__ import annotations

import json
import time
from typing import Any

from django.contrib import messages
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import condition

from derms.access import SIGNED_IN, access
from derms.errors import HeadroomError
from derms.grid.criteria import CriteriaSettings
from derms.grid.study_request import StudyRequest
from interconnection import queries, roles, study_page, study_panels
from interconnection.charts import voltage_profile
from interconnection.charts.profile import LOW_VOLTAGE_V
from interconnection.models import Study
from interconnection.services import pictures, study_control, what_if
from interconnection.study_forms import CloneForm, WhatIfForm
from interconnection.views.common import or_404, page_of, told, whole_number

STATUSES = (Study.RUNNING, Study.QUEUED, Study.DONE, Study.FAILED, Study.CANCELLED)
OVER = (Study.DONE, Study.FAILED, Study.CANCELLED)


@access(get=SIGNED_IN)
def studies(request: HttpRequest) -> HttpResponse:
    """All studies that the user may see."""
    rows = queries.studies(request.user)
    if request.GET.get("status") in STATUSES:
        rows = rows.filter(status=request.GET["status"])
    counts = queries.studies(request.user).order_by().values_list("status").annotate(Count("pk"))
    context = {
        "page": page_of(rows, request), "statuses": list(STATUSES), "counts": dict(counts),
        "in_hand": queries.studies_in_hand(request.user, timezone.now()),
        "engineer": roles.has(request.user, roles.ENGINEER),
    }  # fmt: skip
    return render(request, "interconnection/studies.html", context)


@access(get=SIGNED_IN)
def studies_in_hand(request: HttpRequest) -> HttpResponse:
    """The studies that run and wait, as a fragment that asks again; when the last is over, the list is read anew."""
    context = {
        "in_hand": queries.studies_in_hand(request.user, timezone.now()),
        "engineer": roles.has(request.user, roles.ENGINEER),
    }  # fmt: skip
    answer = render(request, "interconnection/_studies_in_hand.html", context)
    if not context["in_hand"]:
        answer["HX-Refresh"] = "true"
    return answer


@access(get=SIGNED_IN)
def study(request: HttpRequest, number: int) -> HttpResponse:
    """One study: how far it is, or its answer."""
    found = or_404(queries.study, request.user, number)
    answer = queries.answer(request.user, found)
    others = queries.studies(request.user).filter(version__feeder=found.version.feeder, status=Study.DONE)
    context: dict[str, Any] = {
        "study": found,
        "answer": answer,
        "sides": study_page.sides(answer) if answer else [],
        "panels": study_panels.panels(answer) if answer else None,
        "progress": queries.progress(found, timezone.now()) if not answer else None,
        "engineer": roles.has(request.user, roles.ENGINEER),
        "ladders": {row.side: row for row in found.ladders.all()},
        "others": others.exclude(pk=found.pk)[:20],
        "clone": CloneForm(study=found),
        "what_if": WhatIfForm(study=found),
        "slide_import": max(1000, 2 * found.request["import_w"] // 1000),
        "slide_export": max(1000, 2 * found.request["export_w"] // 1000),
        "modes": study_page.modes(found.request),
        "over": found.status in OVER,
    }
    if answer:
        context["hour"] = answer["binding_import"]["hour"] if answer["import_kw"] else answer["binding_export"]["hour"]
        context["last_hour"] = found.version.description["hours"] - 1
    return render(request, "interconnection/study.html", context)


@access(get=SIGNED_IN)
def study_progress(request: HttpRequest, number: int) -> HttpResponse:
    """A study's progress as a fragment that asks again until the study is over; then the page is read anew."""
    found = or_404(queries.study, request.user, number)
    context = {
        "study": found, "progress": queries.progress(found, timezone.now()), "over": found.status in OVER,
        "engineer": roles.has(request.user, roles.ENGINEER),
    }  # fmt: skip
    answer = render(request, "interconnection/_progress.html", context)
    if found.status in OVER:
        answer["HX-Refresh"] = "true"
    return answer


@access(post=(roles.ENGINEER,))
def cancel_study(request: HttpRequest, number: int) -> HttpResponse:
    """Stop a study."""
    found = or_404(queries.study, request.user, number)
    with told(request):
        study_control.cancel(found, actor=str(request.user))
    return redirect("study", number=number)


@access(post=(roles.ENGINEER,))
def resume_study(request: HttpRequest, number: int) -> HttpResponse:
    """Let a cancelled or failed study go on."""
    found = or_404(queries.study, request.user, number)
    with told(request):
        study_control.go_on(found, actor=str(request.user))
    return redirect("study", number=number)


@access(post=(roles.ENGINEER,))
def clone_study(request: HttpRequest, number: int) -> HttpResponse:
    """Order a copy with a change."""
    found = or_404(queries.study, request.user, number)
    form = CloneForm(request.POST, study=found)
    if not form.is_valid():
        for field, errors in form.errors.items():
            messages.error(request, f"{field}: {' '.join(map(str, errors))}")
        return redirect("study", number=number)
    with told(request):
        copy = study_control.clone(found, form.change(), actor=str(request.user))
        return redirect("study", number=copy.pk)
    return redirect("study", number=number)


@access(post=(roles.ENGINEER,))
def order_ladder(request: HttpRequest, number: int) -> HttpResponse:
    """Search what would make a side firm."""
    found = or_404(queries.study, request.user, number)
    with told(request):
        study_control.order_ladder(found, request.POST.get("side", ""), actor=str(request.user))
    return redirect("study", number=number)


@access(get=SIGNED_IN)
def study_ladder(request: HttpRequest, number: int, side: str) -> HttpResponse:
    """One side's upgrade ladder as a fragment that asks again while it is searched."""
    found = or_404(queries.study, request.user, number)
    ladder = found.ladders.filter(side=side).first()
    return render(request, "interconnection/_ladder.html", {"study": found, "ladder": ladder, "side": side})


@access(get=SIGNED_IN)
def compare_studies(request: HttpRequest) -> HttpResponse:
    """Two studies side by side: which inputs differ, how each figure moves."""
    rows = queries.studies(request.user).filter(status=Study.DONE)
    numbers = [whole_number(request.GET.get(name), 0, 0, 2**31) for name in ("one", "two")]
    found = [or_404(queries.study, request.user, number) for number in numbers if number]
    context: dict[str, Any] = {"choices": rows[:100], "numbers": numbers}
    context["numbers_named"] = [("one", "First", numbers[0]), ("two", "Second", numbers[1])]
    if len(found) == 2 and all(row.status == Study.DONE for row in found):
        answers = [json.loads(row.result) for row in found]
        requests = [row.request for row in found]
        context["inputs"], context["figures"] = study_page.compare(answers[0], answers[1], requests)
        context["pairs"] = list(zip(found, [study_page.sides(answer) for answer in answers], strict=True))
    return render(request, "interconnection/compare.html", context)


def _picture(request: HttpRequest, found: Study) -> tuple[dict[str, Any], int, str]:
    """Return the picture that the address asks for: `hour`, and `side` (import or export: the site at its limit then)."""
    hours = found.version.description["hours"]
    hour = whole_number(request.GET.get("hour"), 0, 0, hours - 1)
    side = request.GET.get("side", "none")
    sites = []
    if side in ("import", "export") and found.status == Study.DONE:
        hourly = json.loads(found.result)["hourly"]
        limits = dict(zip(hourly["hour"], hourly[f"{side}_kw"], strict=True))
        if hour in limits:
            watts = int(limits[hour] * 1000) * (1 if side == "import" else -1)
            sites = [(found.request["bus"], tuple(found.request["phases"]), watts)]
    return pictures.picture(found.version, hour, sites), hour, side if sites else "none"


@access(get=SIGNED_IN)
def study_profile(request: HttpRequest, number: int) -> HttpResponse:
    """The voltage profile of an hour as a fragment."""
    found = or_404(queries.study, request.user, number)
    try:
        state, hour, side = _picture(request, found)
    except HeadroomError as error:
        return render(request, "interconnection/_refusal.html", {"error": error})
    criteria = found.request["criteria"]
    description = found.version.description
    volts = [
        (bus[0], phase, with_site if side != "none" else without)
        for bus, entries in zip(description["buses"], state["v"], strict=True)
        if criteria["voltage_scope"] == "all" or bus[2] > LOW_VOLTAGE_V
        for phase, without, with_site in entries
    ]
    volts.sort(key=lambda row: row[2])
    context = {
        "chart": voltage_profile(
            description["buses"], description["elements"], state, band=(criteria["v_low_pu"], criteria["v_high_pu"]),
            site=found.request["bus"], with_site=side != "none", title=f"voltages along the feeder in hour {hour}",
            scope=criteria["voltage_scope"],
        ),
        "lowest": volts[:8], "highest": volts[:-9:-1], "hour": hour, "side": side, "state": state,
    }  # fmt: skip
    return render(request, "interconnection/_profile.html", context)


@access(get=SIGNED_IN)
def study_state(request: HttpRequest, number: int) -> HttpResponse:
    """Voltages and loadings of an hour for the map, as JSON."""
    found = or_404(queries.study, request.user, number)
    try:
        state, hour, side = _picture(request, found)
    except HeadroomError as error:
        return JsonResponse({"error": f"{error.what}. {error.remedy}".strip()}, status=422)
    criteria = found.request["criteria"]
    return JsonResponse(
        {
            "hour": hour, "side": side, "loading": [row[1] for row in state["loading"]],
            "v": [[entry[2] for entry in entries] for entries in state["v"]], "head_kw": state["head_kw"],
            "band": [criteria["v_low_pu"], criteria["v_high_pu"]], "thermal": criteria["thermal_pu"],
        }
    )  # fmt: skip


@access(get=(roles.ENGINEER, roles.APPROVER))
def study_what_if(request: HttpRequest, number: int) -> HttpResponse:
    """What another power, place or inverter would do, from the same engine, as a fragment."""
    found = or_404(queries.study, request.user, number)
    form = WhatIfForm(request.GET, study=found)
    if found.status != Study.DONE or not form.is_valid():
        return render(request, "interconnection/_what_if.html", {"form": form})
    study_answer = json.loads(found.result)
    version, asked = found.version, form.cleaned_data
    started = time.monotonic()
    try:
        import_w, export_w = form.watts()
        answer = what_if.answer(
            version, asked["bus"].strip().lower(), tuple(found.request["phases"]), import_w, export_w,
            hours=study_page.telling_hours(study_answer["hourly"], version.description["hours"]),
            criteria=CriteriaSettings(**found.request["criteria"]),
            existing=StudyRequest.from_dict(found.request).existing, **form.modes(),
        )  # fmt: skip
    except HeadroomError as error:
        return render(request, "interconnection/_refusal.html", {"error": error})
    context = {
        "answer": answer, "seconds": time.monotonic() - started, "criteria": found.request["criteria"],
        "sides": [(side, answer[side], study_answer[f"firm_{side}_kw"]) for side in ("import", "export") if side in answer],
        "steps": [(name, step) for name, step in answer["rapid_change"].items() if isinstance(step, dict)],
        "ramp": answer["rapid_change"].get("ramp_kw_per_s"),
    }  # fmt: skip
    return render(request, "interconnection/_what_if.html", context)


def _model_etag(request: HttpRequest, number: int) -> str | None:
    row = queries.studies(request.user).filter(pk=number).values_list("version__sha256", flat=True).first()
    return f'"{row}"' if row else None


@access(get=SIGNED_IN)
@condition(etag_func=_model_etag)
def study_geometry(request: HttpRequest, number: int) -> HttpResponse:
    """The wires of the feeder that was studied, for the map; changes only with the model."""
    found = or_404(queries.study, request.user, number)
    return JsonResponse(pictures.geometry(found.version))


@access(get=SIGNED_IN)
def study_hours_csv(request: HttpRequest, number: int) -> HttpResponse:
    """A finished study's hours as CSV."""
    found = or_404(queries.study, request.user, number)
    if found.status != Study.DONE:
        raise Http404
    hourly = json.loads(found.result)["hourly"]
    names = ["hour", *(name for name in sorted(hourly) if name != "hour")]
    lines = [",".join(names)]
    lines += [",".join(str(hourly[name][row]) for name in names) for row in range(len(hourly["hour"]))]
    answer = HttpResponse("\r\n".join(lines) + "\r\n", content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="study-{found.pk}.csv"'
    return answer


@access(get=SIGNED_IN)
def engine_health(request: HttpRequest) -> HttpResponse:
    """The engine against every outside answer: the last stored run of `validate`."""
    return render(request, "interconnection/engine_health.html", {"run": queries.engine_health()})
