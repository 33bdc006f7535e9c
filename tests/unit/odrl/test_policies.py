"""A grant as an ODRL policy, and a policy as a grant; what is not understood is refused."""

import json
from collections.abc import Iterator
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.agreements import Agreement, grant_state
from commonweal.kinds.data_grant import DataGrant
from commonweal.odrl import OdrlError, PolicyType, export, read
from tests.strategies import grants
from tests.unit.agreements.cases import LESS, request
from tests.unit.grants.samples import NOON, trust

RULE = {
    "name": "own",
    "anyOf": [
        {"column": "flow", "operator": "In", "values": ["1", "2"]},
        {"column": "product_nc", "operator": "NotIn", "claim": "member"},
        {"column": "day", "operator": "AtLeast", "values": ["2026-01-01"]},
        {"column": "flow", "operator": "IsNull"},
    ],
}
NARROWED = request(
    beneficiary={"pilotApp": "steel-pilot", "sponsor": "kr"},
    narrowing=[
        {
            "dataset": "customs_rows",
            "rowRules": [RULE],
            "masks": [{"column": "product_nc", "mask": {"kind": "Prefix", "size": 4}}],
            "licences": ["CC-BY-4.0"],
        }
    ],
)


def asked(of: DataGrant) -> Agreement:
    spec = of.spec
    narrowing = tuple(sorted(spec.narrowing, key=lambda each: each.dataset))
    datasets = tuple(sorted(spec.datasets))
    return Agreement(sha256="ab" * 32, datasets=datasets, narrowing=narrowing, expires_at=spec.expires_at)


def document(kind: PolicyType = PolicyType.AGREEMENT) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(export(NARROWED, asked(NARROWED), kind)))
    return made


def plain(of: DataGrant) -> dict[str, Any]:
    spec = of.spec
    narrowing = [each.wire() for each in asked(of).narrowing if each.row_rules or each.masks or each.licences]
    return {
        "name": of.metadata.name,
        "trust": spec.trust,
        "beneficiary": spec.beneficiary,
        "purpose": spec.purpose,
        "datasets": sorted(spec.datasets),
        "narrowing": narrowing,
        "expiresAt": spec.expires_at.astimezone(UTC),
    }


@given(grants(), st.sampled_from(PolicyType))
def test_every_grant_comes_back_as_it_was(of: DataGrant, kind: PolicyType) -> None:
    back = read(json.loads(json.dumps(export(of, asked(of), kind))))
    assert plain(back) == plain(of)
    assert back.spec.approvals == ()


def test_an_offer_that_is_read_asks_for_what_was_offered() -> None:
    offered = request(offers=[LESS])
    [offer] = grant_state(offered, trust(), NOON).offers
    assert offer.agreement is not None
    made = export(offered, offer.agreement, PolicyType.OFFER)
    assert made["uid"] == f"urn:commonweal:grant:steel:{offer.agreement.sha256}"
    back = read(made)
    assert back.spec.datasets == ("customs_rows",)
    assert back.spec.expires_at == offer.agreement.expires_at


def objects(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:  # noqa: ANN401 - any JSON
    if isinstance(node, dict):
        yield path
    parts = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, part in parts:
        yield from objects(part, (*path, key))


def at(node: Any, path: tuple[str | int, ...]) -> Any:  # noqa: ANN401 - any JSON
    for key in path:
        node = node[key]
    return node


@pytest.mark.parametrize("path", sorted(objects(document()), key=str), ids=str)
@pytest.mark.parametrize("word", ["duty", "prohibition", "odrl:remedy", "unit", "x"])
def test_a_word_that_is_not_understood_is_refused_wherever_it_stands(path: tuple[str | int, ...], word: str) -> None:
    made = document()
    at(made, path)[word] = "whatever"
    with pytest.raises(OdrlError, match=rf"{word.removeprefix('odrl:')}: is not understood here; remove it"):
        read(made)


SPATIAL = {"leftOperand": "spatial", "operator": "eq", "rightOperand": "https://www.wikidata.org/wiki/Q16"}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("@type",), "Set", "@type: Set is not read here"),
        (("profile",), "https://other.example", "profile: https://other.example is not known here"),
        (("@context",), {"use": "https://other.example/steal"}, "@context: gives words a meaning"),
        (("permission",), [], "permission: there is none"),
        (("permission", 0, "action"), "distribute", r"permission\[0\].action: distribute is not understood here"),
        (("permission", 0, "assigner"), "urn:x", r"permission\[0\].assigner: urn:x is not understood here"),
        (("permission", 0, "target"), "urn:commonweal:dataset:other:rows", "is no dataset of trade"),
        (("permission", 0, "constraint", 0), SPATIAL, r"leftOperand: spatial is not understood here"),
        (
            ("permission", 0, "constraint", 0, "operator"),
            "isA",
            "operator: isA is not understood for purpose; write eq",
        ),
        (("permission", 0, "constraint", 1, "operator"), "lteq", "lteq is not understood for dateTime; write lt"),
        (("permission", 0, "constraint", 1), {}, "leftOperand: is missing"),
        (("permission", 0, "constraint"), SPATIAL, "spatial is not understood"),
        (("permission", 0, "constraint"), [], "dateTime is missing"),
        (("permission", 0, "constraint", 0, "rightOperand"), "marketing", "the purpose marketing is not known"),
        (("permission", 0, "constraint", 1, "rightOperand"), "2030-01-01T00:00:00", "no instant with a time zone"),
        (("permission", 0, "constraint", 1, "rightOperand"), "soon", "soon is no instant"),
        (("permission", 0, "target", "refinement", 0, "or", "@list", 0, "operator"), "hasPart", "hasPart is not"),
        (("permission", 0, "target", "refinement", 0, "or", "@list", 3, "rightOperand"), "1", "compares with urn"),
        (("permission", 0, "target", "refinement", 1, "rightOperand"), "Prefix(4", r"Prefix\(4 is no mask"),
        (("permission", 0, "target", "refinement", 1, "rightOperand"), "Prefix", "Prefix and Bucket take a size"),
        (("permission", 1, "constraint", 1, "rightOperand"), "2031-01-01T00:00:00Z", "differs from the first"),
        (("permission", 1, "target"), "urn:commonweal:dataset:trade:customs_rows", "stands in two of them"),
        (("uid",), "urn:other", "uid: urn:other names no grant"),
    ],
)
def test_what_does_not_make_a_grant_is_refused_with_its_place(
    path: tuple[str | int, ...], value: object, message: str
) -> None:
    made = document()
    at(made, path[:-1])[path[-1]] = value
    with pytest.raises(OdrlError, match=message):
        read(made)


def test_two_masks_of_a_column_make_no_request() -> None:
    made = document()
    refinement = made["permission"][0]["target"]["refinement"]
    refinement.append({**refinement[1], "rightOperand": "Prefix(2)"})
    with pytest.raises(OdrlError, match="the mask of product_nc stands twice"):
        read(made)


def prefixed(node: Any) -> Any:  # noqa: ANN401 - any JSON
    """As other dataspaces write it: every word of the vocabulary with its prefix, single values without a list."""
    if isinstance(node, list):
        return [prefixed(each) for each in node]
    if not isinstance(node, dict):
        return node
    words = {"action", "leftOperand", "operator"}
    return {
        key if key.startswith("@") else "@id" if key == "uid" else f"odrl:{key}": (
            {"@id": value if str(value).startswith("urn:") else f"odrl:{value}"}
            if key in words
            else f"odrl:{value}"
            if key == "@type" and value != "xsd:dateTime"
            else prefixed(value)
        )
        for key, value in node.items()
    }


def test_a_document_with_prefixes_says_the_same() -> None:
    made = prefixed(document()) | {"@context": {"odrl": "http://www.w3.org/ns/odrl/2/"}}
    assert plain(read(made)) == plain(NARROWED)
