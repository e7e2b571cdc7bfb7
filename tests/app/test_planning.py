"""The planning desk: bad input changes nothing, one of two wins, and what was signed is what is obeyed."""

from __future__ import annotations

import json
import math
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import IntegrityError, transaction

from derms.agreement import Terms
from derms.errors import Conflict, HeadroomError, InputError, NotFound
from derms.limits import Limit
from interconnection import queries, states
from interconnection.models import Agreement, Application, Event, Feeder, FeederVersion, Offer, Study
from interconnection.services.applications import file_application, move
from interconnection.services.offers import accept_offer, draft_terms, issue_offer
from interconnection.services.studies import build_request, order_study, perform
from tests.app.conftest import ask

BAD = [
    ({"bus": "999"}, "bus"),
    ({"bus": "611"}, "phases"),
    ({"phases": "12x"}, "phases"),
    ({"import_w": 4_000_001}, "import_kw"),
    ({"export_w": 3_000_001}, "export_kw"),
    ({"import_w": 0, "export_w": 0}, "import_kw"),
    ({"charger_count": 0}, "charger_count"),
    ({"feeder": "nowhere"}, "feeder"),
    ({"import_w": math.nan}, "import_kw"),
    ({"import_w": True}, "import_kw"),
    ({"import_w": -5}, "import_kw"),
    ({"wanted": date(9999, 1, 1)}, "wanted"),
    ({"name": "  "}, "name"),
    ({"protocol": "telepathy"}, "protocol"),
]


@pytest.mark.parametrize(("changes", "where"), BAD)
def test_a_bad_application_says_where_and_what_to_do_and_stores_nothing(
    people: dict[str, Any], version: FeederVersion, changes: dict[str, Any], where: str
) -> None:
    with pytest.raises(InputError) as error:
        file_application(ask(**changes), applicant=people["applicant"])
    assert error.value.where == where
    assert Application.objects.count() == 0
    assert Event.objects.exclude(action="import_feeder").count() == 0


def test_the_database_itself_refuses_more_than_the_nameplates(application: Application) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Application.objects.filter(pk=application.pk).update(import_w=4_000_001)


def test_the_table_of_states_is_closed_and_every_state_but_the_last_two_has_a_way_on() -> None:
    for transition in states.TABLE:
        assert set(transition.sources) <= set(states.STATES)
        assert transition.target in states.STATES
    assert {state for state in states.STATES if not states.actions(state)} == {states.ENDED, states.WITHDRAWN}
    with pytest.raises(Conflict):
        states.after("accept", states.DRAFT)


def test_of_two_who_move_an_application_at_once_one_wins(application: Application) -> None:
    first, second = (Application.objects.get(pk=application.pk) for _ in range(2))
    move(first, "withdraw", actor="a")
    with pytest.raises(Conflict):
        move(second, "withdraw", actor="b")


def test_the_same_study_gives_the_same_document(application: Application, studied: Study, version: FeederVersion) -> None:
    again = order_study(
        version,
        build_request(version, "671", (1, 2, 3), 4_000_000, 3_000_000, hours=48),
        actor="e",
        application=application,
    )
    assert perform(again.pk, workers=2).result == studied.result
    assert again.inputs_sha256 == studied.inputs_sha256
    answer = json.loads(studied.result)
    assert answer["firm_import_kw"] == min(answer["hourly"]["import_kw"])
    assert answer["binding_import"]["hour"] in answer["hourly"]["hour"]


def test_a_job_that_comes_twice_is_done_once(studied: Study) -> None:
    before = studied.finished
    assert perform(studied.pk).finished == before


def test_a_study_that_fails_keeps_its_error_and_no_result(application: Application, version: FeederVersion) -> None:
    request = build_request(version, "671", (1, 2, 3), 4_000_000, 3_000_000, hours=2)
    study = order_study(version, request, actor="e", application=application)
    Study.objects.filter(pk=study.pk).update(request=request.to_dict() | {"bus": "gone"})
    with pytest.raises(HeadroomError):
        perform(study.pk, workers=1)
    study.refresh_from_db()
    assert (study.status, study.result) == (Study.FAILED, "")
    assert "gone" in study.error


def person_named(name: str) -> Any:
    return get_user_model().objects.get(username=name)


def offer_for(application: Application, studied: Study, engineer: Any) -> Offer:
    application.refresh_from_db()
    terms = draft_terms(application, studied, starts=date(2026, 1, 1), ends=None)
    return issue_offer(application, studied, terms, engineer=engineer, approver=person_named("approver"))


def test_what_was_signed_is_what_the_control_room_reads(
    application: Application, studied: Study, people: dict[str, Any]
) -> None:
    offer = offer_for(application, studied, people["engineer"])
    agreement = accept_offer(offer, applicant=people["applicant"], typed_name="A. Applicant")
    (terms,) = queries.agreements_in_force(date(2026, 6, 1))
    assert terms.document().decode() == agreement.document == offer.document
    assert terms.sha256() == offer.sha256
    assert terms.failsafe == terms.firm
    answer = json.loads(studied.result)
    assert terms.firm.import_w <= answer["firm_import_kw"] * 1000
    assert queries.agreements_in_force(date(2025, 12, 31)) == []
    move(Application.objects.get(pk=application.pk), "end", actor="engineer")
    assert queries.agreements_in_force(date(2026, 6, 1)) == []


def test_a_second_acceptance_a_second_offer_and_an_edit_are_refused(
    application: Application, studied: Study, people: dict[str, Any]
) -> None:
    offer = offer_for(application, studied, people["engineer"])
    application.refresh_from_db()
    with pytest.raises(Conflict):
        issue_offer(application, studied, offer.terms, engineer=people["engineer"], approver=people["approver"])
    agreement = accept_offer(offer, applicant=people["applicant"], typed_name="A. Applicant")
    with pytest.raises(Conflict):
        accept_offer(Offer.objects.get(pk=offer.pk), applicant=people["applicant"], typed_name="A. Applicant")
    assert Agreement.objects.count() == 1
    agreement.document = "{}"
    with pytest.raises(Conflict):
        agreement.save()
    with pytest.raises(Conflict):
        agreement.delete()


def test_a_tampered_document_is_not_obeyed(application: Application, studied: Study, people: dict[str, Any]) -> None:
    agreement = accept_offer(
        offer_for(application, studied, people["engineer"]), applicant=people["applicant"], typed_name="A. Applicant"
    )
    changed = agreement.document.replace('"lease_s":60', '"lease_s":86400')
    Agreement.objects.filter(pk=agreement.pk).update(document=changed)
    with pytest.raises(Conflict):
        queries.agreements_in_force(date(2026, 6, 1))


def test_a_failsafe_above_firm_cannot_be_offered(application: Application, studied: Study, people: dict[str, Any]) -> None:
    application.refresh_from_db()
    terms = draft_terms(application, studied, starts=date(2026, 1, 1), ends=None)
    raw = json.loads(terms.document())
    raw["failsafe"] = {"import_w": terms.firm.import_w + 1, "export_w": 0}
    with pytest.raises(InputError, match="failsafe"):
        Terms.parse(json.dumps(raw).encode())
    above = Limit(terms.firm.import_w + 1, terms.firm.export_w)
    raw["failsafe"] = raw["firm"] = {"import_w": above.import_w, "export_w": above.export_w}
    with pytest.raises(InputError):
        issue_offer(application, studied, Terms.parse(json.dumps(raw).encode()), engineer=people["engineer"],
                    approver=people["approver"])  # fmt: skip


def test_anothers_application_answers_as_a_missing_one(application: Application, people: dict[str, Any]) -> None:
    with pytest.raises(NotFound) as missing:
        queries.application(people["other"], 10**6)
    with pytest.raises(NotFound) as hidden:
        queries.application(people["other"], application.pk)
    assert str(missing.value).replace(str(10**6), "N") == str(hidden.value).replace(str(application.pk), "N")


def test_import_feeder_prints_findings_and_a_refusal_names_file_line_and_remedy(db: None, tmp_path: Path) -> None:
    good = tmp_path / "small.dss"
    good.write_text(
        "clear\nnew circuit.small basekv=12.47 bus1=s\nnew line.l bus1=s bus2=b length=1\n"
        "new energymeter.m element=line.l\nnew load.a bus1=b kv=12.47 kw=100\nset voltagebases=(12.47)\ncalcvoltagebases\n"
    )
    out = StringIO()
    call_command("import_feeder", str(good), name="small", stdout=out)
    assert "energymeter left out" in out.getvalue()
    assert "400 A" in out.getvalue()
    bad = tmp_path / "bad.dss"
    bad.write_text(good.read_text() + "new generator.g bus1=b usermodel=x.so\n")
    errors = StringIO()
    with pytest.raises(SystemExit) as stop:
        call_command("import_feeder", str(bad), name="bad", stderr=errors)
    assert stop.value.code == 2
    assert "bad.dss:8" in errors.getvalue()
    assert not Feeder.objects.filter(name="bad").exists()


def test_the_study_command_prints_one_value_an_hour(db: None) -> None:
    out = StringIO()
    call_command("study", feeder="ieee13", bus="671", import_kw=4000.0, export_kw=3000.0, hours=24, json=True, stdout=out)
    answer = json.loads(out.getvalue())
    assert len(answer["hourly"]["import_kw"]) == len(answer["hourly"]["export_kw"]) == 24
    assert answer["firm_import_kw"] <= answer["flexible_import_kw"] <= 4000
    with pytest.raises(SystemExit) as stop:
        call_command("study", feeder="ieee13", bus="nope", import_kw=10.0, hours=1, stderr=StringIO())
    assert stop.value.code == 2
