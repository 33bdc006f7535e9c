"""The pilot's two questions are what the trust of examples/ allows, and answers are read with care."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from apps.trade import questions
from apps.trade.questions import AnswerError, Question
from commonweal.grants import compile_policy
from commonweal.kinds.data_trust import DataTrust
from data_trusts.queries import Dialect, compile_question
from data_trusts.releases import CompiledQuestion

from .conftest import Released

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(("member", "question"), [("kr", questions.disclosures()), ("ca", questions.customs(2026))])
def test_the_gateways_grammar_takes_the_question(member: str, question: Question, dialect: Dialect) -> None:
    document = yaml.safe_load((ROOT / "examples" / "30-trust.yaml").read_text("utf-8"))
    policy = compile_policy(DataTrust.model_validate(document), (), {}, member)
    dataset = policy.dataset(question.dataset)
    assert dataset is not None
    compiled = compile_question(question.sql, "trade", dataset, dialect)
    assert isinstance(compiled, CompiledQuestion)


def test_the_pilot_never_asks_for_hidden_columns() -> None:
    asked = questions.disclosures().sql + questions.customs(2026).sql
    assert "activity_t" not in asked
    assert "consignment_id" not in asked


CUSTOMS = ("product_nc", "partner", "installation_id", "synthetic", "row_count", "net_mass_kg", "group_rows")


def test_numbers_may_come_as_text_and_unnamed_installations_as_null_or_nothing() -> None:
    rows: list[list[object]] = [
        ["72081000", "KR", None, True, "3", "75000", 3],
        ["72081000", "KR", "", False, 2, Decimal("1.5"), 2],
    ]
    groups = questions.read_customs(Released("ca", CUSTOMS, rows))
    assert [(group.installation_id, group.rows, group.net_mass_kg) for group in groups] == [
        (None, 3, Decimal(75000)),
        (None, 2, Decimal("1.5")),
    ]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("net_mass_kg", None),
        ("net_mass_kg", "NaN"),
        ("net_mass_kg", True),
        ("product_nc", 72081000),
        ("synthetic", None),
    ],
)
def test_a_value_of_the_wrong_kind_names_member_and_column(column: str, value: object) -> None:
    row: list[object] = ["72081000", "KR", None, True, 3, 75000, 3]
    row[CUSTOMS.index(column)] = value
    with pytest.raises(AnswerError, match=f"^ca: {column} is"):
        questions.read_customs(Released("ca", CUSTOMS, [row]))


def test_a_missing_column_names_member_and_column() -> None:
    with pytest.raises(AnswerError, match="ca: the answer has no column partner"):
        questions.read_customs(Released("ca", ("product_nc",), [["72081000"]]))
