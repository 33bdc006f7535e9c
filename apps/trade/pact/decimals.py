"""PACT's numbers: decimal strings, exact, and refused where the model forbids the sign.

The patterns of the specification's schema are not anchored: `-0.5` and `5abc` pass for positive. Here the whole text
counts, and a JSON number is refused, because it has been through somebody's float.
"""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from apps.trade.views import plain

_TEXT = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
MAX_CHARACTERS = 80


def _exact(value: object) -> object:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str) and len(value) <= MAX_CHARACTERS and _TEXT.fullmatch(value):
        return Decimal(value)
    raise ValueError('give a decimal as a string of digits, such as "1.25"')


def _unsigned(value: Decimal) -> Decimal:
    if value.is_signed():
        raise ValueError("give a number from 0 up, without a minus sign")
    return value


Exact = Annotated[Decimal, BeforeValidator(_exact), Field(allow_inf_nan=False), PlainSerializer(plain, return_type=str)]
NotNegative = Annotated[Exact, AfterValidator(_unsigned)]
Positive = Annotated[NotNegative, Field(gt=0)]
NotPositive = Annotated[Exact, Field(le=0)]
Percent = Annotated[NotNegative, Field(le=100)]
Rating = Annotated[Exact, Field(ge=1, le=5)]
