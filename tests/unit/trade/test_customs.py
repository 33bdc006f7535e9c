"""Made-up customs rows: repeatable, labelled, and with totals known beforehand."""

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from apps.trade.customs import MEAN_KG, STRATA, generate, main, planted

ROOT = Path(__file__).parents[3]


@given(rows=st.integers(1, 400), seed=st.integers(0, 9999))
def test_the_planted_totals_hold_for_every_seed(rows: int, seed: int) -> None:
    mass_kg: Counter[tuple[str, str, str | None]] = Counter()
    for row in generate("ca", rows, seed):
        mass_kg[row.product_nc, row.partner, row.installation_id] += row.quantity_in_kg
    wanted = {
        (each.cn_code, each.partner, each.installation_id): count * MEAN_KG for each, count in planted(rows).items()
    }
    assert dict(mass_kg) == {key: kg for key, kg in wanted.items() if kg}


@given(rows=st.integers(1, 10**6))
def test_every_row_belongs_to_one_stratum(rows: int) -> None:
    assert sum(planted(rows).values()) == rows


def test_the_same_seed_makes_the_same_rows_and_another_seed_others() -> None:
    assert list(generate("ca", 200, 1)) == list(generate("ca", 200, 1))
    assert list(generate("ca", 200, 1)) != list(generate("ca", 200, 2))
    assert list(generate("ca", 200, 1)) != list(generate("ke", 200, 1))


def test_every_row_says_that_it_is_synthetic_and_has_its_own_consignment() -> None:
    rows = list(generate("ke", 300, 3))
    assert all(row.synthetic and row.quantity_in_kg > 0 and row.declarant == "KE" for row in rows)
    assert len({row.consignment_id for row in rows}) == 300


def test_the_strata_reach_every_kind_of_answer() -> None:
    assert {stratum.installation_id for stratum in STRATA} > {None, "KR-UNKNOWN-9", "EC-EXAMPLE-2"}
    assert {stratum.partner for stratum in STRATA} > {"VN", "TR", "KR"}


@pytest.mark.parametrize(("member", "rows"), [("CA", 1), ("can", 1), ("", 1), ("ca", 0), ("ca", 10**9)])
def test_a_wrong_argument_is_refused_by_name(member: str, rows: int) -> None:
    with pytest.raises(ValueError, match=r"^(member|rows): "):
        list(generate(member, rows, 1))


def test_the_command_writes_the_table_that_the_trust_declares(tmp_path: Path) -> None:
    out = tmp_path / "rows.parquet"
    assert main(["--member", "ca", "--rows", "50", "--out", str(out)]) == 0
    trust = yaml.safe_load((ROOT / "examples" / "30-trust.yaml").read_text("utf-8"))
    columns = next(each["columns"] for each in trust["spec"]["datasets"] if each["name"] == "customs_rows")
    schema = pq.read_schema(out)
    arrow = {"long": "int64", "boolean": "bool"}
    assert {name: str(schema.field(name).type) for name in schema.names} == {
        column["name"]: arrow.get(column["type"], column["type"]) for column in columns
    }


def test_the_command_refuses_an_unknown_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--member", "ca", "--rows", "5", "--out", str(tmp_path / "no" / "rows.parquet")])
    assert "no" in capsys.readouterr().err
