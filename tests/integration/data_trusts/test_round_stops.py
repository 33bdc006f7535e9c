"""A member's part of a federated round ends with the right to it: the engine is stopped, and nothing leaves."""

import base64
import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from commonweal.agreements import negotiate_all
from commonweal.federation import RoundRefusedError
from commonweal.grants import compile_policy
from commonweal.kinds.member import Site
from data_trusts.audit import AuditLog
from data_trusts.gateway.certificates import make_identity
from data_trusts.gateway.policies import PolicyBook
from data_trusts.gateway.round_bodies import Answering, Dealing, Opening
from data_trusts.gateway.rounds import RoundService
from data_trusts.gateway.service import Refused
from data_trusts.privacy_ledger import PrivacyLedger
from tests.integration.data_trusts.test_service import CALLER, ScriptedEngine
from tests.unit.federation.samples import SOURCES, federated
from tests.unit.grants.samples import NOON, PURPOSE, grant, site, trust

QUESTION = {
    "trust": "trade",
    "dataset": "customs_rows",
    "purpose": PURPOSE,
    "grant": "steel",
    "sql": "SELECT count(*) FROM customs_rows",
    "members": SOURCES,
}


class Table:
    """Four members' services around one question that was opened and dealt; `ca` is about to answer."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.engine = ScriptedEngine()
        self.path = folder / "ca" / "audit.jsonl"
        self.books = {member: PolicyBook(member) for member in SOURCES}
        identities = {member: make_identity(member, ["127.0.0.1"], NOON) for member in SOURCES}
        self.sites: dict[str, Site] = {
            member: site(member).model_copy(update={"gateway_certificate_pem": identity.certificate_pem})
            for member, identity in identities.items()
        }
        self.publish()
        self.services = {
            member: RoundService(
                member=member,
                book=self.books[member],
                engine=self.engine,
                audit=stack.enter_context(AuditLog(folder / member / "audit.jsonl", NOON)),
                ledger=stack.enter_context(PrivacyLedger(folder / f"{member}.db")),
                identity=identities[member],
                clock=lambda: NOON,
            )
            for member in SOURCES
        }
        self.answering = self._dealt(uuid.uuid4().hex)

    def publish(self, **changes: object) -> None:
        declared = trust({"datasets": [federated()]})
        asked = grant({"datasets": ["customs_rows"], **changes}, of=declared)
        for member, book in self.books.items():
            policy = compile_policy(declared, negotiate_all(declared, [asked], NOON), self.sites, member)
            book.replace({"policy-trade": policy.render()}, NOON)

    def _dealt(self, round_id: str) -> Answering:
        opening = Opening.model_validate({**QUESTION, "round": round_id})
        keys = {member: over_the_wire(each.open(CALLER, opening))["keys"] for member, each in self.services.items()}
        dealing = Dealing.model_validate({"round": round_id, "keys": keys})
        dealt = {member: over_the_wire(each.deal(CALLER, dealing)) for member, each in self.services.items()}
        shares = {dealer: each["shares"]["ca"] for dealer, each in dealt.items()}
        return Answering.model_validate({"round": round_id, "shares": shares})

    def answer(self) -> dict[str, object] | Refused:
        return self.services["ca"].answer(CALLER, self.answering)

    def kinds(self) -> list[str]:
        return [json.loads(line)["kind"] for line in self.path.read_text().splitlines()]


def over_the_wire(document: object) -> dict[str, Any]:
    """What a client carries: bytes as base64."""
    carried: dict[str, Any] = json.loads(json.dumps(document, default=lambda raw: base64.b64encode(raw).decode()))
    return carried


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    with ExitStack() as stack:
        yield Table(tmp_path, stack)


def test_a_part_that_may_still_be_asked_is_not_stopped(table: Table) -> None:
    table.engine.meanwhile = table.services["ca"].stop_ended
    assert isinstance(table.answer(), dict)
    assert table.kinds() == ["asked", "answered"]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"revoked": True}, "UnknownGrant"),
        ({"narrowing": [{"dataset": "customs_rows", "masks": [{"column": "day", "mask": {"kind": "Year"}}]}]}, "Round"),
    ],
)
def test_a_part_is_stopped_with_the_right_to_it(table: Table, changes: dict[str, object], rule: str) -> None:
    def revoked_while_it_runs() -> None:
        table.publish(**changes)
        table.services["ke"].stop_ended()  # it runs nothing
        table.services["ca"].stop_ended()

    table.engine.meanwhile = revoked_while_it_runs
    answer = table.answer()
    assert isinstance(answer, Refused)
    assert answer.refusal.rule == rule
    assert table.engine.stopped == 1
    assert table.kinds() == ["asked", "refused"]
    with pytest.raises(RoundRefusedError, match="there is no such round here"):
        table.answer()
