"""A small trust, a grant on it and the policy of its members, as the tests of grants, queries and gateways use them."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from commonweal.agreements import Deed, negotiate_all, with_approvals
from commonweal.grants import Policy, PolicyDataset, compile_policy
from commonweal.kinds.data_grant import DataGrant
from commonweal.kinds.data_trust import DataTrust
from commonweal.kinds.member import Site

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
PURPOSE = "trade-embedded-emissions"


def column(name: str, of_type: str, role: str, unit: str | None = None) -> dict[str, str | None]:
    return {"name": name, "type": of_type, "role": role, "unit": unit}


CUSTOMS = {
    "name": "customs_rows",
    "description": "Imports by consignment.",
    "licence": "CC-BY-4.0",
    "synthetic": True,
    "minimumGroupSize": 3,
    "columns": [
        column("product_nc", "string", "dimension"),
        column("flow", "int", "dimension"),
        column("day", "date", "dimension"),
        column("cleared_at", "timestamptz", "dimension"),
        column("synthetic", "boolean", "dimension"),
        column("quantity_in_kg", "long", "measure", "kg"),
        column("share", "decimal(38,18)", "measure"),
        column("distance_km", "double", "measure", "km"),
        column("consignment_id", "string", "hidden"),
    ],
    "sources": ["ca", "ke"],
}
DISCLOSURES = {
    "name": "facility_disclosures",
    "description": "Specific emissions of facilities.",
    "licence": "CC-BY-4.0",
    "minimumGroupSize": 1,
    "columns": [
        column("installation_id", "string", "dimension"),
        column("cn_code", "string", "dimension"),
        column("see_direct_t_per_t", "decimal(38, 18)", "measure", "t/t"),
        column("activity_t", "decimal(38,18)", "hidden", "t"),
    ],
    "sources": ["kr"],
}


def trust(spec: Mapping[str, object] | None = None) -> DataTrust:
    return DataTrust.model_validate(
        {
            "metadata": {"name": "trade", "generation": 4},
            "spec": {
                "title": "Trade",
                "trustees": ["ca", "ke", "kr"],
                "quorum": 2,
                "purposes": [PURPOSE],
                "datasets": [CUSTOMS, DISCLOSURES],
                **(spec or {}),
            },
        }
    )


def grant(
    spec: Mapping[str, object] | None = None,
    *,
    name: str = "steel",
    approved_by: Iterable[str] = ("ca", "kr"),
    of: DataTrust | None = None,
) -> DataGrant:
    """A request that trustees of `of` (the small trust) approved as it is, where it can be approved at all."""
    asked = DataGrant.model_validate(
        {
            "metadata": {"name": name},
            "spec": {
                "trust": "trade",
                "beneficiary": {"pilotApp": "steel-pilot"},
                "purpose": PURPOSE,
                "datasets": ["customs_rows", "facility_disclosures"],
                "expiresAt": NOON + timedelta(days=30),
                **(spec or {}),
            },
        }
    )
    deed = Deed(of or trust())
    fits = deed.datasets.keys() >= set(asked.spec.datasets)
    return with_approvals(asked, deed, approved_by) if fits else asked


def grants(*names: str) -> tuple[DataGrant, ...]:
    """Live grants that differ by their names alone, and so by their agreements."""
    one, deed = grant(), Deed(trust())
    renamed = (one.model_copy(update={"metadata": one.metadata.model_copy(update={"name": name})}) for name in names)
    return tuple(with_approvals(each, deed, ("ca", "kr")) for each in renamed)


def site(member: str, jwks: str = '{"keys":[]}') -> Site:
    return Site.model_validate(
        {
            "issuer": f"https://{member}.example",
            "jwks": jwks,
            "nodeAddress": "127.0.0.1",
            "allocatable": {},
            "agentVersion": "0.1.0",
            "kubernetesVersion": "v1.37.2",
        }
    )


def policy(member: str = "ca", *grants: DataGrant, now: datetime = NOON, **sites: Site) -> Policy:
    return compile_policy(
        trust(), negotiate_all(trust(), grants or (grant(),), now), sites or {"ca": site("ca")}, member
    )


def dataset(name: str = "customs_rows") -> PolicyDataset:
    found = policy("ca" if name == "customs_rows" else "kr").dataset(name)
    assert found is not None
    return found
