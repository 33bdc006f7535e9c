"""How a good, a country and a year are written at our edges, once for every model."""

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _unspaced(value: object) -> object:
    """Official files write one code as `7208 10 00` and as `72081000`."""
    return value.replace(" ", "") if isinstance(value, str) else value


CnCode = Annotated[
    str, BeforeValidator(_unspaced), Field(pattern=r"^[0-9]{8}$", description="8 digits of the Combined Nomenclature")
]
CnPrefix = Annotated[
    str, BeforeValidator(_unspaced), Field(pattern=r"^[0-9]{2,8}$", description="2 to 8 leading digits of a CN code")
]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="two capital letters, ISO 3166-1 (KR, CN, TR)")]
InstallationId = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="the identifier in the disclosure, up to 64 letters, digits, . _ -",
    ),
]
Year = Annotated[int, Field(ge=2023, le=2100, description="a calendar year from 2023 to 2100")]
Positive = Annotated[Decimal, Field(gt=0, allow_inf_nan=False, max_digits=40)]
NotNegative = Annotated[Decimal, Field(ge=0, allow_inf_nan=False, max_digits=40)]
Share = Annotated[Decimal, Field(ge=0, le=1, allow_inf_nan=False, max_digits=40)]
Signed = Annotated[Decimal, Field(allow_inf_nan=False, max_digits=40)]


class Strict(BaseModel):
    """Frozen, and a misspelt field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
