"""Downloads hold what the page shows, exactly, with unit, as-of and log position in every row."""

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from commonweal.kinds.equity_statement import LogPosition
from dashboards.figures import (
    Cell,
    Column,
    Figure,
    Label,
    Position,
    as_csv,
    as_json,
    count,
    file_name,
    instant,
    kilojoules,
    percent,
    share,
    tonnes,
)
from tests.unit.dashboards.objects import NOON

LOG = LogPosition(tree_size=1234, root_sha256="ab" * 32)


def figure(*cells: Cell, log: LogPosition | None = LOG) -> Figure:
    return Figure(
        key="shares",
        title="Shares",
        sentence="Shares. Unit: per cent.",
        columns=(Column(key="value", heading="Value"),),
        rows=tuple({"value": cell} for cell in cells),
        position=Position(as_of=NOON, log=log),
        labels=(Label.SIMULATED,),
    )


def read_csv(shown: Figure) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(as_csv(shown))))


def test_every_row_of_a_download_carries_its_origin() -> None:
    assert read_csv(figure(1)) == [
        {
            "value": "1",
            "as_of": "2026-11-24T12:00:00Z",
            "log_tree_size": "1234",
            "log_root_sha256": "ab" * 32,
            "labels": "Simulated",
        }
    ]


def test_unknown_is_written_as_unknown_and_never_as_zero() -> None:
    row = read_csv(figure(None, log=None))[0]
    assert (row["value"], row["log_tree_size"]) == ("unknown", "unknown")
    body = json.loads(as_json(figure(None, log=None)))
    assert (body["rows"], body["log_tree_size"], body["log_root_sha256"]) == ([{"value": None}], None, None)


def test_nothing_is_shown_as_zero_that_is_not_known() -> None:
    assert {show(None) for show in (count, percent, share, instant, tonnes, kilojoules)} == {"unknown"}


def test_a_decimal_keeps_every_digit_in_downloads() -> None:
    digits = Decimal("1.539123456789012345")
    assert read_csv(figure(digits))[0]["value"] == "1.539123456789012345"
    assert json.loads(as_json(figure(digits)))["rows"][0]["value"] == "1.539123456789012345"


def test_the_file_name_says_what_and_when() -> None:
    assert file_name(figure(), "csv") == "commonweal-shares-20261124T120000Z.csv"


def test_the_position_shows_enough_of_the_root_to_compare() -> None:
    assert figure().position.sentence() == "As of 2026-11-24 12:00:00 UTC · log position 1,234, root abababababab…"


@given(words=st.text())
def test_no_text_becomes_a_formula_in_a_spreadsheet(words: str) -> None:
    cell = next(csv.reader(io.StringIO(as_csv(figure(words)).split("\r\n", 1)[1], newline="")))[0]
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


@given(number=st.integers(-(2**53), 2**53))
def test_integers_survive_a_download(number: int) -> None:
    assert int(read_csv(figure(number))[0]["value"]) == number


@given(at=st.datetimes(min_value=datetime(1970, 1, 2), timezones=st.timezones()))  # noqa: DTZ001 - bounds are naive
def test_instants_are_downloaded_in_utc(at: datetime) -> None:
    written = read_csv(figure(at))[0]["value"]
    assert written.endswith("Z")
    assert datetime.fromisoformat(written) == at.astimezone(UTC)


@given(share_bp=st.integers(0, 10_000))
def test_a_share_is_shown_exactly(share_bp: int) -> None:
    assert Decimal(percent(share_bp)) * 100 == share_bp
