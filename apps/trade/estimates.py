"""Reads estimates of many installations from CSV or Parquet, fuses each, and says whom to ask again."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from apps.trade.fusion import Estimate, Fused, FusionError, fuse, review_requests
from apps.trade.goods import InstallationId

Number = Annotated[float, Field(allow_inf_nan=False)]


class Line(BaseModel):
    """One line of the file; `period` is any text that names the period, as 2026."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    installation_id: InstallationId
    period: Annotated[str, Field(min_length=1, max_length=32)]
    source: Annotated[str, Field(min_length=1, max_length=64)]
    group: Annotated[str, Field(min_length=1, max_length=64)]
    value_t_per_t: Annotated[Number, Field(gt=0)]
    relative_sd: Annotated[Number, Field(gt=0, le=2)]
    correlation: Annotated[Number, Field(ge=0, le=1)]
    disclosed: bool = False

    def estimate(self) -> Estimate:
        """The line as the rule takes it."""
        return Estimate(**self.model_dump(exclude={"installation_id", "period"}))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One installation and period: the fused value, and whether the producer should be asked again."""

    installation_id: str
    period: str
    fused: Fused
    review: bool


class EstimatesError(ValueError):
    """A file that cannot be fused; names the line, the field and the remedy."""


def read_lines(path: Path) -> Iterable[Mapping[str, object]]:
    """The rows of a CSV file with a heading, or of a Parquet file.

    Raises:
        EstimatesError: the file is not there or is neither.
    """
    try:
        if path.suffix == ".parquet":
            from pyarrow import parquet  # noqa: PLC0415 - a CSV needs none

            rows: list[Mapping[str, object]] = parquet.read_table(path).to_pylist()
            return rows
        with path.open(encoding="utf-8", newline="") as file:
            return [{str(name): cell for name, cell in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError) as error:
        raise EstimatesError(f"{path.name}: {error}; give CSV with a heading, or .parquet") from error


def answers(rows: Iterable[Mapping[str, object]], false_discovery_share: float) -> list[Answer]:
    """Fuse every installation and period; review requests are controlled over all of them together.

    Raises:
        EstimatesError: a line is wrong, or the estimates of an installation contradict themselves.
    """
    together: dict[tuple[str, str], list[Estimate]] = {}
    for number, row in enumerate(rows, start=1):
        line = _line(number, row)
        together.setdefault((line.installation_id, line.period), []).append(line.estimate())
    fused = {key: _fused(key, estimates) for key, estimates in sorted(together.items())}
    p_values = {"\0".join(key): each.p_value for key, each in fused.items() if each.p_value is not None}
    try:
        asked = review_requests(p_values, false_discovery_share)
    except FusionError as error:
        raise EstimatesError(str(error)) from error
    return [
        Answer(installation_id=key[0], period=key[1], fused=each, review="\0".join(key) in asked)
        for key, each in fused.items()
    ]


def _line(number: int, row: Mapping[str, object]) -> Line:
    try:
        return Line.model_validate({name: cell for name, cell in row.items() if cell not in {None, ""}})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise EstimatesError(f"line {number}: {field}: {first['msg']}, not {first['input']!r}") from error


def _fused(key: tuple[str, str], estimates: list[Estimate]) -> Fused:
    try:
        return fuse(estimates)
    except FusionError as error:
        raise EstimatesError(f"{key[0]} in {key[1]}: {error}") from error
