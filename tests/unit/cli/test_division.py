"""Short estates and worths of coalitions from a terminal, and what cannot be divided."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from operators.cli.main import app


def equity(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["equity", *map(str, arguments)])


def test_a_short_estate_is_divided() -> None:
    result = equity("divide", "200", "--claim", "a=100", "--claim", "b=200", "--claim", "c=300")
    assert result.stdout.splitlines() == ["a 50", "b 75", "c 75"]


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        (["a"], "--claim a: write a name and a whole number, as ca=100"),
        (["a=1", "a=2"], "--claim a=2: a has claimed 1 already; add its claims up"),
        (["a=1"], "estate: 9 is not between 0 and the 1 claimed"),
    ],
)
def test_claims_that_cannot_be_divided_are_named(claims: list[str], message: str) -> None:
    result = equity("divide", "9", *[word for claim in claims for word in ("--claim", claim)])
    assert result.exit_code == 1
    assert message in result.stderr


def test_the_rarer_glove_is_worth_more_and_is_tempted(tmp_path: Path) -> None:
    (tmp_path / "gloves").write_text("{L: 0, r: 0, s: 0, L+r: 1, L+s: 1, r+s: 0, L+r+s: 1}")
    result = equity("worth", tmp_path / "gloves")
    assert [line.split("│")[3].strip() for line in result.stdout.splitlines() if "│" in line] == ["2/3", "1/6", "1/6"]
    assert "L+s would gain 1/6 by leaving" in result.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "has no coalitions; write one line a coalition, as ca+ke: 30"),
        ("{a: 1.5}", "a: 1.5 is not a whole number; state it in a smaller unit"),
        ("{a+b: 1, b+a: 2}", "b+a: this coalition is there twice"),
        ("{a: 1, b: 1}", "worth: a+b is missing; state the worth of every coalition"),
        ("{", "is not YAML"),
    ],
)
def test_worths_that_cannot_be_read_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "worths").write_text(text)
    result = equity("worth", tmp_path / "worths")
    assert result.exit_code == 1
    assert message in result.stderr
    assert "does not exist" in equity("worth", tmp_path / "none").stderr
