"""Forms of the planning desk: kilowatts outside, watts inside."""

from __future__ import annotations

from typing import Any

from django import forms

from derms.grid.capacity import INVERTERS
from derms.units import kilowatts_to_watts
from interconnection.models import PROTOCOLS, Feeder, Study
from interconnection.services.applications import Request
from interconnection.services.study_control import Change

INVERTER_WORDS = {
    "unity": "unity power factor", "volt_var_a": "volt-var, category A", "volt_var_b": "volt-var, category B",
}  # fmt: skip
RULES = [("no_worse", "no worse than today"), ("strict", "strict"), ("masked", "mask what is broken today")]


class ApplicationForm(forms.Form):
    """A new application."""

    name = forms.CharField(max_length=120, label="Site")
    feeder = forms.ChoiceField()
    bus = forms.CharField(max_length=64)
    phases = forms.RegexField(r"^[123]{1,3}$", initial="123")
    import_kw = forms.FloatField(min_value=0, label="Import, kW")
    export_kw = forms.FloatField(min_value=0, label="Export, kW")
    charger_model = forms.CharField(max_length=120, label="Charger")
    charger_count = forms.IntegerField(min_value=1, max_value=100_000, label="How many")
    charger_import_kw = forms.FloatField(min_value=0, label="Each imports, kW")
    charger_export_kw = forms.FloatField(min_value=0, label="Each exports, kW")
    need_kwh_per_day = forms.FloatField(min_value=0, initial=0, label="Fleet's need, kWh a day")
    wanted = forms.DateField(widget=forms.DateInput(attrs={"type": "date"}), label="Wanted by")
    protocol = forms.ChoiceField(choices=PROTOCOLS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = [(name, name) for name in Feeder.objects.order_by("name").values_list("name", flat=True)]
        self.fields["feeder"].choices = names  # type: ignore[attr-defined]

    def request(self) -> Request:
        """Return what is asked for, in watts; raises InputError (NaN among them)."""
        data = self.cleaned_data
        facts: dict[str, Any] = {
            name.replace("_kw", "_w"): kilowatts_to_watts(data[name], where=name)
            for name in ("import_kw", "export_kw", "charger_import_kw", "charger_export_kw")
        }
        facts["need_wh_per_day"] = kilowatts_to_watts(data["need_kwh_per_day"], where="need_kwh_per_day")
        for name in ("name", "feeder", "bus", "phases", "charger_model", "charger_count", "wanted", "protocol"):
            facts[name] = data[name]
        return Request(**facts)


class CloneForm(forms.Form):
    """A copy of a study with something changed: starts as the study is."""

    bus = forms.CharField(max_length=64)
    import_kw = forms.FloatField(min_value=0, label="Import, kW")
    export_kw = forms.FloatField(min_value=0, label="Export, kW")
    hours = forms.TypedChoiceField(choices=[(288, "quick, 288 hours"), (8760, "all 8,760 hours")], coerce=int)
    inverter = forms.ChoiceField(choices=[(name, INVERTER_WORDS.get(name, name)) for name in INVERTERS])
    rule = forms.ChoiceField(choices=RULES, label="Rule for what is broken today")

    def __init__(self, *args: Any, study: Study, **kwargs: Any) -> None:
        asked = study.request
        kwargs["initial"] = {
            "bus": asked["bus"],
            "import_kw": asked["import_w"] / 1000,
            "export_kw": asked["export_w"] / 1000,
            "hours": 288 if len(asked["hours"]) <= 288 else 8760,
            "inverter": asked.get("inverter", "unity"),
            "rule": asked["criteria"]["rule"],
        }
        super().__init__(*args, **(kwargs | {"auto_id": "clone-%s"}))

    def change(self) -> Change:
        """Return the change, in watts; raises InputError (NaN among them)."""
        data = self.cleaned_data
        return Change(
            bus=data["bus"],
            import_w=kilowatts_to_watts(data["import_kw"], where="import_kw"),
            export_w=kilowatts_to_watts(data["export_kw"], where="export_kw"),
            hours=data["hours"],
            inverter=data["inverter"],
            rule=data["rule"],
        )


class WhatIfForm(forms.Form):
    """A question to the engine: starts as the study is; nothing is stored."""

    bus = forms.CharField(max_length=64)
    import_kw = forms.FloatField(min_value=0, label="Import, kW")
    export_kw = forms.FloatField(min_value=0, label="Export, kW")
    inverter = forms.ChoiceField(choices=[(name, INVERTER_WORDS.get(name, name)) for name in INVERTERS])

    def __init__(self, *args: Any, study: Study, **kwargs: Any) -> None:
        asked = study.request
        kwargs["initial"] = {
            "bus": asked["bus"],
            "import_kw": asked["import_w"] / 1000,
            "export_kw": asked["export_w"] / 1000,
            "inverter": asked.get("inverter", "unity"),
        }
        super().__init__(*args, **(kwargs | {"auto_id": "wi-%s"}))
        for name in ("import_kw", "export_kw"):
            self.fields[name].widget.attrs |= {"step": "any", "data-slide": f"wi-{name}-slide"}

    def watts(self) -> tuple[int, int]:
        """Return import and export in watts; raises InputError (NaN among them)."""
        found = [kilowatts_to_watts(self.cleaned_data[name], where=name) for name in ("import_kw", "export_kw")]
        return found[0], found[1]
