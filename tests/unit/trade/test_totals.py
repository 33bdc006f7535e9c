"""A year of a heading: every row is either counted by the same rules or left out with its reason."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from apps.trade.assessment import Book, Consignment, assess
from apps.trade.disclosures import EXAMPLES, read_disclosures, rows_of
from apps.trade.questions import read_disclosures as read_answer
from apps.trade.rule_packs import all_packs, defaults_of, pack_for
from apps.trade.totals import Group, add_up

from .conftest import Released


def examples_book() -> Book:
    rows = rows_of(read_disclosures(EXAMPLES), all_packs())
    columns = tuple(type(rows[0]).__dataclass_fields__)
    answer = Released("kr", columns, [[getattr(row, name) for name in columns] for row in rows])
    return Book(all_packs(), defaults_of, read_answer(answer))


BOOK = examples_book()
PACK = pack_for("72081000", 2026, all_packs())
KNOWN = Group(
    member="ca",
    cn_code="72081000",
    country="KR",
    installation_id="EC-EXAMPLE-2",
    synthetic=True,
    rows=4,
    net_mass_kg=Decimal(100_000),
)
GROUPS = st.lists(
    st.builds(
        Group,
        member=st.sampled_from(["ca", "ke"]),
        cn_code=st.sampled_from(["72081000", "72083900", "25231000", "25232900", "73041100"]),
        country=st.sampled_from(["KR", "CN", "VN", "DE"]),
        installation_id=st.sampled_from([None, "EC-EXAMPLE-2", "NOBODY"]),
        synthetic=st.booleans(),
        rows=st.integers(1, 100),
        net_mass_kg=st.integers(1, 10**8).map(Decimal),
    ),
    max_size=8,
)


def test_a_total_is_the_consignments_added_up() -> None:
    groups = [KNOWN, replace(KNOWN, member="ke", installation_id=None)]
    singles = [
        assess(
            Consignment(
                cn_code=group.cn_code,
                country=group.country,
                installation_id=group.installation_id,
                net_mass_kg=group.net_mass_kg,
                import_year=2026,
            ),
            BOOK,
        )
        for group in groups
    ]
    totals = add_up(groups, BOOK, 2026, PACK)
    assert totals.tonnes_counted == sum(single.tonnes_counted for single in singles)
    assert totals.rows_by_member == {"ca": 4, "ke": 4}
    assert len(totals.lines) == 2


@settings(deadline=None)
@given(groups=GROUPS, data=st.data())
def test_the_order_of_the_groups_does_not_matter(groups: list[Group], data: st.DataObject) -> None:
    assert add_up(groups, BOOK, 2026, PACK) == add_up(data.draw(st.permutations(groups)), BOOK, 2026, PACK)


@settings(deadline=None)
@given(groups=GROUPS)
def test_no_row_and_no_kilogram_is_lost(groups: list[Group]) -> None:
    totals = add_up(groups, BOOK, 2026, PACK)
    shown = [(each.rows, each.mass_t) for each in totals.lines]
    shown += [(each.rows, each.mass_t) for each in totals.unassessed]
    assert sum(rows for rows, _ in shown) == totals.rows == sum(group.rows for group in groups)
    assert sum((mass_t for _, mass_t in shown), Decimal(0)) == totals.mass_t


@settings(deadline=None)
@given(groups=GROUPS)
def test_the_default_share_is_a_share_or_unknown(groups: list[Group]) -> None:
    totals = add_up(groups, BOOK, 2026, PACK)
    if totals.tonnes_counted == 0:
        assert totals.default_share is None
    else:
        assert totals.default_share is not None
        assert 0 <= totals.default_share <= 1


def test_what_cannot_be_assessed_is_named_and_not_counted_as_zero() -> None:
    totals = add_up([KNOWN, replace(KNOWN, cn_code="73041100", installation_id=None)], BOOK, 2026, PACK)
    assert [(each.rows, each.mass_t) for each in totals.unassessed] == [(4, Decimal(100))]
    assert "73041100 is not in the table" in totals.unassessed[0].reason
    assert totals.tonnes_counted == add_up([KNOWN], BOOK, 2026, PACK).tonnes_counted


def test_a_broken_customs_row_is_left_out_by_member_and_field() -> None:
    totals = add_up([replace(KNOWN, net_mass_kg=Decimal(-5)), replace(KNOWN, cn_code="7208")], BOOK, 2026, PACK)
    assert totals.tonnes_counted == 0
    reasons = " ".join(each.reason for each in totals.unassessed)
    assert "net_mass_kg" in reasons
    assert "cn_code" in reasons
    assert "at ca" in reasons


def test_numbers_of_two_methods_are_never_added() -> None:
    copper = replace(KNOWN, cn_code="74031100", installation_id="REFINERY")
    disclosed = replace(next(iter(BOOK.rows())), installation_id="REFINERY", cn_code="74031100")
    held = Book(all_packs(), defaults_of, [*BOOK.rows(), replace(disclosed, rule_pack="minerals-iso-14067")])
    totals = add_up([KNOWN, copper], held, 2026, PACK)
    assert totals.tonnes_counted == add_up([KNOWN], BOOK, 2026, PACK).tonnes_counted
    (left_out,) = totals.unassessed
    assert "74031100 is counted as 'Product carbon footprint (ISO 14067)', the others of" in left_out.reason
    assert left_out.reason.endswith("as 'CBAM specific embedded emissions'; ask for 7403 alone")
    minerals = pack_for("7403", 2026, all_packs())
    assert add_up([copper], held, 2026, minerals).unassessed == ()


def test_totals_that_are_not_split_are_kept_apart() -> None:
    clinker = replace(KNOWN, cn_code="25231000", country="CN", installation_id=None)
    totals = add_up([KNOWN, clinker], BOOK, 2026, PACK)
    assert totals.tonnes_not_split == Decimal("1.39") * 11 / 10 * 100
    assert totals.tonnes_direct + totals.tonnes_not_split == totals.tonnes_counted


def test_rows_on_one_value_are_no_surer_than_one_of_them_and_two_values_are() -> None:
    split = add_up(
        [replace(KNOWN, net_mass_kg=Decimal(50_000)), replace(KNOWN, member="ke", net_mass_kg=Decimal(50_000))],
        BOOK,
        2026,
        PACK,
    )
    whole = add_up([KNOWN], BOOK, 2026, PACK)
    assert split.interval_t == whole.interval_t is not None
    assert add_up([], BOOK, 2026, PACK).interval_t is None


def test_the_label_synthetic_survives() -> None:
    assert add_up([KNOWN, replace(KNOWN, synthetic=False, rows=9)], BOOK, 2026, PACK).synthetic_rows == 4
