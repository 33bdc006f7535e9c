"""Which changes of a deed need the trustees' yes again, and what becomes of the grants meanwhile."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.agreements import Deed, agreement_of, negotiate_all
from commonweal.grants import compile_policy
from commonweal.kinds.data_grant import GrantPhase, GrantReason
from commonweal.kinds.data_trust import Dataset
from commonweal.terms import breaking, read_terms, terms_of
from tests.unit.agreements.cases import approvals, changed, deed, named, seen
from tests.unit.grants.samples import CUSTOMS, DISCLOSURES, NOON, column, grant, site, trust

COLUMNS = [column.wire() for column in trust().spec.datasets[0].columns]
IMPORTS = {"name": "imports", "anyOf": [{"column": "flow", "operator": "In", "values": ["1"]}]}
OLD = {"name": "old", "anyOf": [{"column": "day", "operator": "Below", "values": ["2026-01-01"]}]}
SMALL = {**CUSTOMS, "rowRules": [IMPORTS]}


def columns(**masks_or_roles: Mapping[str, object]) -> list[dict[str, Any]]:
    return [{**each, **masks_or_roles.get(each["name"], {})} for each in COLUMNS]


def found(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    texts = [read_terms(terms_of(Dataset.model_validate(each))) for each in (before, after)]
    assert texts[0] is not None
    assert texts[1] is not None
    return breaking(texts[0], texts[1])


@pytest.mark.parametrize(
    ("after", "change"),
    [
        ({"columns": COLUMNS[1:]}, "columns[product_nc]: cannot be asked any more"),
        ({"columns": columns(flow={"type": "long"})}, "columns[flow].type: int became long"),
        ({"columns": columns(quantity_in_kg={"unit": "t"})}, "columns[quantity_in_kg].unit: kg became t"),
        ({"columns": columns(flow={"role": "hidden"})}, "columns[flow]: cannot be asked any more"),
        ({"columns": columns(consignment_id={"role": "dimension"})}, "columns[consignment_id]: can be seen now"),
        ({"columns": [*COLUMNS, column("port", "string", "dimension")]}, "columns[port]: can be seen now"),
        ({"minimumGroupSize": 2}, "minimumGroupSize: 3 became 2"),
        ({"rowRules": []}, "rowRules[imports]: was removed"),
        ({"rowRules": [{**OLD, "name": "imports"}]}, "rowRules[imports]: was changed"),
        ({"licence": "ODbL-1.0"}, "licence: CC-BY-4.0 became ODbL-1.0"),
        ({"synthetic": False}, "synthetic: true became nothing"),
        (
            {"sources": ["ca", "ke", "kr"], "federation": {"combiner": "ca", "minimumMembers": 3}},
            'federation: nothing became {"combiner": "ca", "minimumMembers": 3}',
        ),
    ],
)
def test_what_shows_more_or_alters_a_question_is_breaking(after: dict[str, object], change: str) -> None:
    assert found(SMALL, {**SMALL, **after}) == [change]


@pytest.mark.parametrize(
    "after",
    [
        {"description": "Imports and exports."},
        {"sources": ["ca"]},
        {"minimumGroupSize": 30},
        {"rowRules": [IMPORTS, OLD]},
        {"columns": columns(product_nc={"mask": {"kind": "Prefix", "size": 4}})},
        {"columns": [each for each in COLUMNS if each["role"] != "hidden"]},
        {"columns": [*COLUMNS, column("port", "string", "hidden")]},
        {"columns": list(reversed(COLUMNS))},
        {"columns": columns(consignment_id={"type": "long"})},
    ],
)
def test_what_shows_the_same_or_less_is_not(after: dict[str, object]) -> None:
    assert found(SMALL, {**SMALL, **after}) == []


def test_a_mask_may_be_put_on_but_not_taken_off_or_exchanged() -> None:
    four, two = ({**SMALL, "columns": columns(product_nc={"mask": {"kind": "Prefix", "size": n}})} for n in (4, 2))
    assert found(SMALL, four) == []
    assert found(four, SMALL) == ['columns[product_nc].mask: {"kind": "Prefix", "size": 4} became nothing']
    assert len(found(four, two)) == 1


@pytest.mark.parametrize(
    ("before", "after", "breaks"),
    [
        (None, ("day", 30), False),
        (("day", 30), ("day", 29), False),
        (("day", 30), ("day", 31), True),
        (("day", 30), ("cleared_at", 30), True),
        (("day", 30), None, True),
    ],
)
def test_rows_may_end_sooner_but_not_later(
    before: tuple[str, int] | None, after: tuple[str, int] | None, breaks: bool
) -> None:
    own = read_terms(terms_of(Dataset.model_validate(CUSTOMS)))
    assert own is not None
    texts = [
        own if kept is None else {**own, "retention": {"column": kept[0], "days": kept[1]}} for kept in (before, after)
    ]
    assert [change.partition(":")[0] for change in breaking(*texts)] == ["retention"] * breaks


steps = st.fixed_dictionaries(
    {},
    optional={
        "retention": st.sampled_from([{"column": "day", "days": 365}, {"column": "day", "days": 30}]),
        "minimumGroupSize": st.integers(1, 4),
        "rowRules": st.sampled_from([[], [IMPORTS], [IMPORTS, OLD], [OLD]]),
        "licence": st.sampled_from(["CC-BY-4.0", "CC0-1.0"]),
        "columns": st.sampled_from(
            [COLUMNS, COLUMNS[2:], columns(product_nc={"mask": {"kind": "Null"}}), columns(flow={"role": "hidden"})]
        ),
        "description": st.sampled_from(["One.", "Two."]),
    },
)


@given(steps, steps, steps)
def test_two_changes_that_break_nothing_break_nothing_together(
    one: dict[str, object], two: dict[str, object], three: dict[str, object]
) -> None:
    first, second, third = ({**SMALL, **each} for each in (one, two, three))
    if not found(first, second) and not found(second, third):
        assert found(first, third) == []
    assert found(first, first) == []


def test_a_deed_that_shows_less_goes_on_under_the_same_agreement() -> None:
    tighter = deed({**CUSTOMS, "minimumGroupSize": 10}, [DISCLOSURES])
    asked, before = seen(grant(), trust())
    _, after = seen(asked, tighter)
    assert after.ready
    assert named(after) == named(before)
    [live] = compile_policy(tighter, negotiate_all(tighter, [asked], NOON), {"ca": site("ca")}, "ca").grants
    assert live.hash == named(before)


def test_a_deed_that_shows_more_ends_the_right_until_trustees_agree_again_and_says_what_changed() -> None:
    wider = deed({**CUSTOMS, "minimumGroupSize": 2}, [DISCLOSURES])
    asked, before = seen(grant(), trust())
    assert compile_policy(wider, negotiate_all(wider, [asked], NOON), {"ca": site("ca")}, "ca").grants == ()
    asked, after = seen(asked, wider, wider)
    assert (after.phase, after.reason) == (GrantPhase.REQUESTED, GrantReason.DEED_CHANGED)
    assert after.message.startswith("The deed changed: customs_rows.minimumGroupSize: 3 became 2; 0 of 2 trustees")
    assert named(after) == agreement_of(asked, Deed(wider)).sha256 != named(before)
    again = changed(asked, approvals=approvals(ca=named(after), ke=named(after)))
    again, final = seen(again, wider, wider)
    assert final.ready
    assert again.status is not None
    assert again.status.agreement is not None
    assert again.status.agreement.changes == ()


def test_a_change_that_is_taken_back_restores_what_was_agreed() -> None:
    wider = deed({**CUSTOMS, "minimumGroupSize": 2}, [DISCLOSURES])
    asked, before = seen(grant(), trust())
    asked, between = seen(asked, wider)
    _, after = seen(asked, trust())
    assert (before.ready, between.ready, after.ready) == (True, False, True)
    assert named(after) == named(before)


@given(st.lists(st.sampled_from([1, 2, 3, 4, 5]), min_size=1, max_size=6))
def test_no_sequence_of_deeds_shows_more_than_was_agreed(sizes: list[int]) -> None:
    asked, _ = seen(grant(), trust())
    for size in sizes:
        now = deed({**CUSTOMS, "minimumGroupSize": size}, [DISCLOSURES])
        live = compile_policy(now, negotiate_all(now, [asked], NOON), {"ca": site("ca")}, "ca").grants
        assert size >= 3 or not live
        assert size != 3 or live
        asked, state = seen(asked, now)
        assert state.ready == bool(live)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["columns", "rowRules", "minimumGroupSize", "retention", "role", "days"]), inner
            )
        ),
    )
)
def test_no_text_makes_a_comparison_fail(anything: object) -> None:
    terms = read_terms(json.dumps(anything))
    own = read_terms(terms_of(Dataset.model_validate(CUSTOMS)))
    assert own is not None
    assert terms is None or isinstance(breaking(terms, own), list)


def test_terms_that_nobody_can_read_any_more_need_a_new_agreement() -> None:
    asked, _ = seen(grant(), trust())
    assert asked.status is not None
    assert asked.status.agreement is not None
    first, *others = asked.status.agreement.terms
    lost = asked.status.agreement.model_copy(update={"terms": (first.model_copy(update={"terms": "?"}), *others)})
    asked = asked.model_copy(update={"status": asked.status.model_copy(update={"agreement": lost})})
    _, state = seen(asked, trust())
    assert state.ready, "the deed is still word for word the one that was approved"
    _, state = seen(asked, deed({**CUSTOMS, "minimumGroupSize": 4}, [DISCLOSURES]))
    assert state.reason is GrantReason.DEED_CHANGED
    assert "the terms that were agreed are not known any more" in state.message
