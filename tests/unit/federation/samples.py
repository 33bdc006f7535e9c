"""A federated dataset as the tests of questions and rounds use it."""

from collections.abc import Mapping

from commonweal.agreements import negotiate_all
from commonweal.grants import PolicyDataset, compile_policy
from tests.unit.grants.samples import CUSTOMS, NOON, grant, site, trust

SOURCES = ("ca", "ke", "kr", "uy")
BOUNDS = [
    {"column": "quantity_in_kg", "minimum": 0, "maximum": 2000},
    {"column": "share", "minimum": 0, "maximum": 2},
    {"column": "distance_km", "minimum": -5, "maximum": 5},
]
LAPLACE = {
    "mechanism": "discrete-laplace",
    "budgetMicroEpsilon": 1_000_000,
    "unit": "one consignment",
    "rowsPerUnit": 1,
    "bounds": BOUNDS,
}


def federated(noise: Mapping[str, object] | None = None, **changes: object) -> dict[str, object]:
    """The declared dataset, with or without noise."""
    rules = {"combiner": "ke", "minimumMembers": 3, **({} if noise is None else {"noise": noise})}
    return {**CUSTOMS, "sources": list(SOURCES), "federation": rules, **changes}


def dataset(noise: Mapping[str, object] | None = None) -> PolicyDataset:
    declared = trust({"datasets": [federated(noise)]})
    found = compile_policy(
        declared, negotiate_all(declared, [grant(of=declared)], NOON), {"ca": site("ca")}, "ca"
    ).dataset("customs_rows")
    assert found is not None
    return found
