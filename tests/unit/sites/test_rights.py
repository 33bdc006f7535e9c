from pathlib import Path

import pytest

from infra.sites.rbac import IDENTITIES, Rule

GOLDEN = Path(__file__).parent / "golden" / "rights.txt"


def test_what_each_identity_may_do_is_what_was_reviewed() -> None:
    found = "".join(f"{line}\n" for identity in IDENTITIES for line in identity.sentences())
    assert found == GOLDEN.read_text(), f"rights changed; review them and write this text to {GOLDEN}:\n{found}"


def test_no_right_lets_an_identity_widen_its_rights() -> None:
    dangerous = {"bind", "escalate", "impersonate"}
    for identity in IDENTITIES:
        for rule in identity.rules:
            assert rule.group != "rbac.authorization.k8s.io", rule.why
            assert not dangerous & set(rule.verbs), rule.why


def test_secrets_are_read_by_name_only() -> None:
    for identity in IDENTITIES:
        for rule in identity.rules:
            if "secrets" in rule.resources and set(rule.verbs) != {"create"}:
                assert rule.names, rule.why
                assert "list" not in rule.verbs, rule.why


def test_a_rule_with_a_star_cannot_be_written() -> None:
    with pytest.raises(ValueError, match=r"replace the \*"):
        Rule(why="it wants every verb", namespace="commonweal-apps", verbs=("*",), resources=("pods",))
    with pytest.raises(ValueError, match=r"replace the \*"):
        Rule(why="it wants every page", namespace=None, verbs=("get",), urls=("/healthz/*",))
