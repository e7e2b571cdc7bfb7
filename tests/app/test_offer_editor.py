"""The offer editor: options of a study, what a grid means, what is refused, and the way from sentence to signature."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from derms.errors import InputError
from derms.limits import Limit
from interconnection import offer_options
from interconnection.models import Application, Offer, Study
from interconnection.services import offer_editor


def answer_of_a_year(import_kw: float = 1000.0) -> dict[str, Any]:
    """A study of every hour: 400 kW from 17 to 21 h of January, else all of the request; export always 500 kW."""
    hours = list(range(8760))
    kw = [400.0 if hour < 31 * 24 and 17 <= hour % 24 < 21 else import_kw for hour in hours]
    return {
        "import_kw": import_kw, "export_kw": 500.0, "firm_import_kw": 400.0, "firm_export_kw": 500.0,
        "flexible_import_kw": import_kw, "flexible_export_kw": 500.0, "limited_energy_percent_import": 0.85,
        "limited_energy_percent_export": 0.0, "hours": 8760,
        "hourly": {
            "hour": hours, "import_kw": kw, "export_kw": [500.0] * 8760,
            "import_criterion": ["thermal" if value < import_kw else "" for value in kw], "export_criterion": [""] * 8760,
        },
    }  # fmt: skip


def test_the_finer_the_schedule_the_more_energy_it_gives_and_none_promises_more_than_dynamic() -> None:
    found = {option.kind: option for option in offer_options.options(answer_of_a_year())}
    energies = [found[kind].energy["import"] for kind in ("firm", "static_12", "static_24", "static_288", "dynamic")]
    assert energies[0] == 40.0
    assert all(energy is not None for energy in energies)
    assert sorted(energies[2:]) == energies[2:]  # type: ignore[type-var]
    assert energies[1] >= energies[0]  # type: ignore[operator]
    assert found["volt_var"].missing


def test_a_static_schedule_above_the_study_is_refused_and_a_dynamic_ceiling_is_not() -> None:
    answer = answer_of_a_year()
    grids = {side: offer_options.allowed(answer, side) for side in offer_options.SIDES}
    offer_options.check_static("static_288", answer, grids)
    row = list(grids["import"][0])
    row[18] += 1
    above = {**grids, "import": (tuple(row), *grids["import"][1:])}
    with pytest.raises(InputError) as refused:
        offer_options.check_static("static_288", answer, above)
    assert refused.value.where == "schedule.0.18"
    offer_options.check_static("dynamic", answer, above)


def test_a_grid_means_the_hours_in_which_the_network_gives_less() -> None:
    seen = offer_options.meaning(answer_of_a_year(), "import", offer_options.flat(1_000_000))
    assert seen.limited_hours == 31 * 4
    assert seen.above == tuple((0, hour) for hour in range(17, 21))
    assert seen.worst_w == 600_000
    assert offer_options.meaning(answer_of_a_year(), "import", offer_options.flat(400_000)).limited_hours == 0


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("1\t" * 23 + "1", "schedule_import"),
        ("\n".join(["\t".join(["1"] * 23)] * 12), "schedule_import"),
        ("\n".join([*["\t".join(["1"] * 24)] * 11, "\t".join(["1"] * 23 + ["x"])]), "schedule_import.11.23"),
        ("\n".join([*["\t".join(["1"] * 24)] * 11, "\t".join(["1"] * 23 + ["nan"])]), "schedule_import.11.23"),
        ("\n".join([*["\t".join(["1"] * 24)] * 11, "\t".join(["1"] * 23 + ["-1"])]), "schedule_import.11.23"),
    ],
)
def test_a_pasted_grid_that_is_none_says_where(text: str, where: str) -> None:
    with pytest.raises(InputError) as refused:
        offer_options.parse_grid(text, "import")
    assert refused.value.where == where


def test_a_grid_survives_its_text_and_never_grows() -> None:
    grid = tuple(tuple(month * 1_000 + hour * 10 + 7 for hour in range(24)) for month in range(12))
    back = offer_options.parse_grid(offer_options.grid_text(grid), "import")
    assert all(two <= one for before, after in zip(grid, back, strict=True) for one, two in zip(before, after, strict=True))


def signed_in(user: Any) -> Client:
    found = Client()
    found.force_login(user)
    return found


def fields(application: Application, studied: Study) -> dict[str, Any]:
    from interconnection.forms import OfferForm

    option = next(o for o in offer_editor.options(application, studied) if o.kind == "dynamic")
    form = OfferForm.starting(offer_editor.draft(application, studied, option))
    values = {name: form[name].value() for name in form.fields}
    return {name: "" if value is None else str(value) for name, value in values.items()}


def test_from_the_editor_to_the_signature_with_two_people(
    application: Application, studied: Study, people: dict[str, Any]
) -> None:
    application.refresh_from_db()
    number = [application.pk]
    engineer, approver, applicant = (signed_in(people[role]) for role in ("engineer", "approver", "applicant"))
    page = engineer.get(reverse("edit-offer", args=number)).content.decode()
    for words in ("Firm now", "Static, month by hour", "Dynamic", "Upgrade", "always there"):
        assert words in page
    sent = fields(application, studied)
    checked = engineer.post(reverse("check-offer", args=number), sent).content.decode()
    assert "The terms hold together" in checked, checked
    refused = engineer.post(reverse("check-offer", args=number), sent | {"failsafe_import": "99999"}).content.decode()
    assert "failsafe" in refused and "hold together" not in refused
    row = "\t".join(["99999"] * 24)
    refused = engineer.post(
        reverse("check-offer", args=number), sent | {"schedule_import": "\n".join([row] * 12), "cap_hours": "8760",
                                                    "cap_energy_percent": "100"}
    ).content.decode()  # fmt: skip
    assert "above what was asked" in refused and "hold together" not in refused, "as preparing it would be"
    assert Offer.objects.count() == 0
    assert engineer.post(reverse("edit-offer", args=number), sent).status_code == 302
    offer = Offer.objects.get()
    letter = reverse("offer-letter", args=[application.pk, offer.pk])
    assert applicant.get(letter).status_code == 404, "what nobody issued is not the applicant's to read"
    approver.post(reverse("approve-offer", args=number), {"sha256": offer.sha256})
    made = applicant.get(letter)
    assert made["Content-Type"] == "application/pdf"
    assert made.content.startswith(b"%PDF")
    terms = applicant.get(reverse("offer-terms", args=[application.pk, offer.pk])).content
    assert terms == offer.document.encode()
    applicant.post(reverse("accept-offer", args=number), {"sha256": offer.sha256, "typed_name": "A. Fleet"})
    application.refresh_from_db()
    assert application.state == "accepted"


def test_a_cap_below_the_expectation_and_a_firm_above_the_study_are_refused(
    application: Application, studied: Study, people: dict[str, Any]
) -> None:
    application.refresh_from_db()
    option = next(o for o in offer_editor.options(application, studied) if o.kind == "dynamic")
    edit = offer_editor.draft(application, studied, option)
    expected = offer_editor.terms_of(application, studied, edit).curtailment.expected_hours
    assert expected == round(json.loads(studied.result)["limited_hours_import"] * 8760 / 48)
    if expected:
        with pytest.raises(InputError, match="cap"):
            offer_editor.prepare(application, studied, replace(edit, cap_hours=expected - 1), engineer=people["engineer"])
        with pytest.raises(InputError, match="of the energy"):
            offer_editor.check(application, studied, replace(edit, cap_energy_percent=0.0), offer_editor.terms_of(
                application, studied, replace(edit, cap_energy_percent=0.0)))  # fmt: skip
    above = Limit(edit.firm.import_w + 1, edit.firm.export_w)
    with pytest.raises(InputError, match="firm"):
        offer_editor.terms_of(application, studied, replace(edit, firm=above))


def test_an_application_is_filed_amended_and_its_versions_differ(people: dict[str, Any], version: Any) -> None:
    from tests.app.test_pages_and_api import BODY

    applicant = signed_in(people["applicant"])
    sent = {**BODY, "export_mode": "dynamic", "limit_means": "utility", "inverter_place": "charger",
            "charger_fault_pu": 1.2, "vehicle_count": 0, "protocol": "dnp3", "rule_pack": "us-sgip-like"}  # fmt: skip
    made = applicant.post(reverse("new-application"), sent)
    assert made.status_code == 302, made.context["form"].errors
    filed = Application.objects.get()
    assert filed.state in ("submitted", "complete")
    wrong = applicant.post(reverse("amend-application", args=[filed.pk]), {**sent, "bus": "nowhere"})
    assert "has no bus" in wrong.content.decode()
    applicant.post(
        reverse("amend-application", args=[filed.pk]), {**sent, "import_kw": 900, "certificates": "UL 1741 SB: E1"}
    )
    page = applicant.get(reverse("application", args=[filed.pk])).content.decode()
    assert "Version 2" in page and "import_w" in page and "900000" in page


def test_the_board_filters_searches_and_gives_csv_without_formulas(
    application: Application, people: dict[str, Any]
) -> None:
    Application.objects.filter(pk=application.pk).update(name="=cmd|calc")
    engineer = signed_in(people["engineer"])
    assert application.reference in engineer.get(reverse("queue"), {"stage": "new"}).content.decode() or (
        application.state not in ("draft", "submitted")
    )
    assert application.reference not in engineer.get(reverse("queue"), {"q": "nothing like it"}).content.decode()
    assert engineer.get(reverse("search"), {"q": application.reference}).status_code == 302
    assert "bus 671" in engineer.get(reverse("search"), {"q": "671"}).content.decode()
    table = engineer.get(reverse("queue-csv")).content.decode()
    assert "'=cmd|calc" in table
    assert signed_in(people["other"]).get(reverse("queue-csv")).content.decode().count("\n") == 1
