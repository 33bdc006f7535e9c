"""The data owner's file: nothing in it has a default, and no error shows a secret."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from apps.trade.assessment import Disclosed
from apps.trade.pact.callbacks import GIVE_UP_AFTER_S, waits_s
from apps.trade.pact.catalogue import Criteria, build
from apps.trade.pact.register import RegisterError, read_register
from apps.trade.rule_packs import all_packs

from .conftest import ADDENDUM, PRODUCT, ROWS, SECRET, TOKEN_KEY, WIRE, register

FULL = register().clients[0]
FILE: dict[str, Any] = {"tokenKey": TOKEN_KEY, "clients": [], "products": [PRODUCT]}


def written(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "pact.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_file_is_read_with_exact_numbers(tmp_path: Path) -> None:
    found = read_register(written(tmp_path, FILE))
    assert str(found.products[0].fossil_carbon_content) == "0.0018"
    assert TOKEN_KEY not in repr(found)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tokenKey": None}, "tokenKey"),
        ({"tokenKey": "chosen"}, "openssl rand -hex 32"),
        ({"clients": [{"clientId": "a", "secretSha256": "plain", "tier": "full"}]}, "secretSha256"),
        ({"products": [PRODUCT, PRODUCT]}, "MILL-1 72081000 occurs twice"),
        ({"products": [{**PRODUCT, "beyondSee": "-0.5"}]}, "beyondSee"),
        (
            {"products": [{name: value for name, value in PRODUCT.items() if name != "primaryDataShare"}]},
            "primaryDataShare",
        ),
        ({"products": [{**PRODUCT, "colour": "blue"}]}, "colour"),
        ({"clients": [{"clientId": "a", "secretSha256": "0" * 64, "tier": "addendum"}]}, "tier"),
        ({"products": [{**PRODUCT, "addenda": [ADDENDUM]}]}, "addenda: summary is no client; correct clientId"),
        ({"products": [{**PRODUCT, "addenda": [{**ADDENDUM, "quantityKg": "-1"}]}]}, "quantityKg"),
    ],
)
def test_a_wrong_file_is_refused_by_field(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RegisterError, match=said) as refused:
        read_register(written(tmp_path, {**FILE, **changes}))
    assert not any(secret in str(refused.value) for secret in ("chosen", "plain"))


def test_a_file_that_is_missing_or_no_yaml_is_said(tmp_path: Path) -> None:
    with pytest.raises(RegisterError, match="mount the register or unset COMMONWEAL_PACT"):
        read_register(tmp_path / "absent.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(RegisterError, match="not YAML"):
        read_register(tmp_path / "bad.yaml")


def test_only_the_right_secret_of_a_known_client_authenticates() -> None:
    found = register().authenticated("full", SECRET)
    assert found is not None
    assert found.client_id == "full"
    assert register().authenticated("full", "wrong") is None
    assert register().authenticated("nobody", SECRET) is None


def test_a_callback_over_http_is_refused() -> None:
    callback = {"url": "http://x.invalid", "tokenUrl": "https://x.invalid", "clientId": "a", "clientSecret": "b"}
    with pytest.raises(ValidationError, match="url"):
        register(clients=[{"clientId": "a", "secretSha256": "0" * 64, "tier": "full", "callback": callback}])


def test_a_product_without_disclosure_is_not_offered() -> None:
    assert not build(register(products=[PRODUCT, WIRE]), (), all_packs()).matching(Criteria(), FULL)


@pytest.mark.parametrize("rows", [ROWS, ROWS[::-1]])
def test_ids_follow_from_content_and_not_from_order(rows: tuple[Disclosed, ...]) -> None:
    found = build(register(), rows, all_packs()).matching(Criteria(), FULL)
    wanted = build(register(), ROWS, all_packs()).matching(Criteria(), FULL)
    assert [offer.footprint for offer in found] == [offer.footprint for offer in wanted]


def test_another_number_is_another_footprint() -> None:
    one = build(register(), ROWS, all_packs()).matching(Criteria(), FULL)
    other = build(register(products=[{**PRODUCT, "beyondSee": "0.2"}]), ROWS, all_packs()).matching(Criteria(), FULL)
    assert not {offer.footprint.id for offer in one} & {offer.footprint.id for offer in other}


def test_two_addenda_of_one_client_contradict_each_other() -> None:
    with pytest.raises(ValidationError, match="addenda: summary has two addenda"):
        register(products=[{**PRODUCT, "addenda": [ADDENDUM, ADDENDUM]}])


def test_an_addendum_is_its_clients_alone_and_opens_what_no_tier_does() -> None:
    closed = {**PRODUCT, "tier": "addendum", "addenda": [ADDENDUM]}
    found = build(register(products=[closed, WIRE]), ROWS, all_packs())
    full, summary = register().clients
    (offer,) = [each for each in found.matching(Criteria(), summary) if each.footprint.status == "Active"]
    assert not any(each.tier == "addendum" for each in found.matching(Criteria(), full))
    (extension,) = offer.shown(summary)["extensions"]
    assert extension["data"] == ADDENDUM
    assert "extensions" not in offer.shown(full)
    assert "comment" not in offer.shown(summary)


def test_an_addendum_changes_no_footprint() -> None:
    one = build(register(), ROWS, all_packs()).matching(Criteria(), FULL)
    other = build(register(products=[{**PRODUCT, "addenda": [ADDENDUM]}, WIRE]), ROWS, all_packs())
    assert [each.footprint for each in one] == [each.footprint for each in other.matching(Criteria(), FULL)]


def test_answers_are_tried_for_three_days_and_then_given_up() -> None:
    waits = list(waits_s())
    assert waits[:3] == [1, 2, 4]
    assert max(waits) == 3600
    assert GIVE_UP_AFTER_S - 3600 < sum(waits) <= GIVE_UP_AFTER_S
