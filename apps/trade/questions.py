"""The two questions that this pilot asks of the trust, and how their answers are read. Nothing else is ever asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Protocol

from apps.trade.assessment import Disclosed
from apps.trade.totals import Group

DISCLOSURES = "facility_disclosures"
CUSTOMS = "customs_rows"


class AnswerError(ValueError):
    """A member answered in a shape that the question did not ask for."""


class Answer(Protocol):
    """What one member answers: names of columns, and rows in their order."""

    @property
    def member(self) -> str:
        """The member that answered."""

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns."""

    @property
    def rows(self) -> Sequence[Sequence[object]]:
        """Values in the order of the columns; numbers may come as text."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question to one dataset."""

    dataset: str
    sql: str


def disclosures() -> Question:
    """Specific emissions of every disclosed good. Not the activity, which the trust hides."""
    return Question(
        dataset=DISCLOSURES,
        sql=(
            "SELECT installation_id, country, cn_code, period, see_direct_t_per_t, see_indirect_t_per_t, "
            "default_share, free_allocation_t_per_t, rule_pack, evidence_sha256 FROM facility_disclosures"
        ),
    )


def customs(year: int) -> Question:
    """Mass of imports by good, origin and installation in one year."""
    return Question(
        dataset=CUSTOMS,
        sql=(
            "SELECT product_nc, partner, installation_id, synthetic, count(*) AS row_count, "  # noqa: S608 - an int only
            "sum(quantity_in_kg) AS net_mass_kg FROM customs_rows "
            f"WHERE flow = '1' AND period BETWEEN '{year:04d}01' AND '{year:04d}12' "
            "GROUP BY product_nc, partner, installation_id, synthetic"
        ),
    )


def read_disclosures(answer: Answer) -> list[Disclosed]:
    """Rows of an answer to `disclosures`.

    Raises:
        AnswerError: a column is missing or a number cannot be read.

    """
    return [
        Disclosed(
            installation_id=_text(row, "installation_id"),
            country=_text(row, "country"),
            cn_code=_text(row, "cn_code"),
            period=_text(row, "period"),
            see_direct_t_per_t=_number(row, "see_direct_t_per_t"),
            see_indirect_t_per_t=_number(row, "see_indirect_t_per_t"),
            default_share=_number(row, "default_share"),
            free_allocation_t_per_t=(
                None if _cell(row, "free_allocation_t_per_t") in (None, "") else _number(row, "free_allocation_t_per_t")
            ),
            rule_pack=_text(row, "rule_pack"),
            evidence_sha256=_text(row, "evidence_sha256"),
            member=answer.member,
        )
        for row in _rows(answer)
    ]


def read_customs(answer: Answer) -> list[Group]:
    """Groups of an answer to `customs`.

    Raises:
        AnswerError: as `read_disclosures`.

    """
    return [
        Group(
            member=answer.member,
            cn_code=_text(row, "product_nc"),
            country=_text(row, "partner"),
            installation_id=None if _cell(row, "installation_id") in (None, "") else _text(row, "installation_id"),
            synthetic=_flag(row, "synthetic"),
            rows=int(_number(row, "row_count")),
            net_mass_kg=_number(row, "net_mass_kg"),
        )
        for row in _rows(answer)
    ]


def _rows(answer: Answer) -> list[Mapping[str, object]]:
    names = [name.lower() for name in answer.columns]
    return [{**dict(zip(names, row, strict=True)), "": answer.member} for row in answer.rows]


def _cell(row: Mapping[str, object], name: str) -> object:
    if name not in row:
        raise AnswerError(f"{row['']}: the answer has no column {name}; check the table's schema there")
    return row[name]


def _text(row: Mapping[str, object], name: str) -> str:
    value = _cell(row, name)
    if not isinstance(value, str):
        raise AnswerError(f"{row['']}: {name} is {value!r}, not text; check the table's schema there")
    return value


def _flag(row: Mapping[str, object], name: str) -> bool:
    value = _cell(row, name)
    if not isinstance(value, bool):
        raise AnswerError(f"{row['']}: {name} is {value!r}, neither true nor false; check the table's schema there")
    return value


def _number(row: Mapping[str, object], name: str) -> Decimal:
    value = _cell(row, name)
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise AnswerError(f"{row['']}: {name} is {value!r}, not a number; correct the row there") from error
    if isinstance(value, bool) or not number.is_finite():
        raise AnswerError(f"{row['']}: {name} is {value!r}, not a number; correct the row there")
    return number
