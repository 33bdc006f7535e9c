"""What no meter reads is recorded, judged in words, counted by a statement after its clock, and never a second time."""

import json
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commonweal.agreements import grant_state
from commonweal.contributions import Brought, Claim, Past, decide
from commonweal.green import MJ_PER_WH
from commonweal.kinds.contribution import ContributionReason
from commonweal.kinds.equity_statement import EquityEntry
from commonweal.ledger import Unit
from operators.frame import Store
from operators.hub import evidence
from operators.hub.books import Books, posted
from operators.hub.claims import ClaimController, Observed, Record, around, past_of
from operators.hub.periods import Observed as Closing
from operators.hub.periods import statement
from operators.hub.resources import DATA_GRANTS, DATA_TRUSTS, PILOT_APPS
from tests.unit.agreements.cases import LESS, approvals, changed, request
from tests.unit.contributions.samples import AROUND, MINUTE, NOON, RULES, certificate, claim, kept, work
from tests.unit.grants.samples import grant, trust
from tests.unit.hub.test_periods import observed, reading

DRAWN_MJ = 600_000 * 60  # by the two devices of ca in a minute, 10 Wh


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books.open(tmp_path)
    yield made
    made.close()


def look(books: Books, it: Claim) -> Observed:
    connection = books.connection
    return Observed(
        claim=it,
        around=AROUND,
        rules=RULES,
        recorded_at=evidence.recorded_at(connection, it),
        decision=evidence.decision(connection, it.id),
    )


def said(books: Books, it: Claim, now: datetime) -> tuple[str, bool | None, str]:
    """What the object says after a reconcile, which may also have recorded or refused it."""
    plan = ClaimController(store=Store(), books=books).plan(look(books, it), now)
    for write in plan.writes:
        assert isinstance(write, Record)
        write.keep()
    [finding] = plan.findings
    return finding.reason, finding.holds, finding.message


def close(books: Books, minute: int, *claims: Claim) -> tuple[EquityEntry, Brought]:
    """Close the minute by what both members' devices read, and return what ca has of it."""
    start = NOON + minute * MINUTE
    readings = [reading(member, start, energy_mj=DRAWN_MJ) for member in ("ca", "kr")]
    end = start + MINUTE
    decided = decide(evidence.still_open(books.connection, {each.uid: each for each in claims}), AROUND, RULES, end)
    past = past_of(books, decided, {NOON})
    seen: Closing = observed(*readings, last=books.last_statement(), decided=decided, past=past)
    spec, record, brought = statement(seen, (start, end), seen.unsettled)
    books.settle(f"statement-{minute}", spec, (), record, brought=brought)
    return spec.entries[0], brought


def test_a_claim_is_recorded_and_counted_by_the_first_statement_after_its_clock(books: Books) -> None:
    it = claim(work=[work()])
    reason, holds, _ = said(books, it, NOON)
    assert (reason, holds) == (ContributionReason.APPROVED, True)
    assert close(books, -1, it)[0].talent_seconds == 0
    entry, _ = close(books, 0, it)
    assert (entry.talent_seconds, entry.credit.talent) == (600, 600)
    assert said(books, it, NOON + 2 * MINUTE)[0] is ContributionReason.COUNTED
    assert close(books, 1, it)[0].talent_seconds == 0


def test_energy_of_an_hour_becomes_green_as_its_certificates_and_its_readings_come(books: Books) -> None:
    it = claim(certificates=[certificate(wh=25)])
    assert close(books, 0)[0].green_energy_mj == 0
    said(books, it, NOON + MINUTE)
    entry, brought = close(books, 1, it)
    assert entry.green_energy_mj == 20 * MJ_PER_WH
    assert [each.wh for each in brought.retirements] == [20]
    assert close(books, 2, it)[0].green_energy_mj == 5 * MJ_PER_WH
    assert close(books, 3, it)[0].green_energy_mj == 0


def test_a_certificate_counts_once_also_where_it_is_claimed_again(books: Books) -> None:
    first, again = claim(certificates=[certificate()]), claim(certificates=[certificate(wh=999)], uid="uid-2")
    for each in (first, again):
        said(books, each, NOON)
    close(books, 1, first, again)
    taken = evidence.taken(books.connection, [again])
    assert taken == {"r/gc-1": first.id}
    assert evidence.decision(books.connection, first.id) == (True, "statement-1")
    assert evidence.decision(books.connection, again.id) == (False, "statement-1")


def test_a_person_that_two_members_claim_counts_for_the_first(books: Books) -> None:
    first, second = claim(work=[work()]), claim(work=[work(300, 900)], member="kr", yes=("ca", "ke"), uid="uid-2")
    said(books, first, NOON)
    said(books, second, NOON + MINUTE)
    assert close(books, 0, first, second)[0].talent_seconds == 600
    _, brought = close(books, 1, first, second)
    assert [(each.credit, each.unit, each.amount) for each in brought.transfers] == [
        ("member/kr/delivered", Unit.WORK_SECONDS, 300)
    ]


def test_a_claim_made_anew_begins_its_clock_anew(books: Books) -> None:
    said(books, claim(work=[work()]), NOON)
    anew = claim(work=[work()], uid="uid-2")
    assert evidence.still_open(books.connection, {anew.uid: anew}) == ()
    said(books, anew, NOON + MINUTE)
    assert evidence.still_open(books.connection, {anew.uid: anew}) == ((anew, NOON + MINUTE),)


def test_a_refusal_names_field_and_rule_and_is_logged_once(books: Books) -> None:
    wrong = claim(certificates=[certificate(zone="KR")])
    for _ in range(2):
        reason, holds, message = said(books, wrong, NOON)
        assert (reason, holds) == (ContributionReason.REFUSED, False)
        assert "spec.record.certificates[0].zone: KR, but ca pledges in CA-QC" in message
    leaves = [json.loads(leaf) for (leaf,) in books.connection.execute("SELECT leaf FROM log")]
    assert [(leaf["type"], leaf["member"]) for leaf in leaves] == [("refusal", "ca")]


def test_the_log_holds_claim_decision_load_and_retirement_beside_their_posting(books: Books) -> None:
    it = claim(certificates=[certificate()])
    said(books, it, NOON)
    close(books, 0, it)
    leaves = [json.loads(leaf) for (leaf,) in books.connection.execute("SELECT leaf FROM log ORDER BY position")]
    kinds = [leaf.get("type", leaf.get("event")) for leaf in leaves if "charter" not in leaf]
    assert kinds == ["contribution", "contribution-decision", "load", "load", "retirement", "pending", "post"]
    assert leaves[1] == {
        "approved_by": ["ke", "kr"],
        "counts": True,
        "id": it.id,
        "objected_by": [],
        "type": "contribution-decision",
    }
    [(name, transfer)] = posted(books.path)
    assert (name, transfer.unit, transfer.amount) == ("statement-0", Unit.GREEN_MJ, 10 * MJ_PER_WH)


def test_a_statement_that_is_not_kept_leaves_every_claim_open(books: Books) -> None:
    it = claim(work=[work()])
    said(books, it, NOON)
    decided = decide(evidence.still_open(books.connection, {it.uid: it}), AROUND, RULES, NOON + MINUTE)
    seen = observed(reading("ca"), decided=decided, past=Past())
    spec, record, brought = statement(seen, (NOON, NOON + MINUTE), seen.unsettled)
    books.settle("statement-0", spec, (), record, brought=brought)
    assert evidence.decision(books.connection, it.id) == (True, "statement-0")
    before = books.position()
    with pytest.raises(Exception, match="UNIQUE"):
        books.settle("statement-1", spec, (), record, brought=brought)
    assert books.position() == before


def test_what_is_wanted_of_others_stays_open_until_the_clock(books: Books) -> None:
    it = claim(work=[work()], yes=("ke",))
    assert said(books, it, NOON)[0] is ContributionReason.AWAITING_APPROVAL
    assert close(books, 0, it)[0].talent_seconds == 0
    close(books, 1, it)
    reason, holds, message = said(books, it, NOON + timedelta(minutes=3))
    assert (reason, holds) == (ContributionReason.LAPSED, False)
    assert "statement-1 closed it uncounted" in message


def test_only_who_was_agreed_to_may_ask_a_dataset_is_an_asker_of_it(books: Books) -> None:
    """An accepted offer leaves out what its request asked for, and an app without a sponsor has nobody behind it."""
    offered = request(offers=[{**LESS, "trustee": "ca"}], beneficiary={"pilotApp": "steel-pilot", "sponsor": "kr"})
    [less] = [each.agreement.sha256 for each in grant_state(offered, trust(), NOON).offers if each.agreement]
    agreed = changed(offered, approvals=approvals(ca=less, ke=less), accepted=less)
    store = Store()
    app = {"metadata": {"name": "steel-pilot", "resourceVersion": "1"}, "spec": {"sponsor": "kr"}}
    for resource, body in (
        (DATA_TRUSTS, trust().model_dump(mode="json", by_alias=True, exclude_none=True)),
        (DATA_GRANTS, agreed.model_dump(mode="json", by_alias=True, exclude_none=True)),
        (
            DATA_GRANTS,
            grant({"beneficiary": {"pilotApp": "gone"}}, name="of-nobody").model_dump(
                mode="json", by_alias=True, exclude_none=True
            ),
        ),
        (PILOT_APPS, app),
    ):
        store.put(resource, body | {"metadata": body["metadata"] | {"resourceVersion": "1"}})
    seen = around(store, books, (claim(data=[kept(trust="trade")]),), NOON)
    assert seen.askers == {("trade", "customs_rows"): frozenset({"kr"})}
    assert seen.holders["trade", "facility_disclosures"] == frozenset({"kr"})
    assert not around(store, books, (claim(work=[work()]),), NOON).holders


wh = st.integers(1, 40)
arrivals = st.lists(st.tuples(st.lists(wh, max_size=2), st.integers(1, 40 * MJ_PER_WH)), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None)
@given(arrivals)
def test_in_whatever_order_certificates_and_readings_come_the_lesser_of_their_sums_is_green(
    told: list[tuple[list[int], int]],
) -> None:
    """Each statement brings some certificates of one hour, and one device's energy of a minute of it."""
    with tempfile.TemporaryDirectory() as folder:
        books = Books.open(Path(folder))
        green_mj = 0
        for minute, (issued, mj) in enumerate(told):
            start = NOON + minute * MINUTE
            lines = [certificate(f"{minute}-{number}", wh=each) for number, each in enumerate(issued)]
            claims = [claim(certificates=lines, uid=f"uid-{minute}")] if lines else []
            for each in claims:
                books.record_claim(each, start - MINUTE)
            decided = decide(
                evidence.still_open(books.connection, {each.uid: each for each in claims}),
                AROUND,
                RULES,
                start + MINUTE,
            )
            past = past_of(books, decided, {NOON})
            seen = observed(
                reading("ca", start, energy_mj=mj),
                members=("ca",),
                last=books.last_statement(),
                decided=decided,
                past=past,
            )
            spec, record, brought = statement(seen, (start, start + MINUTE), seen.unsettled)
            books.settle(f"statement-{minute}", spec, (), record, brought=brought)
            green_mj += spec.entries[0].green_energy_mj
        books.close()
    certified_wh = sum(sum(issued) for issued, _ in told)
    drawn_mj = sum(min(mj, 60 * 700_000) for _, mj in told)
    assert green_mj == MJ_PER_WH * min(certified_wh, drawn_mj // MJ_PER_WH)
