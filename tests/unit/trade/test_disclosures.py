"""What leaves an installation: numbers that match the Commission's, and nothing of its process."""

from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import ValidationError

from apps.trade.disclosures import EXAMPLES, Disclosure, DisclosureRow, main, read_disclosures
from apps.trade.emissions import LEGAL
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


@pytest.mark.parametrize("expected", ORACLE["definitive"]["products"], ids=lambda each: f"example {each['example']}")
@pytest.mark.parametrize("number", ["see_direct_t_per_t", "see_indirect_t_per_t"])
def test_the_examples_by_the_definitive_rules_come_out_to_1e_12(
    example_rows: list[DisclosureRow], expected: dict[str, str], number: str
) -> None:
    computed: Decimal = getattr(found(example_rows, expected, ORACLE["definitive"]["rule_pack"]), number)
    wanted = Decimal(expected[number])
    assert abs(computed - wanted) <= Decimal(ORACLE["relative_bound"]) * wanted


@pytest.mark.parametrize("expected", ORACLE["totals"], ids=lambda each: each["what"])
def test_the_totals_of_the_examples_come_out(expected: dict[str, str]) -> None:
    installation = next(
        each for each in read_disclosures(EXAMPLES) if each.installation_id == expected["installation_id"]
    )
    with localcontext(LEGAL):
        total_t = sum(source.co2e_t() for source in installation.products[0].sources)
    assert abs(total_t / Decimal(expected["total_t"]) - 1) <= Decimal(ORACLE["relative_bound"])


@pytest.mark.parametrize("cn_code", ["72081000", "72122000", "72139120", "73021028"])
def test_every_good_of_one_process_embeds_the_same(example_rows: list[DisclosureRow], cn_code: str) -> None:
    row = found(example_rows, {"installation_id": "EC-EXAMPLE-2", "cn_code": cn_code})
    assert round(row.see_direct_t_per_t, 16) == Decimal("1.5389760645578657")


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


@pytest.mark.parametrize(
    ("installation", "cn_code", "allocated"),
    [
        ("EC-EXAMPLE-6", "76011010", "1.387425"),  # 0.975 x 1.423, route K
        ("EC-EXAMPLE-7", "28041000", "4.961775"),  # 0.975 x 5.089, the only route
        ("EC-EXAMPLE-6", "76051900", None),  # wire has no benchmark in the table
        ("EC-EXAMPLE-2", "72081000", None),  # its route is not stated
    ],
)
def test_free_allocation_is_disclosed_where_the_route_and_the_benchmark_are_known(
    example_rows: list[DisclosureRow], installation: str, cn_code: str, allocated: str | None
) -> None:
    row = found(example_rows, {"installation_id": installation, "cn_code": cn_code}, "eu-2025-2547")
    assert row.free_allocation_t_per_t == (None if allocated is None else Decimal(allocated))
    assert found(example_rows, {"installation_id": installation, "cn_code": cn_code}).free_allocation_t_per_t is None


def mill(**changes: object) -> dict[str, Any]:
    """An installation that makes billet from bought pig iron and rolls bars from it."""
    iron = {
        "kind": "bought", "name": "iron", "cn_code": "72011011", "amount_t": "1.1", "direct_t_per_t": "2",
        "electricity_mwh_per_t": "0", "factor_t_per_mwh": "0", "verified_for": "2026",
    }  # fmt: skip
    return {
        "installation_id": "MILL-1",
        "country": "KR",
        "period": "2026",
        "provenance": "a test",
        "products": [
            product("billet", "72061000", precursors=[{**iron, **changes}]),
            product("bars", "72142000", precursors=[{"kind": "made", "product": "billet", "amount_t": "2"}]),
        ],
    }


def product(name: str, cn_code: str, **changes: object) -> dict[str, Any]:
    return {
        "name": name,
        "cn_codes": [cn_code],
        "activity_t": "1",
        "benchmark_route": "C",
        "sources": [{"kind": "measured", "name": "stack", "co2e_t": "1"}],
        "electricity": {"factor_t_per_mwh": "0"},
        **changes,
    }


def allocated(data: dict[str, Any], cn_code: str = "72142000") -> Decimal | None:
    rows = Disclosure.model_validate(data).to_rows(all_packs())
    return next(
        row.free_allocation_t_per_t for row in rows if (row.cn_code, row.rule_pack) == (cn_code, "eu-2025-2547")
    )


def test_free_allocation_goes_through_precursors_made_and_bought() -> None:
    billet = Decimal("0.975") * (Decimal("0.150") + Decimal("1.1") * Decimal("1.210"))
    assert allocated(mill(), "72061000") == billet
    assert allocated(mill()) == Decimal("0.975") * Decimal("0.038") + 2 * billet


def test_a_suppliers_verified_allocation_replaces_the_benchmark() -> None:
    verified = mill(free_allocation_t_per_t="0.9")
    assert allocated(verified, "72061000") == Decimal("0.975") * Decimal("0.150") + Decimal("0.99")


@pytest.mark.parametrize("changes", [{"origin": "DE"}, {"cn_code": "72044900"}])
def test_a_precursor_that_embeds_nothing_is_allocated_nothing(changes: dict[str, str]) -> None:
    assert allocated(mill(**changes), "72061000") == Decimal("0.975") * Decimal("0.150")


def test_a_precursor_without_a_benchmark_makes_the_good_not_known_and_not_zero() -> None:
    assert allocated(mill(cn_code="72071111")) is None


@pytest.mark.parametrize("year", [None, "2025", "2027"])
def test_a_suppliers_data_without_a_report_of_the_year_is_refused_and_not_counted(year: str | None) -> None:
    with pytest.raises(ValueError, match=r"product billet: precursor iron has no verification report for 2026, which "):
        Disclosure.model_validate(mill(verified_for=year)).to_rows(all_packs())


@pytest.mark.parametrize("changes", [{"is_default": "true"}, {"origin": "NO"}, {"cn_code": "72044900"}])
def test_a_default_value_scrap_and_zero_rated_origins_need_no_report(changes: dict[str, str]) -> None:
    assert Disclosure.model_validate(mill(verified_for=None, **changes)).to_rows(all_packs())


def test_the_transitional_method_asks_for_no_report() -> None:
    transitional = [pack for pack in all_packs() if pack.id == "eu-2023-1773"]
    assert Disclosure.model_validate(mill(verified_for=None)).to_rows(transitional)


def test_scrap_enters_with_nothing_whatever_is_said_of_it() -> None:
    rows = Disclosure.model_validate(mill(cn_code="72044900")).to_rows(all_packs())
    assert {row.see_direct_t_per_t for row in rows if row.cn_code == "72061000"} == {Decimal(1)}


def test_ammonia_is_counted_by_its_nitrogen_in_emissions_and_in_free_allocation() -> None:
    data = {**mill(), "products": [product("ammonia", "28141000", nitrogen_t_per_t="0.8", benchmark_route="")]}
    by_method = {row.rule_pack: row for row in Disclosure.model_validate(data).to_rows(all_packs())}
    assert by_method["eu-2023-1773"].see_direct_t_per_t == 1
    assert by_method["eu-2025-2547"].see_direct_t_per_t == Decimal("1.25")
    del data["products"][0]["nitrogen_t_per_t"]
    with pytest.raises(ValueError, match="product ammonia: nitrogen_t_per_t is missing; eu-2025-2547 counts 28141000"):
        Disclosure.model_validate(data).to_rows(all_packs())


def test_nitric_acid_bears_its_nitrous_oxide_and_the_ammonia_in_it() -> None:
    ammonia = {
        "kind": "bought", "name": "ammonia", "cn_code": "28141000", "amount_t": "0.29", "direct_t_per_t": "2",
        "electricity_mwh_per_t": "1", "factor_t_per_mwh": "0.5", "verified_for": "2026",
    }  # fmt: skip
    source = {"kind": "nitrous_oxide", "name": "oxidation", "n2o_t": "0.007", "abated_share": "0.9"}
    acid = product("acid", "28080000", benchmark_route="", nitrogen_t_per_t="0.222", sources=[source])
    rows = Disclosure.model_validate({**mill(), "products": [{**acid, "precursors": [ammonia]}]}).to_rows(all_packs())
    row = next(each for each in rows if each.rule_pack == "eu-2025-2547")
    per_tonne = Decimal("0.0007") * 265 + Decimal("0.58")
    assert abs(row.see_direct_t_per_t * Decimal("0.222") - per_tonne) < Decimal("1e-17")
    assert abs(row.see_indirect_t_per_t * Decimal("0.222") - Decimal("0.145")) < Decimal("1e-17")


MINERALS = EXAMPLES.parent / "minerals_synthetic.yaml"


@pytest.mark.parametrize(
    ("cn_code", "direct", "indirect"),
    [
        ("74031100", "1.25", "1.75"),
        ("75021000", "8", "4.5"),
        ("28369100", "5.5", "1.5"),
        ("81052000", "9", "3"),
        ("28461000", "22", "11"),
    ],
)
def test_the_planted_footprints_of_minerals_come_back_under_their_label_alone(
    cn_code: str, direct: str, indirect: str
) -> None:
    works = read_disclosures(MINERALS)
    assert all("synthetic" in each.provenance for each in works)
    (row,) = [row for each in works for row in each.to_rows(all_packs()) if row.cn_code == cn_code]
    assert (row.rule_pack, row.see_direct_t_per_t, row.see_indirect_t_per_t, row.free_allocation_t_per_t) == (
        "minerals-iso-14067",
        Decimal(direct),
        Decimal(indirect),
        None,
    )


def test_cements_allocation_is_per_tonne_of_its_clinker() -> None:
    clinker = product("clinker", "25231000", benchmark_route="A")
    made = {"kind": "made", "product": "clinker", "amount_t": "0.9"}
    cement = product("cement", "25232900", benchmark_route="A", clinker_t_per_t="0.9", precursors=[made])
    assert allocated({**mill(), "products": [clinker, cement]}, "25232900") == Decimal("0.975") * Decimal("0.666")


def test_critical_minerals_have_a_row_under_their_own_method_and_none_under_cbam() -> None:
    data = {**mill(), "products": [product("cathode", "74031100", benchmark_route="")]}
    assert {row.rule_pack for row in Disclosure.model_validate(data).to_rows(all_packs())} == {"minerals-iso-14067"}


@pytest.mark.parametrize("label", [None, "CBAM specific embedded emissions"])
def test_numbers_of_two_methods_are_never_added(label: str | None) -> None:
    iron = mill()["products"][0]["precursors"][0]
    bought = {**iron, **({"label": label} if label else {})}
    data = {**mill(), "products": [product("cathode", "74031100", benchmark_route="", precursors=[bought])]}
    with pytest.raises(ValueError, match=r"product cathode: precursor iron follows 'CBAM .* own method and label"):
        Disclosure.model_validate(data).to_rows(all_packs())


def test_a_mineral_from_the_same_site_cannot_go_into_a_cbam_good() -> None:
    nickel = product("nickel", "75021000", benchmark_route="")
    steel = product("steel", "72189911", precursors=[{"kind": "made", "product": "nickel", "amount_t": "1"}])
    with pytest.raises(ValueError, match="product steel: precursor nickel follows 'Product carbon footprint"):
        Disclosure.model_validate({**mill(), "products": [nickel, steel]}).to_rows(all_packs())


def test_rows_show_nothing_of_the_process(example_rows: list[DisclosureRow]) -> None:
    assert set(DisclosureRow.__dataclass_fields__) == {
        "installation_id",
        "country",
        "cn_code",
        "period",
        "see_direct_t_per_t",
        "see_indirect_t_per_t",
        "default_share",
        "free_allocation_t_per_t",
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
