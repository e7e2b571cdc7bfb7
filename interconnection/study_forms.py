"""Forms of the study workbench: how the site, the regulators and the criteria are taken; kilowatts and percent outside."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django import forms

from derms.grid.criteria import CriteriaSettings
from derms.grid.study_request import INVERTERS, REGULATORS
from derms.units import kilowatts_to_watts
from interconnection.models import Study
from interconnection.services.study_control import Change, Settings

INVERTER_WORDS = {
    "unity": "unity or fixed power factor", "volt_var_a": "volt-var, category A", "volt_var_b": "volt-var, category B",
}  # fmt: skip
REGULATOR_WORDS = {
    "frozen": "frozen, as the hour settled", "edge": "at the edge of their band", "free": "free to move",
    "worst": "the worst of the three",
}  # fmt: skip
RULES = [("no_worse", "no worse than today"), ("strict", "strict"), ("masked", "mask what is broken today")]
SCOPES = [("mv", "medium voltage"), ("all", "all nodes")]
HOURS = [(288, "quick, 288 hours"), (8760, "all 8,760 hours")]
EXTRAS = {
    "unbalance_pu": "Unbalance, %", "regulator_band_share": "Regulator band, %", "fault_rise": "Fault-current rise, %",
    "interrupting_share": "Interrupting duty, %", "reach_loss": "Loss of reach, %",
}  # fmt: skip
"""Criteria that are off while empty: watched and shown, not in use."""


def _percent(words: str, most: float) -> forms.FloatField:
    widget = forms.NumberInput(attrs={"step": "any", "class": "short", "placeholder": "watched"})
    return forms.FloatField(min_value=0.01, max_value=most, required=False, label=words, widget=widget)


class SettingsForm(forms.Form):
    """How a study takes the inverter, the regulators and the criteria; an empty limit is watched, not in use."""

    inverter = forms.ChoiceField(choices=[(name, INVERTER_WORDS.get(name, name)) for name in INVERTERS])
    power_factor = forms.FloatField(
        min_value=0.5, max_value=1.0, initial=1.0, label="Fixed power factor",
        widget=forms.NumberInput(attrs={"step": "0.01", "class": "short"}),
    )  # fmt: skip
    volt_watt = forms.BooleanField(required=False, label="Volt-watt on (counts as curtailment)")
    regulators = forms.ChoiceField(choices=[(name, REGULATOR_WORDS.get(name, name)) for name in REGULATORS])
    rule = forms.ChoiceField(choices=RULES, label="What is broken today")
    voltage_scope = forms.ChoiceField(choices=SCOPES, label="Voltages judged")
    v_low_pu = forms.FloatField(min_value=0.5, max_value=1.5, label="Least voltage, pu")
    v_high_pu = forms.FloatField(min_value=0.5, max_value=1.5, label="Largest voltage, pu")
    thermal = forms.FloatField(min_value=10, max_value=300, label="Thermal, % of rating")
    reverse_power_kw = forms.FloatField(
        min_value=0, required=False, label="Reverse power at the head, kW",
        widget=forms.NumberInput(attrs={"step": "any", "class": "short", "placeholder": "off"}),
    )  # fmt: skip
    unbalance_pu = _percent(EXTRAS["unbalance_pu"], 20)
    regulator_band_share = _percent(EXTRAS["regulator_band_share"], 200)
    fault_rise = _percent(EXTRAS["fault_rise"], 100)
    interrupting_share = _percent(EXTRAS["interrupting_share"], 100)
    reach_loss = _percent(EXTRAS["reach_loss"], 100)

    SITE: tuple[str, ...] = ("inverter", "power_factor", "volt_watt", "regulators", "rule")

    def __init__(self, *args: Any, asked: dict[str, Any] | None = None, **kwargs: Any) -> None:
        self.asked = asked or {"criteria": CriteriaSettings().to_dict()}
        criteria = self.asked["criteria"]
        initial = {name: self.asked.get(name, default) for name, default in _PLAIN.items()}
        initial |= {name: criteria[name] for name in ("rule", "voltage_scope", "v_low_pu", "v_high_pu")}
        reverse = criteria.get("reverse_power_w")
        initial |= {
            "thermal": round(100 * criteria["thermal_pu"], 6),
            "reverse_power_kw": None if reverse is None else reverse / 1000,
            **{name: round(100 * criteria[name], 6) for name in EXTRAS if criteria.get(name) is not None},
        }
        kwargs["initial"] = initial | kwargs.get("initial", {})
        super().__init__(*args, **kwargs)
        for name in ("v_low_pu", "v_high_pu", "thermal"):
            if name in self.fields:
                self.fields[name].widget.attrs |= {"step": "any", "class": "short"}

    def site_fields(self) -> list[Any]:
        """Return how the site and the regulators are taken."""
        return [self[name] for name in self.SITE if name in self.fields]

    def criteria_fields(self) -> list[Any]:
        """Return the limits of the criteria."""
        return [self[name] for name in _CRITERIA if name in self.fields]

    def settings(self) -> Settings:
        """Return what the form says; raises InputError."""
        data = self.cleaned_data
        reverse = data["reverse_power_kw"]
        limits: dict[str, Any] = {name: None if data[name] is None else data[name] / 100 for name in EXTRAS}
        limits |= {name: data[name] for name in ("rule", "voltage_scope", "v_low_pu", "v_high_pu")}
        limits["thermal_pu"] = data["thermal"] / 100
        limits["reverse_power_w"] = None if reverse is None else kilowatts_to_watts(reverse, where="reverse_power_kw")
        criteria = replace(CriteriaSettings(**self.asked["criteria"]), **limits)
        return Settings(
            criteria=criteria, **{name: data[name] for name in ("inverter", "power_factor", "volt_watt", "regulators")}
        )


_PLAIN = {"inverter": "unity", "power_factor": 1.0, "volt_watt": False, "regulators": "frozen"}
_CRITERIA = ("voltage_scope", "v_low_pu", "v_high_pu", "thermal", "reverse_power_kw", *EXTRAS)


class StudyForm(SettingsForm):
    """A first study of an application, with settings of its own."""

    hours = forms.TypedChoiceField(choices=HOURS, coerce=int, initial=8760)
    curtailment = forms.BooleanField(
        required=False, initial=True, label="Curtailment of the fleet's need, P50 and P90 (whole year only)"
    )

    SITE = ("hours", *SettingsForm.SITE, "curtailment")


class CloneForm(SettingsForm):
    """A copy of a study with something changed: starts as the study is."""

    bus = forms.CharField(max_length=64)
    import_kw = forms.FloatField(min_value=0, label="Import, kW")
    export_kw = forms.FloatField(min_value=0, label="Export, kW")
    hours = forms.TypedChoiceField(choices=HOURS, coerce=int)

    SITE = ("bus", "import_kw", "export_kw", "hours", *SettingsForm.SITE)

    def __init__(self, *args: Any, study: Study, **kwargs: Any) -> None:
        asked = study.request
        kwargs["initial"] = {
            "bus": asked["bus"],
            "import_kw": asked["import_w"] / 1000,
            "export_kw": asked["export_w"] / 1000,
            "hours": 288 if len(asked["hours"]) <= 288 else 8760,
        }
        super().__init__(*args, asked=asked, **(kwargs | {"auto_id": "clone-%s"}))

    def change(self) -> Change:
        """Return the change, in watts; raises InputError (NaN among them)."""
        data = self.cleaned_data
        return Change(
            bus=data["bus"],
            import_w=kilowatts_to_watts(data["import_kw"], where="import_kw"),
            export_w=kilowatts_to_watts(data["export_kw"], where="export_kw"),
            hours=data["hours"],
            settings=self.settings(),
        )


class WhatIfForm(forms.Form):
    """A question to the engine: starts as the study is; nothing is stored."""

    bus = forms.CharField(max_length=64)
    import_kw = forms.FloatField(min_value=0, label="Import, kW")
    export_kw = forms.FloatField(min_value=0, label="Export, kW")
    inverter = forms.ChoiceField(choices=[(name, INVERTER_WORDS.get(name, name)) for name in INVERTERS])
    power_factor = forms.FloatField(
        min_value=0.5, max_value=1.0, label="Power factor", required=False,
        widget=forms.NumberInput(attrs={"step": "0.01", "class": "short"}),
    )  # fmt: skip
    volt_watt = forms.BooleanField(required=False, label="Volt-watt")

    def __init__(self, *args: Any, study: Study, **kwargs: Any) -> None:
        asked = study.request
        kwargs["initial"] = {
            "bus": asked["bus"],
            "import_kw": asked["import_w"] / 1000,
            "export_kw": asked["export_w"] / 1000,
            **{name: asked.get(name, default) for name, default in _PLAIN.items() if name != "regulators"},
        }
        super().__init__(*args, **(kwargs | {"auto_id": "wi-%s"}))
        for name in ("import_kw", "export_kw"):
            self.fields[name].widget.attrs |= {"step": "any", "data-slide": f"wi-{name}-slide"}

    def watts(self) -> tuple[int, int]:
        """Return import and export in watts; raises InputError (NaN among them)."""
        found = [kilowatts_to_watts(self.cleaned_data[name], where=name) for name in ("import_kw", "export_kw")]
        return found[0], found[1]

    def modes(self) -> dict[str, Any]:
        """Return how the inverter is set; an empty power factor is 1."""
        data = self.cleaned_data
        return {
            "inverter": data["inverter"], "volt_watt": data["volt_watt"], "power_factor": data["power_factor"] or 1.0,
        }  # fmt: skip
