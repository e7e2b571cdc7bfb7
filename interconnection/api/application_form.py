"""An application as the API shows and takes it: each field of `interconnection.request.Request`, kilowatts outside."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from interconnection.api.fields import Count, Day, Fraction, Kilowatts, Text, Truth
from interconnection.request import CHOICES, DOCUMENT_KINDS, Request


class CertificateClaim(serializers.Serializer[Any]):
    """A listing that the applicant names."""

    standard = Text(max_length=200)
    listing = Text(max_length=200)


class DocumentNote(serializers.Serializer[Any]):
    """A document that is attached or announced."""

    kind = serializers.ChoiceField(choices=DOCUMENT_KINDS)
    status = serializers.ChoiceField(choices=["attached", "pending"])
    note = Text(max_length=200, required=False, allow_blank=True)


class ApplicationForm(serializers.Serializer[Any]):
    """An application."""

    id = serializers.IntegerField(read_only=True)
    reference = serializers.CharField(read_only=True)
    state = serializers.CharField(read_only=True)
    created = serializers.DateTimeField(read_only=True)
    changed = serializers.DateTimeField(read_only=True)
    name = Text(max_length=120)
    feeder = Text(max_length=64)
    bus = Text(max_length=64)
    phases = serializers.RegexField(r"^[123]{1,3}$", default="123")
    import_kw = Kilowatts(source="import_w")
    export_kw = Kilowatts(source="export_w")
    charger_model = Text(max_length=120)
    charger_count = Count()
    charger_import_kw = Kilowatts(source="charger_import_w")
    charger_export_kw = Kilowatts(source="charger_export_w")
    need_kwh_per_day = Kilowatts(source="need_wh_per_day", required=False)
    wanted = Day()
    protocol = serializers.ChoiceField(choices=CHOICES["protocol"], default="dnp3")
    address = Text(max_length=200, required=False, allow_blank=True)
    account = Text(max_length=40, required=False, allow_blank=True)
    contact = Text(max_length=120, required=False, allow_blank=True)
    contact_email = Text(max_length=254, required=False, allow_blank=True)
    contact_phone = Text(max_length=40, required=False, allow_blank=True)
    transformer = Text(max_length=64, required=False, allow_blank=True)
    transformer_kva = Kilowatts(source="transformer_va", required=False, allow_null=True)
    service_v = Count(required=False, allow_null=True, most=1_000_000)
    service_a = Count(required=False, allow_null=True)
    secondary_shared = Truth(required=False)
    spot_network = Truth(required=False)
    import_kva = Kilowatts(source="import_va", required=False, allow_null=True)
    export_kva = Kilowatts(source="export_va", required=False, allow_null=True)
    export_mode = serializers.ChoiceField(choices=CHOICES["export_mode"], required=False)
    limit_means = serializers.ChoiceField(choices=CHOICES["limit_means"], required=False)
    charger_make = Text(max_length=80, required=False, allow_blank=True)
    inverter_place = serializers.ChoiceField(choices=CHOICES["inverter_place"], required=False)
    charger_fault_pu = Fraction(required=False)
    certificates = CertificateClaim(many=True, required=False)
    vehicle_model = Text(max_length=120, required=False, allow_blank=True)
    vehicle_count = Count(least=0, required=False)
    vehicle_kwh = Kilowatts(source="vehicle_wh", required=False)
    storage_kw = Kilowatts(source="storage_w", required=False)
    storage_kwh = Kilowatts(source="storage_wh", required=False)
    pv_kw = Kilowatts(source="pv_w", required=False)
    load_most_kw = Kilowatts(source="load_most_w", required=False)
    load_least_kw = Kilowatts(source="load_least_w", required=False)
    schedule = serializers.JSONField(required=False)
    documents = DocumentNote(many=True, required=False)
    rule_pack = serializers.RegexField(r"^[a-z0-9-]{1,64}$", required=False)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """Show the feeder by name."""
        shown = super().to_representation(instance)
        shown["feeder"] = instance.feeder.name
        return shown


def wanted(form: ApplicationForm) -> Request:
    """Return what a valid form asks for."""
    facts = {name: value for name, value in form.validated_data.items()}
    facts.setdefault("need_wh_per_day", 0)
    for name in ("certificates", "documents"):
        if name in facts:
            facts[name] = [dict(row) for row in facts[name]]
    return Request(**facts)


def amended(present: Request, changes: dict[str, Any]) -> Request:
    """Return the present request with some fields changed; raises ValidationError (422) with pointers."""
    form = ApplicationForm(data=changes, partial=True)
    form.is_valid(raise_exception=True)
    facts = {name: getattr(present, name) for name in Request.__dataclass_fields__}
    facts |= {name: ([dict(row) for row in value] if name in ("certificates", "documents") else value)
              for name, value in form.validated_data.items() if name in changes_inside(changes, form)}  # fmt: skip
    return Request(**facts)


def changes_inside(changes: dict[str, Any], form: ApplicationForm) -> set[str]:
    """Return the inner names of the fields that were really sent: defaults of a partial form do not count."""
    return {str(field.source or name) for name, field in form.fields.items() if name in changes and not field.read_only}
