"""Which sites a study of an application counts: agreements at their firm limits, then the queue in its order."""

import json
from typing import Any

import pytest
from django.utils import timezone

from interconnection.models import Application, Constraint, FeederVersion, Offer, Study
from interconnection.services import constraints, existing_sites, study_control, what_if
from interconnection.services.applications import file_application, submit
from interconnection.services.studies import perform
from tests.app.conftest import ask

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def newcomer(offered: Offer, people: dict[str, Any]) -> Application:
    """Who applies after `offered` was made."""
    return submit(file_application(ask(bus="675"), applicant=people["applicant"]), actor="applicant")


def test_an_offer_ahead_counts_at_its_firm_limits(newcomer: Application, offered: Offer, version: FeederVersion) -> None:
    (site,) = existing_sites.ahead_of(newcomer, version)
    assert (site.name, site.bus, site.basis) == (offered.application.reference, "671", "offer")
    assert (site.import_w, site.export_w) == (offered.firm_import_w, offered.firm_export_w)
    assert existing_sites.ahead_of(offered.application, version) == ()
    assert existing_sites.in_force(version.feeder, version) == ()


def test_who_is_ahead_counts_by_its_study_and_by_nothing_before(
    newcomer: Application, offered: Offer, version: FeederVersion
) -> None:
    offered.status = Offer.SUPERSEDED
    offered.save()
    constraints.store(offered.study, json.loads(offered.study.result))
    (site,) = existing_sites.ahead_of(newcomer, version)
    firm = json.loads(offered.study.result)
    assert site.basis == "study"
    assert (site.import_w / 1000, site.export_w / 1000) == (firm["firm_import_kw"], firm["firm_export_kw"])
    Constraint.objects.all().delete()
    Study.objects.update(status=Study.FAILED)
    (site,) = existing_sites.ahead_of(newcomer, version)
    assert (site.basis, site.import_w, site.export_w) == ("request", 0, 0)


def test_an_agreement_counts_for_everybody_and_the_study_says_so(
    newcomer: Application, offered: Offer, version: FeederVersion
) -> None:
    Offer.objects.filter(pk=offered.pk).update(status=Offer.ACCEPTED)
    Application.objects.filter(pk=offered.application_id).update(state="accepted", completed=timezone.now())
    (site,) = existing_sites.in_force(version.feeder, version)
    assert existing_sites.ahead_of(newcomer, version) == (site,)
    assert site.basis == "agreement"
    study = perform(study_control.order(newcomer, 24, actor="engineer").pk, workers=1)
    answer = json.loads(study.result)
    assert [item["name"] for item in answer["existing"]] == [offered.application.reference]
    assert any("count at rest and at their firm limits" in finding for finding in answer["findings"])
    asked = (version, "675", (1, 2, 3), newcomer.import_w, newcomer.export_w)
    counted = what_if.answer(*asked, hours=24)
    assert counted["counted"]["sites"] == 1
    assert "existing" not in counted
    alone = what_if.answer(*asked, hours=24, existing=())
    assert alone["counted"]["sites"] == 0
    for side in ("import", "export"):
        assert counted[side]["largest_kw"] <= alone[side]["largest_kw"]
    assert counted["import"]["largest_kw"] == pytest.approx(answer["firm_import_kw"], abs=0.2)
