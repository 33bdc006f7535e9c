"""What leaves an installation: numbers that match the Commission's, and nothing of its process."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import ValidationError

from apps.trade.disclosures import EXAMPLES, Disclosure, DisclosureRow, main, read_disclosures
from apps.trade.rule_packs import all_packs, load_exact

ROOT = Path(__file__).parents[3]
ORACLE = yaml.safe_load((ROOT / "tests" / "oracles" / "cbam_examples.yaml").read_text("utf-8"))


def example(number: int) -> dict[str, Any]:
    """A worked example as data that a test may change."""
    entries: Any = load_exact(EXAMPLES.read_text("utf-8"))
    return next(entry for entry in entries if entry["installation_id"] == f"EC-EXAMPLE-{number}")


def found(rows: list[DisclosureRow], wanted: dict[str, str], pack: str = "eu-2023-1773") -> DisclosureRow:
    key = (wanted["installation_id"], wanted["cn_code"], pack)
    return next(row for row in rows if (row.installation_id, row.cn_code, row.rule_pack) == key)


@pytest.mark.parametrize("expected", ORACLE["products"], ids=lambda each: f"example {each['example']}")
@pytest.mark.parametrize("number", ["see_direct_t_per_t", "see_indirect_t_per_t"])
def test_the_commissions_examples_come_out_to_1e_12(
    example_rows: list[DisclosureRow], expected: dict[str, str], number: str
) -> None:
    computed: Decimal = getattr(found(example_rows, expected), number)
    assert abs(computed / Decimal(expected[number]) - 1) <= Decimal(ORACLE["relative_bound"])


@pytest.mark.parametrize("expected", ORACLE["default_shares"], ids=lambda each: f"example {each['example']}")
def test_the_commissions_default_share_comes_out(example_rows: list[DisclosureRow], expected: dict[str, str]) -> None:
    computed = found(example_rows, expected).default_share
    assert abs(computed - Decimal(expected["default_share"])) <= Decimal(expected["absolute_bound"])


def test_the_definitive_method_counts_no_indirect_emissions_of_annex_ii_steel(
    example_rows: list[DisclosureRow],
) -> None:
    row = found(example_rows, {"installation_id": "EC-EXAMPLE-2", "cn_code": "72081000"}, "eu-2025-2547")
    assert row.see_indirect_t_per_t == 0
    assert round(row.see_direct_t_per_t, 12) == Decimal("1.538976064558")


def test_the_definitive_method_counts_cement_by_its_clinker(example_rows: list[DisclosureRow]) -> None:
    wanted = {"installation_id": "EC-EXAMPLE-1", "cn_code": "25232900"}
    per_cement, per_clinker = found(example_rows, wanted), found(example_rows, wanted, "eu-2025-2547")
    assert round(per_clinker.see_direct_t_per_t * Decimal("0.95"), 15) == round(per_cement.see_direct_t_per_t, 15)
    assert round(per_clinker.see_indirect_t_per_t * Decimal("0.95"), 15) == round(per_cement.see_indirect_t_per_t, 15)


def test_cement_without_its_clinker_content_is_refused() -> None:
    data = example(1)
    del data["products"][0]["clinker_t_per_t"]
    with pytest.raises(ValueError, match="product cement: clinker_t_per_t is missing"):
        Disclosure.model_validate(data).to_rows(all_packs())


def test_one_process_may_make_goods_inside_and_outside_annex_ii() -> None:
    data = example(2)
    data["products"][0]["cn_codes"] = ["72081000", "72022100"]
    rows = [row for row in Disclosure.model_validate(data).to_rows(all_packs()) if row.rule_pack == "eu-2025-2547"]
    assert {row.cn_code: row.see_indirect_t_per_t > 0 for row in rows} == {"72081000": False, "72022100": True}


def test_rows_show_nothing_of_the_process(example_rows: list[DisclosureRow]) -> None:
    assert set(DisclosureRow.__dataclass_fields__) == {
        "installation_id",
        "country",
        "cn_code",
        "period",
        "see_direct_t_per_t",
        "see_indirect_t_per_t",
        "default_share",
        "activity_t",
        "rule_pack",
        "evidence_sha256",
    }
    assert not any("12800" in str(row) or "coke" in str(row) for row in example_rows)


def test_the_evidence_changes_with_every_input() -> None:
    before = Disclosure.model_validate(example(2)).evidence_sha256()
    changed = example(2)
    changed["products"][0]["sources"][3]["biomass_share"] = "0.17"
    assert Disclosure.model_validate(changed).evidence_sha256() != before
    assert Disclosure.model_validate(example(2)).evidence_sha256() == before


def test_numbers_never_pass_through_a_float() -> None:
    data = example(2)
    data["products"][0]["activity_t"] = "4800000.00000000000000000001"
    assert Disclosure.model_validate(data).products[0].activity_t == Decimal("4800000.00000000000000000001")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("country",), "Korea", "country"),
        (("period",), "1999", "period"),
        (("products", 0, "activity_t"), "0", "products.0.activity_t"),
        (("products", 0, "activity_t"), "NaN", "products.0.activity_t"),
        (("products", 0, "cn_codes", 0), "7208", "products.0.cn_codes.0"),
        (("products", 0, "cn_codes", 1), "72081000", "cn_code 72081000 occurs twice"),
        (("products", 0, "sources", 0, "carbon_t_per_t"), "1.2", "carbon_t_per_t"),
        (("products", 0, "sources", 0, "kind"), "guess", "kind"),
        (("products", 0, "electricity", "consumed_mwh"), "-1", "consumed_mwh"),
        (("products", 0, "colour"), "blue", "products.0.colour"),
    ],
)
def test_a_wrong_field_is_refused_by_name(path: tuple[str | int, ...], value: str, said: str) -> None:
    data: Any = example(2)
    inner = data
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    with pytest.raises(ValidationError, match=said.replace(".", r"\.")):
        Disclosure.model_validate(data)


def test_a_circle_of_products_is_refused_when_it_is_disclosed() -> None:
    data = example(3)
    data["products"][0]["precursors"] = [{"kind": "made", "product": "pipes", "amount_t": "1"}]
    with pytest.raises(ValidationError, match="in a circle"):
        Disclosure.model_validate(data)


def test_exported_heat_and_electricity_relieve_and_imported_heat_is_charged() -> None:
    data = example(7)
    product = data["products"][0]
    base = direct(data)
    product["heat"]["imported_tj"] = "100"
    assert direct(data) - base == round(Decimal(5600) / 55000, 18)
    product["electricity"]["exported_mwh"] = "1000"
    product["electricity"]["exported_factor_t_per_mwh"] = "0.5"
    assert abs(direct(data) - base - Decimal(5100) / 55000) < Decimal("1e-17")


def direct(data: dict[str, Any]) -> Decimal:
    return Disclosure.model_validate(data).to_rows(all_packs())[0].see_direct_t_per_t


def test_the_command_writes_the_table_that_the_trust_declares(tmp_path: Path) -> None:
    out = tmp_path / "rows.parquet"
    assert main(["--out", str(out)]) == 0
    declared = declared_columns("facility_disclosures")
    schema = pq.read_schema(out)
    assert schema.names == list(declared)
    assert {name: str(schema.field(name).type) for name in schema.names} == {
        name: {"decimal(38, 18)": "decimal128(38, 18)"}.get(kind, kind) for name, kind in declared.items()
    }
    assert pq.read_table(out).num_rows == len(read_disclosures(EXAMPLES)[0].to_rows(all_packs())) + 20


def test_the_command_names_what_is_wrong_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("- {installation_id: X}")
    with pytest.raises(SystemExit) as stopped:
        main(["--disclosures", str(wrong), "--out", str(tmp_path / "rows.parquet")])
    assert stopped.value.code == 1
    assert "country" in capsys.readouterr().err
    assert not (tmp_path / "rows.parquet").exists()


def declared_columns(dataset: str) -> dict[str, str]:
    trust = yaml.safe_load((ROOT / "examples" / "30-trust.yaml").read_text("utf-8"))
    columns = next(each["columns"] for each in trust["spec"]["datasets"] if each["name"] == dataset)
    return {column["name"]: column["type"] for column in columns}
