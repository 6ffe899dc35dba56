"""The base class of everything that params.yaml sets. What is not a number is never taken for one.

A run that was asked for a learning rate of .inf starts like any other, and is lost.
"""

import typing

from pydantic import BaseModel, ConfigDict, model_validator


class Settings(BaseModel):
    """Immutable; unknown keys are refused, and .inf, .nan, true and false where a number belongs."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _truth_is_not_a_number(cls, given: object) -> object:
        for key, field in cls.model_fields.items():
            value = given.get(field.alias or key) if isinstance(given, dict) else None
            if _has_truth(value, field.annotation) and not _mentions(field.annotation, bool):
                raise ValueError(f"{key} is {value!r}: true and false don't belong there")
        return given


def _has_truth(value: object, annotation: object) -> bool:
    """Whether it is true or false, or lists or a table of numbers that have one of them."""
    if isinstance(value, dict) and typing.get_origin(annotation) is dict:
        value = list(value.values())
    return isinstance(value, bool) or (isinstance(value, list) and any(_has_truth(part, None) for part in value))


def _mentions(annotation: object, kind: type) -> bool:
    return annotation is kind or any(_mentions(part, kind) for part in typing.get_args(annotation))
