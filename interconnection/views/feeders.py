"""Feeders: list and import, one feeder with findings and map, two of its models compared."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import condition

from derms.access import SIGNED_IN, access
from derms.errors import HeadroomError, InputError
from derms.grid.criteria import CriteriaSettings
from interconnection import queries, roles, version_compare
from interconnection.models import Feeder, FeederVersion
from interconnection.services import pictures, uploads
from interconnection.views.common import or_404, whole_number

MOST_ELEMENTS = 200


@access(get=SIGNED_IN)
def feeders(request: HttpRequest) -> HttpResponse:
    """All feeders with their newest model."""
    rows = [(feeder, feeder.versions.all()[0], len(feeder.versions.all())) for feeder in queries.feeders()]
    return render(
        request, "interconnection/feeders.html", {"rows": rows, "may_import": roles.has(request.user, roles.ENGINEER)}
    )


@access(post=(roles.ENGINEER,))
def upload_feeder(request: HttpRequest) -> HttpResponse:
    """Import a model from a ZIP archive, or a single .dss file: hostile text, compiled in a confined child."""
    sent, name = request.FILES.get("model"), request.POST.get("name", "").strip()
    try:
        if sent is None:
            raise InputError(
                "no file came", where="model", remedy="Choose a .zip with the model's files, or one .dss file."
            )
        if sent.size is None or sent.size > uploads.MOST_ZIP_BYTES:
            raise InputError(f"larger than {uploads.MOST_ZIP_BYTES // 2**20} MiB", where="model")
        raw = sent.read()
        if PurePath(sent.name or "").suffix.lower() == ".dss":
            raw = uploads.pack_one(sent.name or "model.dss", raw)
        version = uploads.import_zip(raw, name, master=request.POST.get("master", ""), actor=str(request.user))
    except HeadroomError as error:
        where = f"At {error.where}." if error.where else ""
        messages.error(request, " ".join(filter(None, (f"{error.what}.", where, error.remedy))))
        return redirect("feeders")
    messages.success(request, f"{name}: {len(version.description['buses'])} buses, {len(version.findings)} findings.")
    return redirect("feeder", name=version.feeder.name)


def _version(feeder: Feeder, digest: str | None) -> FeederVersion:
    versions = list(feeder.versions.all())
    if not digest:
        return versions[0]
    found = next((row for row in versions if len(digest) >= 8 and row.sha256.startswith(digest)), None)
    if found is None:
        raise Http404
    return found


@access(get=SIGNED_IN)
def feeder(request: HttpRequest, name: str) -> HttpResponse:
    """One feeder: what its model holds, what was found, its map at any hour."""
    found = or_404(queries.feeder, name)
    version = _version(found, request.GET.get("version"))
    elements = sorted(version.description["elements"], key=lambda row: (row[3] != "default", row[0]))
    context: dict[str, Any] = {
        "feeder": found,
        "version": version,
        "versions": found.versions.all(),
        "elements": elements[:MOST_ELEMENTS],
        "default_ratings": sum(1 for row in elements if row[3] == "default"),
        "warnings": sum(1 for item in version.findings if item["severity"] == "warning"),
        "last_hour": version.description["hours"] - 1,
        "utility": roles.sees_all(request.user),
    }
    return render(request, "interconnection/feeder.html", context)


@access(get=SIGNED_IN)
def compare_models(request: HttpRequest, name: str) -> HttpResponse:
    """Two models of a feeder: what came, what went, which rating changed."""
    found = or_404(queries.feeder, name)
    versions = list(found.versions.all())
    one = _version(found, request.GET.get("one") or versions[-1].sha256)
    two = _version(found, request.GET.get("two") or versions[0].sha256)
    context: dict[str, Any] = {
        "feeder": found, "versions": versions, "one": one, "two": two,
        "changes": version_compare.compare(one.description, two.description, (one.findings, two.findings)),
    }  # fmt: skip
    context["came_and_went"] = [("What came", context["changes"].came), ("What went", context["changes"].went)]
    return render(request, "interconnection/compare_models.html", context)


def _etag(request: HttpRequest, name: str) -> str | None:
    found = Feeder.objects.filter(name=name).first()
    newest = found.versions.first() if found is not None else None
    return f'"{newest.sha256}"' if newest is not None else None


@access(get=(roles.ENGINEER, roles.APPROVER, roles.OPERATOR, roles.AUDITOR))
@condition(etag_func=_etag)
def feeder_wires(request: HttpRequest, name: str) -> HttpResponse:
    """The newest model's wires for the map."""
    return JsonResponse(pictures.geometry(or_404(queries.feeder, name).versions.all()[0]))


@access(get=(roles.ENGINEER, roles.APPROVER, roles.OPERATOR, roles.AUDITOR))
def feeder_state(request: HttpRequest, name: str) -> HttpResponse:
    """Voltages and loadings of an hour without any new site, for the map."""
    version = or_404(queries.feeder, name).versions.all()[0]
    hour = whole_number(request.GET.get("hour"), 0, 0, version.description["hours"] - 1)
    try:
        state = pictures.picture(version, hour)
    except HeadroomError as error:
        return JsonResponse({"error": f"{error.what}. {error.remedy}".strip()}, status=422)
    criteria = CriteriaSettings()
    return JsonResponse(
        {
            "hour": hour, "side": "none", "loading": [row[1] for row in state["loading"]],
            "v": [[entry[2] for entry in entries] for entries in state["v"]], "head_kw": state["head_kw"],
            "band": [criteria.v_low_pu, criteria.v_high_pu], "thermal": criteria.thermal_pu,
        }
    )  # fmt: skip
