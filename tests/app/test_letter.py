"""The offer as a letter: tagged, the same bytes twice, its numbers those of the document, the document inside."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, date, datetime

from pypdf import PdfReader

from interconnection import letter
from interconnection.models import Study
from interconnection.services.offers import draft_terms

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
NAMES = letter.Names("A utility", "A-00001", "A fleet", "Bus depot", "engineer", "approver")


def test_the_letter_is_tagged_repeatable_and_carries_the_signed_terms(studied: Study) -> None:
    assert studied.application is not None
    terms = draft_terms(studied.application, studied, starts=date(2027, 1, 1), ends=date(2030, 1, 1))
    answer = json.loads(studied.result)
    made = letter.pdf(terms, answer, NAMES, NOW)
    assert made == letter.pdf(terms, answer, NAMES, NOW)
    read = PdfReader(io.BytesIO(made))
    root = read.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en"
    assert b"pdfuaid" in made or b"pdfuaid" in root["/Metadata"].get_object().get_data()  # PDF/UA-1 says so itself
    assert read.attachments["agreement.json"][0] == terms.document()
    text = " ".join(page.extract_text() for page in read.pages)
    for words in (letter.kilowatts(terms.firm.import_w), letter.kilowatts(terms.failsafe.export_w), terms.sha256()[:16]):
        assert words in text
    assert "yes, if" in text


def test_a_signed_schedule_is_printed_cell_by_cell(studied: Study) -> None:
    assert studied.application is not None
    plain = draft_terms(studied.application, studied, starts=date(2027, 1, 1), ends=None)
    odd = replace(plain.flexible, import_w=plain.flexible.import_w - 123_400)
    row = (odd, *([plain.flexible] * 23))
    terms = replace(plain, schedule=(row, *([(plain.flexible,) * 24] * 11)))
    read = PdfReader(io.BytesIO(letter.pdf(terms, json.loads(studied.result), NAMES, NOW)))
    text = " ".join(page.extract_text() for page in read.pages)
    assert "The signed schedule, import" in text and "The signed schedule, export" in text
    assert letter.kilowatts(odd.import_w) in text


def test_kilowatts_in_words_never_promise_more_than_the_watts() -> None:
    assert letter.kilowatts(1_234_567) == "1,234.5"
    assert letter.kilowatts(99) == "0"
    assert letter.kilowatts(474_449) == "474.4"
