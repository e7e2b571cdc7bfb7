"""Many applications at once: CSV or NDJSON in, a result for each row out."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import APIException, ParseError, ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from derms.access import access
from derms.errors import HeadroomError, InputError
from interconnection import roles
from interconnection.api import problems, schemas, strict_json
from interconnection.api.application_form import ApplicationForm, wanted
from interconnection.api.base import Api
from interconnection.services import applications as services

MOST_ROWS = 1000
MOST_BYTES = 5_000_000
NUMBERS = ("_kw", "_kwh", "_kva", "_count", "_v", "_a", "_pu", "need_kwh_per_day")


class Rows(BaseParser):
    """The bytes as they came, up to a limit."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, bytes]:
        """Return the bytes under the name `raw`; one too many is 413."""
        raw = stream.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise strict_json.TooLarge(f"the body is larger than {MOST_BYTES} bytes")
        return {"raw": raw}


class CsvRows(Rows):
    """text/csv with a header line."""

    media_type = "text/csv"


class NdjsonRows(Rows):
    """One JSON object a line."""

    media_type = "application/x-ndjson"


@access(own_login=True, post=(roles.APPLICANT, roles.ENGINEER))
class ApplicationBulk(Api):
    """Many applications."""

    scopes = {"POST": "applications:write"}
    parser_classes = [CsvRows, NdjsonRows]
    cost = 50

    @extend_schema(
        operation_id="applications_bulk",
        request={"text/csv": {"type": "string"}, "application/x-ndjson": {"type": "string"}},
        responses=schemas.Bulk,
        parameters=[
            schemas.ONCE,
            OpenApiParameter("dry_run", bool, description="Check every row and store nothing."),
            OpenApiParameter("submit", bool, description="Submit what is filed."),
        ],
    )
    def post(self, request: Request) -> Response:
        """File each row by itself: a bad row is reported and the others stand."""
        csv_body = (request.content_type or "").startswith("text/csv")
        rows = (from_csv if csv_body else from_ndjson)(request.data.get("raw", b""))
        dry, submit = _flag(request, "dry_run"), _flag(request, "submit")
        results = [self._row(number, row, request.user, dry=dry, submit=submit) for number, row in rows]
        if not results:
            raise InputError("there is no row", where="body", remedy="A header line and rows, or one object a line.")
        filed = sum(1 for item in results if item["status"] < 400)
        return Response({"filed": filed, "refused": len(results) - filed, "dry_run": dry, "results": results})

    def _row(self, number: int, row: Any, user: Any, *, dry: bool, submit: bool) -> dict[str, Any]:
        try:
            if isinstance(row, Exception):
                raise row
            form = ApplicationForm(data=row)
            form.is_valid(raise_exception=True)
            with transaction.atomic():
                application = services.file_application(wanted(form), applicant=user)
                if submit:
                    application = services.submit(application, actor=str(user))
                if dry:
                    transaction.set_rollback(True)
        except (HeadroomError, APIException) as error:
            answer = problems.handler(error, {"view": self, "request": self.request})
            assert answer is not None
            return {"row": number, "status": answer.status_code, "problem": answer.data}
        shown = {} if dry else {"id": application.pk, "reference": application.reference}
        return {"row": number, "status": 200 if dry else 201, **shown}


def _flag(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "false")
    if value not in ("true", "false"):
        raise InputError(f"{name} is true or false", where=name)
    return value == "true"


def _lines(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ParseError(f"the body is not UTF-8 (byte {error.start})") from error
    if "\x00" in text:
        raise ParseError("the body holds the NUL character")
    return text


def from_ndjson(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Yield line number and object (or the error of that line); raises ParseError for too many."""
    found = 0
    for number, line in enumerate(_lines(raw).splitlines(), start=1):
        if not line.strip():
            continue
        found += 1
        if found > MOST_ROWS:
            raise InputError(f"more than {MOST_ROWS} rows", where="body", remedy="Send several requests.")
        try:
            row = strict_json.read(line.encode())
            yield number, row if isinstance(row, dict) else ParseError("a line must be a JSON object")
        except APIException as error:
            yield number, error


def from_csv(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Yield line number and row; numbers and true/false are read by column name, empty cells are left out."""
    reader = csv.DictReader(io.StringIO(_lines(raw)), strict=True)
    try:
        names = reader.fieldnames or []
        unknown = [name for name in names if name not in ApplicationForm().fields]
        if not names or unknown or len(set(names)) != len(names):
            what = (
                f"unknown column {unknown[0][:64]!r}" if unknown else "the header line is missing or names a column twice"
            )
            raise InputError(what, where="header", remedy=f"Columns: {', '.join(ApplicationForm().fields)}.")
        for found, row in enumerate(reader, start=1):
            if found > MOST_ROWS:
                raise InputError(f"more than {MOST_ROWS} rows", where="body", remedy="Send several requests.")
            yield reader.line_num, _typed(row)
    except csv.Error as error:
        raise ParseError(f"no CSV: {error} at line {reader.line_num}") from error


def _typed(row: dict[Any, Any]) -> Any:
    if None in row:
        return ParseError("this line has more cells than the header")
    typed: dict[str, Any] = {}
    for name, cell in row.items():
        if cell is None or cell == "":
            continue
        if name in ("secondary_shared", "spot_network"):
            typed[name] = {"true": True, "false": False}.get(cell, cell)
        elif name in ("certificates", "documents", "schedule"):
            try:
                typed[name] = strict_json.read(cell.encode())
            except APIException as error:
                return error
        elif name.endswith(NUMBERS):
            try:
                typed[name] = strict_json.read(cell.encode()) if cell.isascii() else cell
            except APIException:
                return ValidationError({name: ["Give a plain number, with a point."]})
        else:
            typed[name] = cell
    return typed
