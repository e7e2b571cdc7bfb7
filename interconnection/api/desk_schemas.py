"""What the OpenAPI document says of screens, questions, places in the queue, options and commissioning."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class ScreenResult(serializers.Serializer[Any]):
    """One screen's outcome; a positive margin is inside, in the screen's unit."""

    id = serializers.CharField()
    side = serializers.ChoiceField(choices=["import", "export", "both"])
    stage = serializers.CharField()
    title = serializers.CharField()
    status = serializers.ChoiceField(choices=["pass", "fail", "not_applicable", "unknown"])
    value = serializers.FloatField(allow_null=True)
    threshold = serializers.FloatField(allow_null=True)
    unit = serializers.CharField()
    margin = serializers.FloatField(allow_null=True)
    element = serializers.CharField()
    hour = serializers.IntegerField(allow_null=True)
    would_pass = serializers.CharField()
    passes_kw = serializers.FloatField(allow_null=True)
    basis = serializers.CharField()
    citation = serializers.CharField()
    verified = serializers.BooleanField()


class ScreenRun(serializers.Serializer[Any]):
    """One run of a rule pack's screens on one version of an application."""

    id = serializers.IntegerField()
    at = serializers.CharField()
    by = serializers.CharField()
    pack = serializers.CharField()
    pack_version = serializers.IntegerField()
    request_number = serializers.IntegerField()
    seconds = serializers.FloatField()
    results = ScreenResult(many=True)


class Question(serializers.Serializer[Any]):
    """Something that was asked of the applicant; while it is open the utility's clocks are paused."""

    id = serializers.IntegerField()
    question = serializers.CharField()
    fields_asked = serializers.ListField(child=serializers.CharField())
    asked = serializers.CharField()
    asked_by = serializers.CharField()
    answer = serializers.CharField()
    answered = serializers.CharField(allow_null=True)
    answered_by = serializers.CharField(allow_null=True)


class Place(serializers.Serializer[Any]):
    """A place in one constraint's queue. `ahead` names nobody to an applicant."""

    side = serializers.ChoiceField(choices=["import", "export"])
    criterion = serializers.CharField()
    element = serializers.CharField()
    asked_kw = serializers.FloatField()
    least_kw = serializers.FloatField()
    hours = serializers.IntegerField()
    worst_hour = serializers.IntegerField()
    position = serializers.IntegerField()
    of = serializers.IntegerField()
    ahead = serializers.ListField(child=serializers.CharField())
    withdrawal_frees_kw = serializers.FloatField()
    moves_up = serializers.IntegerField()


class Restudy(serializers.Serializer[Any]):
    """A reason to study again."""

    kind = serializers.ChoiceField(choices=["model", "request", "withdrawal", "agreement"])
    what = serializers.CharField()
    since = serializers.CharField()


class Places(serializers.Serializer[Any]):
    """Where an application stands, constraint by constraint, and why its study may no longer hold."""

    positions = Place(many=True)
    restudy = Restudy(many=True)


class OptionLimit(serializers.Serializer[Any]):
    """A limit, kilowatts."""

    import_kw = serializers.FloatField()
    export_kw = serializers.FloatField()


class OfferOption(serializers.Serializer[Any]):
    """One way to say yes. `missing`: why it cannot be offered from this study; empty when it can."""

    kind = serializers.CharField()
    title = serializers.CharField()
    missing = serializers.CharField()
    firm = OptionLimit()
    flexible = OptionLimit()
    energy_percent = serializers.DictField(child=serializers.FloatField(allow_null=True))
    usd = serializers.IntegerField()
    months = serializers.IntegerField()
    schedule_kw = serializers.DictField(
        child=serializers.ListField(child=serializers.ListField(child=serializers.FloatField()))
    )


class OfferOptions(serializers.Serializer[Any]):
    """What a study supports, side by side."""

    study = serializers.IntegerField()
    options = OfferOption(many=True)


class CommissioningStep(serializers.Serializer[Any]):
    """One step of a test."""

    name = serializers.CharField()
    passed = serializers.BooleanField()
    value = serializers.CharField()
    limit = serializers.CharField()
    note = serializers.CharField()


class CommissioningResult(serializers.Serializer[Any]):
    """One test of a site: by wire, or witnessed by a second person. `counts` until `expires`."""

    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=["wire", "witness"])
    passed = serializers.BooleanField()
    at = serializers.CharField()
    expires = serializers.CharField()
    recorded_by = serializers.CharField()
    witnessed_by = serializers.CharField(allow_null=True)
    sha256 = serializers.CharField()
    steps = CommissioningStep(many=True)
