"""Which sites a study of an application counts: agreements at their firm limits, then the queue in its order."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from derms.errors import Conflict
from interconnection import queries, queue_order
from interconnection.models import Agreement, Application, Constraint, FeederVersion, Offer, Study
from interconnection.services import bulk, constraints, existing_sites, study_control, what_if
from interconnection.services.applications import file_application, submit
from interconnection.services.offers import accept_offer
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


def test_an_applicant_learns_that_others_count_and_not_who_they_are(
    newcomer: Application, offered: Offer, people: dict[str, Any], version: FeederVersion
) -> None:
    Offer.objects.filter(pk=offered.pk).update(status=Offer.ACCEPTED)
    Application.objects.filter(pk=offered.application_id).update(state="accepted", completed=timezone.now())
    study = perform(study_control.order(newcomer, 24, actor="engineer").pk, workers=1)
    whole, theirs = queries.answer(people["engineer"], study), queries.answer(people["applicant"], study)
    assert whole is not None
    assert theirs is not None
    assert whole["existing"]
    assert not {"existing", "existing_kw"} & set(theirs)
    assert any(finding.startswith("1 other sites") for finding in theirs["findings"])
    assert theirs["hourly"] == whole["hourly"]
    name = offered.application.reference
    for address in (f"/api/v1/studies/{study.pk}/", f"/studies/{study.pk}/", f"/applications/{newcomer.pk}/"):
        browser = Client()
        browser.force_login(people["applicant"])
        page = browser.get(address)
        assert page.status_code == 200
        assert name not in page.content.decode()
        browser.force_login(people["engineer"])
        if address.startswith("/api/"):
            assert name in browser.get(address).content.decode(), "the utility reads the names"


def test_what_was_agreed_while_a_study_ran_is_a_reason_to_study_again(
    newcomer: Application, offered: Offer, people: dict[str, Any]
) -> None:
    study = perform(study_control.order(newcomer, 24, actor="engineer").pk, workers=1)
    assert queue_order.restudy_triggers(newcomer) == []
    accept_offer(offered, applicant=people["applicant"], typed_name="Ada")
    agreed = Agreement.objects.get().accepted
    Study.objects.filter(pk=study.pk).update(created=agreed - timedelta(seconds=9), finished=agreed + timedelta(seconds=9))
    (trigger,) = queue_order.restudy_triggers(newcomer)
    assert (trigger.kind, offered.application.reference in trigger.what) == ("agreement", True)
    assert offered.application.reference not in trigger.public


def test_a_copy_of_a_study_counts_who_is_there_now(newcomer: Application, offered: Offer) -> None:
    study = study_control.order(newcomer, 24, actor="engineer")
    assert [site["basis"] for site in study.request["existing"]] == ["offer"]
    Offer.objects.filter(pk=offered.pk).update(status=Offer.ACCEPTED)
    Application.objects.filter(pk=offered.application_id).update(state="accepted")
    copy = study_control.clone(study, study_control.Change(import_w=1000), actor="engineer")
    assert [site["basis"] for site in copy.request["existing"]] == ["agreement"]


def test_an_agreement_that_the_newest_model_lacks_a_bus_for_stops_studies(
    newcomer: Application, offered: Offer, version: FeederVersion
) -> None:
    Application.objects.filter(pk=offered.application_id).update(bus="gone")
    assert existing_sites.ahead_of(newcomer, version) == (), "who only waits there counts for nothing"
    Application.objects.filter(pk=offered.application_id).update(state="accepted")
    with pytest.raises(Conflict, match=offered.application.reference):
        study_control.order(newcomer, 24, actor="engineer")


def test_studies_by_the_dozen_end_no_offer(offered: Offer) -> None:
    (outcome,) = bulk.act([offered.application], "quick", actor="engineer")
    assert "offer stands" in outcome.refusal
    offered.refresh_from_db()
    assert offered.status == Offer.OPEN
