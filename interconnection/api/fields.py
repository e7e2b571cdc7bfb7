"""Fields that take JSON numbers and nothing that merely looks like one."""

from __future__ import annotations

from datetime import date
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from derms.errors import InputError
from derms.units import LARGEST_WATTS, finite, kilowatts_to_watts


class _Strict(serializers.Field[Any, Any, Any, Any]):
    def read(self, data: Any) -> Any:
        """Return the value inside; raises InputError."""
        raise NotImplementedError

    def to_internal_value(self, data: Any) -> Any:
        """Return the value inside; the error says what to give."""
        try:
            return self.read(data)
        except InputError as error:
            raise serializers.ValidationError(f"{error.what}. {error.remedy}".strip()) from error


@extend_schema_field({"type": "number", "minimum": 0, "maximum": LARGEST_WATTS / 1000, "description": "kilowatts"})
class Kilowatts(_Strict):
    """A finite, non-negative JSON number of kilowatts (kVA, kWh); whole watts inside, rounded down."""

    def read(self, data: Any) -> int:
        """Return whole watts."""
        return kilowatts_to_watts(data, where=self.field_name or "")

    def to_representation(self, value: Any) -> float:
        """Return kilowatts."""
        return float(value) / 1000.0


class Count(serializers.IntegerField):
    """A whole JSON number between two; booleans, text and fractions are refused."""

    def __init__(self, *, least: int = 1, most: int = 100_000, **kwargs: Any) -> None:
        super().__init__(min_value=least, max_value=most, **kwargs)

    def to_internal_value(self, data: Any) -> int:
        """Return the number; its range is checked by the validators."""
        if isinstance(data, bool) or not isinstance(data, int):
            raise serializers.ValidationError(f"Give a whole number from {self.min_value} to {self.max_value}.")
        return data


@extend_schema_field({"type": "number", "minimum": 0, "maximum": 10})
class Fraction(_Strict):
    """A finite JSON number from 0 to 10."""

    def read(self, data: Any) -> float:
        """Return the number."""
        value = finite(data, where=self.field_name or "")
        if not 0 <= value <= 10:
            raise InputError("Give a number from 0 to 10", where=self.field_name or "")
        return value

    def to_representation(self, value: Any) -> float:
        """Return the number."""
        return float(value)


@extend_schema_field({"type": "boolean"})
class Truth(_Strict):
    """`true` or `false`, not 1 and not "yes"."""

    def read(self, data: Any) -> bool:
        """Return the value."""
        if not isinstance(data, bool):
            raise InputError("Give true or false", where=self.field_name or "")
        return data

    def to_representation(self, value: Any) -> bool:
        """Return the value."""
        return bool(value)


@extend_schema_field({"type": "string", "format": "date", "examples": ["2027-01-01"]})
class Day(_Strict):
    """A day as YYYY-MM-DD from 2020 to 2100."""

    def read(self, data: Any) -> date:
        """Return the day."""
        try:
            if not isinstance(data, str) or not data.isascii() or len(data) != 10:
                raise ValueError
            day = date.fromisoformat(data)
        except ValueError as error:
            raise InputError("Give a day as YYYY-MM-DD", where=self.field_name or "") from error
        if not date(2020, 1, 1) <= day <= date(2100, 12, 31):
            raise InputError("the date is not in 2020..2100", where=self.field_name or "")
        return day

    def to_representation(self, value: Any) -> str:
        """Return YYYY-MM-DD."""
        return str(value.isoformat())


class Text(serializers.CharField):
    """A JSON string; numbers are not turned into text."""

    def to_internal_value(self, data: Any) -> str:
        """Return the text."""
        if not isinstance(data, str):
            raise serializers.ValidationError("Give a text.")
        return super().to_internal_value(data)
