"""Shares recomputed from a file of postings: as published or refused, at once or in steps, repeats or not."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from commonweal.equity import Held
from commonweal.kinds.equity_statement import EquityStatementSpec, LogPosition
from commonweal.ledger import Ledger, Post, Transfer, Unit, delivered, transfer_of_use
from commonweal.replay import follow
from operators.cli import postings
from operators.cli.main import app
from operators.hub.books import Books
from operators.hub.periods import entry_of, formula, formula_sha256, statement
from operators.kube import Json
from tests.strategies import NOON
from tests.unit.cli.test_equity import CHARTER
from tests.unit.hub import test_periods as hub

HOUR = timedelta(hours=1)
MEMBERS = ("ca", "ke")


def delivery(member: str, hour: int, amount: int = 3600, evidence: int = 1) -> Transfer:
    return Transfer(
        debit="pool",
        credit=delivered(member),
        unit=Unit.GPU_SECONDS,
        amount=amount,
        period_start=NOON + hour * HOUR,
        evidence_sha256=f"{evidence:064x}",
    )


def used_by_ca(hour: int) -> Transfer:
    start = NOON + hour * HOUR
    return transfer_of_use("ca", "ca", unit=Unit.GPU_SECONDS, amount=600, period_start=start, evidence=f"job {hour}")


HISTORY = {
    "statement-1": (delivery("ca", 0), delivery("ke", 0, 1800), used_by_ca(0)),
    "statement-2": (delivery("ke", 1), delivery("ke", 0, 900, evidence=2)),
    "statement-3": (delivery("ca", 2, 7200), used_by_ca(2)),
}


def published(history: Mapping[str, Sequence[Transfer]] = HISTORY) -> list[Json]:
    before: Mapping[str, Held] = {}
    previous, bodies = None, list[Json]()
    for hour, (name, moved) in enumerate(history.items()):
        balances = Ledger([*moved, *(Post(each.id) for each in moved)]).balances()
        result = follow(formula(CHARTER.spec), balances, dict.fromkeys(MEMBERS, 3600), before)
        spec = EquityStatementSpec(
            period_start=NOON + hour * HOUR,
            period_end=NOON + (hour + 1) * HOUR,
            charter_sha256=formula_sha256(CHARTER.spec),
            previous=previous,
            simulated=True,
            entries=tuple(map(entry_of, result.standings)),
            log=LogPosition(tree_size=0, root_sha256="0" * 64),
        )
        bodies.append({"kind": "EquityStatement", "metadata": {"name": name}, "spec": spec.wire()})
        before, previous = result.held, name
    return bodies


def rows(history: Mapping[str, Sequence[Transfer]] = HISTORY) -> list[tuple[str, Transfer]]:
    return [(name, each) for name, moved in history.items() for each in moved]


def run(folder: Path, *more: str | Path, bodies: Sequence[Json] | None = None, charter: Json | None = None) -> Result:
    (folder / "statements.json").write_text(json.dumps({"items": published() if bodies is None else bodies}))
    (folder / "charter.json").write_text(json.dumps(charter or CHARTER.wire()))
    told = ["--statements", folder / "statements.json", "--charter", folder / "charter.json"]
    return CliRunner().invoke(app, ["equity", "recompute", *map(str, (*told, *more))])


def file(folder: Path, name: str, written: Sequence[tuple[str, Transfer]]) -> Path:
    path = folder / f"{name}.parquet"
    postings.write(path, written)
    return path


def test_published_statements_come_out_of_the_postings(tmp_path: Path) -> None:
    result = run(tmp_path, "--postings", file(tmp_path, "all", rows()))
    assert result.exit_code == 0, result.stderr
    shares_bp = {entry["member"]: entry["equityBp"] for entry in published()[-1]["spec"]["entries"]}
    assert [line.split() for line in result.stdout.splitlines()[:2]] == [
        [member, str(share), "bp"] for member, share in shares_bp.items()
    ]
    assert "3 statements as published; 7 postings to statement-3" in result.stdout


def test_at_once_and_statement_by_statement_write_the_same_bytes(tmp_path: Path) -> None:
    files = [file(tmp_path, name, rows({name: moved})) for name, moved in HISTORY.items()]
    everything = [word for each in files for word in ("--postings", each)]
    assert run(tmp_path, *everything, "--out", tmp_path / "whole").exit_code == 0
    since: list[str | Path] = []
    for count, bodies in enumerate(published(), start=1):
        known = [word for each in files[:count] for word in ("--postings", each)]
        step = run(tmp_path, *known, *since, "--out", tmp_path / f"step-{count}", bodies=[bodies])
        assert step.exit_code == 0, step.stderr
        since = ["--since", tmp_path / f"step-{count}"]
    assert (tmp_path / "step-3").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_posting_that_is_there_again_counts_once_also_across_steps(tmp_path: Path) -> None:
    again = [(name, each) for name in HISTORY for each in HISTORY["statement-1"]]
    first = file(tmp_path, "first", rows({"statement-1": HISTORY["statement-1"]}) * 3)
    rest = file(tmp_path, "rest", [*rows({name: HISTORY[name] for name in ("statement-2", "statement-3")}), *again])
    assert run(tmp_path, "--postings", first, "--postings", rest, "--out", tmp_path / "whole").exit_code == 0
    position = tmp_path / "position"
    assert run(tmp_path, "--postings", first, "--out", position, bodies=published()[:1]).exit_code == 0
    step = run(
        tmp_path, "--postings", first, "--postings", rest, "--since", position, "--out", tmp_path / "step",
    )  # fmt: skip
    assert step.exit_code == 0, step.stderr
    assert (tmp_path / "step").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_statement_that_the_postings_do_not_give_is_named_with_the_field(tmp_path: Path) -> None:
    less = dict(HISTORY) | {"statement-2": HISTORY["statement-2"][:1]}
    result = run(tmp_path, "--postings", file(tmp_path, "less", rows(less)), "--out", tmp_path / "position")
    assert result.exit_code == 1
    assert result.stderr == (
        "error: statement-2: ke.delivered_gpu_seconds is 4500 as published, 3600 by the postings; "
        "ask the hub's administrators\n"
    )
    assert not (tmp_path / "position").exists()


def test_a_statement_in_between_cannot_be_left_out(tmp_path: Path) -> None:
    result = run(tmp_path, "--postings", file(tmp_path, "all", rows()), bodies=published()[::2])
    assert "statement-3 follows statement-2, not statement-1; give every statement" in result.stderr


def test_a_formula_that_is_not_among_the_charters_is_refused(tmp_path: Path) -> None:
    bodies = published()
    bodies[0]["spec"]["charterSha256"] = "1" * 64
    result = run(tmp_path, "--postings", file(tmp_path, "all", rows()), bodies=bodies)
    assert f"--charter: none has the formula {'1' * 64} of statement-1; give that one too" in result.stderr


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("amount", 0, "amount: 0 is not above 0; swap debit and credit"),
        ("unit", "joules", "unit: joules is unknown"),
        ("credit", "pool", "credit: pool is also the debit"),
        ("statement", "statement-9", "statement: statement-9 is not among the statements"),
    ],
)
def test_a_row_that_no_book_can_hold_is_named(tmp_path: Path, column: str, value: object, message: str) -> None:
    table = pq.read_table(file(tmp_path, "all", rows())).to_pylist()
    table[4][column] = value
    pq.write_table(pa.Table.from_pylist(table, schema=postings.SCHEMA), tmp_path / "bad.parquet")
    result = run(tmp_path, "--postings", tmp_path / "bad.parquet")
    assert result.exit_code == 1
    assert f"bad.parquet: row 4: {message}" in result.stderr


def test_files_that_are_not_postings_are_refused(tmp_path: Path) -> None:
    whole = pq.read_table(file(tmp_path, "all", rows()))
    pq.write_table(whole.drop_columns(["amount"]), tmp_path / "narrow.parquet")
    (tmp_path / "text.parquet").write_text("debit,credit")
    for name, message in (
        ("narrow", "column amount is missing, not int64; export it anew"),
        ("text", "is not a Parquet file"),
        ("none", "does not exist; write it with `commonweal equity export`"),
    ):
        result = run(tmp_path, "--postings", tmp_path / f"{name}.parquet")
        assert result.exit_code == 1
        assert message in result.stderr.replace("\n", " ")


def test_a_position_from_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "position").write_text("{}")
    result = run(tmp_path, "--postings", file(tmp_path, "all", rows()), "--since", tmp_path / "position")
    assert "position: cannot be read" in result.stderr


def test_books_become_a_file_and_never_replace_one(tmp_path: Path) -> None:
    Books.open(tmp_path / "state").close()
    out = tmp_path / "empty.parquet"
    export = ["equity", "export", "--books", str(tmp_path / "state" / "books.sqlite3"), "--out", str(out)]
    assert CliRunner().invoke(app, export).exit_code == 0
    assert pq.read_schema(out) == postings.SCHEMA
    assert "exists; name another file" in CliRunner().invoke(app, export).stderr
    nowhere = [*export[:3], str(tmp_path / "none"), "--out", str(tmp_path / "new.parquet")]
    assert f"error: {tmp_path / 'none'}: unable to open" in CliRunner().invoke(app, nowhere).stderr
    assert not list(tmp_path.glob("new*"))


def test_the_hubs_own_books_replay_to_its_own_statements(tmp_path: Path) -> None:
    books, bodies = Books.open(tmp_path / "state"), list[Json]()
    for minute in range(3):
        now = hub.reading("ca", start=NOON + minute * hub.MINUTE).model_copy(update={"sequence": minute + 1})
        before = NOON + (minute - 1) * hub.MINUTE
        late = hub.reading("kr", start=before, seconds=30 + minute).model_copy(update={"sequence": minute + 1})
        for each in (now, late):
            books.accept(each, b"signature")
        seen = hub.observed(*books.unsettled(), last=books.last_statement())
        period = (NOON + minute * hub.MINUTE, NOON + (minute + 1) * hub.MINUTE)
        spec, record, _ = statement(seen, period, seen.unsettled)
        final = books.settle(f"statement-{minute}", spec, seen.unsettled, record)
        bodies.append({"kind": "EquityStatement", "metadata": {"name": f"statement-{minute}"}, "spec": final.wire()})
    out = tmp_path / "postings.parquet"
    CliRunner().invoke(app, ["equity", "export", "--books", str(books.path), "--out", str(out)])
    charter = {"kind": "Consortium", "metadata": {"name": "charter"}, "spec": hub.charter().wire()}
    result = run(tmp_path, "--postings", out, bodies=bodies, charter=charter)
    assert result.exit_code == 0, result.stderr
    assert "3 statements as published; 12 postings to statement-2" in result.stdout


def test_a_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    whole = file(tmp_path, "all", rows()).read_bytes()
    (tmp_path / "cut.parquet").write_bytes(b"PAR1" + b"\0" * 40 + whole[44:])
    result = run(tmp_path, "--postings", tmp_path / "cut.parquet")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: --postings: ")
