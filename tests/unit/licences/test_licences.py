"""Under which licences an answer stands, and which rows a grant that is bound to licences shows."""

from collections.abc import Mapping
from itertools import product

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal import licences
from commonweal.agreements import Deed, grant_state, negotiate_all, with_approvals
from commonweal.grants import Allowed, Ask, Policy, Refusal, Rule, compile_policy, dataset_faults, decide
from commonweal.kinds.data_trust import DataTrust
from commonweal.kinds.visibility import Comparison, Operator, RowRule
from data_trusts.catalog import iceberg_schema
from data_trusts.rows import RowsRefusedError, conform
from tests.unit.grants.samples import CUSTOMS, NOON, PURPOSE, column, grant, site, trust

OWN = {"column": "terms", "licences": ["CC0-1.0", "ODbL-1.0", "CC-BY-4.0"]}
COLUMNS = [column("terms", "string", "dimension"), column("flow", "int", "dimension")]
MIXED = {**CUSTOMS, "columns": COLUMNS, "rowLicences": OWN}
BY_SOURCE = {**CUSTOMS, "columns": COLUMNS, "sourceLicences": [{"member": "ke", "licence": "ODbL-1.0"}]}


def deed(dataset: Mapping[str, object]) -> DataTrust:
    return trust({"datasets": [dataset]})


def policy(dataset: Mapping[str, object], member: str, *bound_to: str, rules: list[object] | None = None) -> Policy:
    narrowing = [{"dataset": "customs_rows", "licences": list(bound_to), "rowRules": rules or []}]
    asked = with_approvals(
        grant({"datasets": ["customs_rows"], "narrowing": narrowing}), Deed(deed(dataset)), ["ca", "kr"]
    )
    return compile_policy(deed(dataset), negotiate_all(deed(dataset), [asked], NOON), {"ca": site("ca")}, member)


def decision(of: Policy) -> Allowed | Refusal:
    ask = Ask(
        trust="trade", dataset="customs_rows", purpose=PURPOSE, grant="steel", beneficiary="steel-pilot", member="ca"
    )
    return decide(of, ask, NOON)


def licence(of: Policy) -> str:
    found = decision(of)
    assert isinstance(found, Allowed)
    return found.dataset.licence


def test_each_source_answers_under_the_licence_of_its_own_rows() -> None:
    assert [licence(policy(BY_SOURCE, member)) for member in ("ca", "ke")] == ["CC-BY-4.0", "ODbL-1.0"]


def test_an_answer_over_mixed_rows_names_all_their_licences() -> None:
    assert licence(policy(MIXED, "ca")) == "CC-BY-4.0 AND CC0-1.0 AND ODbL-1.0"
    assert licences.expression(["MIT OR Apache-2.0", "CC0-1.0"]) == "CC0-1.0 AND (MIT OR Apache-2.0)"


def test_a_grant_bound_to_licences_shows_only_rows_under_them() -> None:
    of = policy(MIXED, "ca", "ODbL-1.0", "CC0-1.0")
    found = decision(of)
    assert isinstance(found, Allowed)
    assert found.dataset.licence == "CC0-1.0 AND ODbL-1.0"
    [rule] = found.dataset.row_rules
    assert (rule.name, rule.any_of[0].column, rule.any_of[0].values) == (
        "steel/licences",
        "terms",
        ("CC0-1.0", "ODbL-1.0"),
    )


def test_a_source_whose_licence_a_grant_excludes_is_not_part_of_it() -> None:
    refused = decision(policy(BY_SOURCE, "ca", "ODbL-1.0"))
    assert isinstance(refused, Refusal)
    assert refused.rule is Rule.UNKNOWN_GRANT
    assert licence(policy(BY_SOURCE, "ke", "ODbL-1.0")) == "ODbL-1.0"


def test_a_licence_that_no_row_has_is_named() -> None:
    narrowing = [{"dataset": "customs_rows", "licences": ["WTFPL"]}]
    state = grant_state(grant({"datasets": ["customs_rows"], "narrowing": narrowing}), deed(MIXED), NOON)
    assert state.message.startswith("spec.narrowing[customs_rows].licences[WTFPL]: no row has it; rows have CC-BY-4.0")


@pytest.mark.parametrize(
    "columns",
    [
        [column("flow", "int", "dimension")],
        [column("terms", "int", "dimension")],
        [column("terms", "string", "hidden")],
        [{**column("terms", "string", "dimension"), "mask": {"kind": "Null"}}],
    ],
)
def test_a_column_that_cannot_say_a_licence_is_named(columns: list[dict[str, object]]) -> None:
    declared = deed({**MIXED, "columns": columns}).spec.datasets[0]
    assert "rowLicences.column: terms is no dimension of type string without a mask" in dataset_faults(declared)[0]


KNOWN = ("CC-BY-4.0", "CC0-1.0", "ODbL-1.0")
comparisons = st.one_of(
    st.builds(
        Comparison,
        column=st.just("terms"),
        operator=st.sampled_from([Operator.IN, Operator.NOT_IN]),
        values=st.lists(st.sampled_from(KNOWN), min_size=1, unique=True).map(tuple),
    ),
    st.builds(Comparison, column=st.just("terms"), operator=st.sampled_from([Operator.IS_NULL, Operator.IS_NOT_NULL])),
    st.builds(Comparison, column=st.just("flow"), operator=st.just(Operator.IN), values=st.just(("1",))),
)
rules = st.lists(st.lists(comparisons, min_size=1, max_size=3).map(tuple), max_size=3)


def holds(comparison: Comparison, row: Mapping[str, str]) -> bool:
    value = row[comparison.column]
    return {
        Operator.IN: value in comparison.values,
        Operator.NOT_IN: value not in comparison.values,
        Operator.IS_NULL: False,
        Operator.IS_NOT_NULL: True,
    }[comparison.operator]


@given(rules)
def test_the_licences_of_an_answer_are_those_of_rows_that_the_rules_can_show(
    alternatives: list[tuple[Comparison, ...]],
) -> None:
    made = [RowRule.model_validate({"name": "r", "anyOf": each}) for each in alternatives]
    rows = [{"terms": terms, "flow": flow} for terms, flow in product(KNOWN, ("1", "2"))]
    seen = {row["terms"] for row in rows if all(any(holds(c, row) for c in rule.any_of) for rule in made)}
    assert set(licences.shown(KNOWN, "terms", made)) == seen


@pytest.mark.parametrize(("value", "said"), [("WTFPL", "WTFPL is"), (None, "nothing is")])
def test_a_row_under_a_licence_that_was_not_declared_is_not_taken(value: str | None, said: str) -> None:
    dataset = policy(MIXED, "ca").dataset("customs_rows")
    assert dataset is not None
    schema = iceberg_schema(dataset).as_arrow()
    taken = conform(pa.table({"terms": ["CC0-1.0"], "flow": [1]}), dataset, schema)
    assert taken.num_rows == 1
    with pytest.raises(RowsRefusedError, match=f"row 2, field terms: {said} no licence of this dataset"):
        conform(pa.table({"terms": ["CC0-1.0", value], "flow": [1, 2]}), dataset, schema)
