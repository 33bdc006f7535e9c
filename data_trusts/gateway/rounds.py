"""One member's side of federated rounds, and the combiner's: in which order things happen, and what ends a round.

A round is open, deal, answer, reveal, and at the combiner release; each step is taken once. The asker's client carries
the messages. It could drop them, but neither read nor change them: keys are signed by gateways, everything else is
sealed for one member. A round lives in memory; a gateway that restarts has dropped out of it.
"""

import hashlib
import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from commonweal.differencing import Release, row_sets
from commonweal.emergencies import emergency_entry
from commonweal.federation import (
    RoundRefusedError,
    announcement,
    context_of,
    enough,
    needed_of,
    points,
    refuse_members,
)
from commonweal.grants import Ask, Federation, PolicyDataset, Refusal, Rule, decide
from commonweal.licences import expression
from commonweal.privacy import Charge, PrivacyError, account, cost, share, unit_of, visible
from commonweal.secure_sum import ENTROPY_BYTES, Secrets, SecureSumError, deal, mask, pack, to_words
from commonweal.transparency import Json
from data_trusts import noise
from data_trusts.audit import AuditLog
from data_trusts.engines import Engine, EngineError, StoppedError
from data_trusts.federated_questions import FederatedQuestion, compile_federated, words
from data_trusts.gateway.certificates import Identity, sign
from data_trusts.gateway.policies import PolicyBook
from data_trusts.gateway.round_bodies import Answering, Dealing, Opening, Releasing, Revealing
from data_trusts.gateway.round_messages import OpenRound, Stage, checked_keys, held_shares, sealed, total_of
from data_trusts.gateway.round_refusals import no_room, not_federated, policy_changed, price, too_many_groups
from data_trusts.gateway.service import Refused, wire_value
from data_trusts.gateway.tokens import Caller
from data_trusts.privacy_ledger import PrivacyLedger
from data_trusts.queries import MAX_ROWS
from data_trusts.releases import NotFiniteError, OutputColumn

ROUND_LIFE = timedelta(minutes=3)  # two deadlines of a minute, and what travels between them
MAX_ROUNDS = 1_000
Rows = list[list[Json | float]]


@dataclass(frozen=True, kw_only=True)
class FederatedAnswer:
    """What leaves the combiner. `within` holds 95 % of the noise, by column; None where there is none.

    `left_out` counts the groups that are not shown, the empty ones among them.
    """

    columns: tuple[OutputColumn, ...]
    rows: Rows
    within: tuple[float | None, ...]
    members: tuple[str, ...]
    left_out: int
    charged: int
    charged_unit: str
    licence: str
    synthetic: bool
    policy_hash: str
    audit_position: int


@dataclass(frozen=True, kw_only=True)
class _Allowed:
    question: FederatedQuestion
    dataset: PolicyDataset
    federation: Federation
    policy_hash: str


class RoundService:
    """Takes part in rounds over one member's rows, and combines those for which the trust names this member."""

    def __init__(
        self,
        *,
        member: str,
        book: PolicyBook,
        engine: Engine,
        audit: AuditLog,
        ledger: PrivacyLedger,
        identity: Identity,
        clock: Callable[[], datetime],
    ) -> None:
        self._member = member
        self._book = book
        self._engine = engine
        self._audit = audit
        self._ledger = ledger
        self._identity = identity
        self._clock = clock
        self._rounds: dict[str, OpenRound] = {}
        self._running: dict[str, tuple[OpenRound, threading.Event]] = {}
        self._lock = threading.Lock()

    def stop_ended(self) -> None:
        """Stop this member's part of every round that could not be asked any more; call it often, from any thread."""
        for state, stop in list(self._running.values()):
            if self._ended(state) is not None:
                stop.set()

    def open(self, caller: Caller, opening: Opening) -> dict[str, object] | Refused:
        """Check a question, set its cost aside, and make this member's keys for it.

        Raises:
            AuditError, PrivacyLedgerError: nothing can be remembered, so nothing was opened.
        """
        now = self._clock()
        self._forget(now)
        asked = self._asked(caller, opening, now)
        found = self._decide(caller, opening, now)
        if isinstance(found, Refusal):
            return self._refuse(asked, found)
        self._audit.append(now, {**asked, **found.question.statement.entry()})
        context = context_of(found.dataset, found.federation, _question(opening), caller.beneficiary)
        try:
            charge = self._reserve(caller, opening, found.federation, context, now)
        except PrivacyError as error:
            reason, _, remedy = str(error).rpartition("; ")
            return self._refuse(asked, Refusal(rule=Rule.PRIVACY_BUDGET, reason=reason, remedy=remedy))
        state = OpenRound(
            member=self._member,
            opening=opening,
            caller=caller,
            question=found.question,
            dataset=found.dataset,
            federation=found.federation,
            policy_hash=found.policy_hash,
            context=context,
            needed=needed_of(len(opening.members), found.federation),
            charge=charge,
            secrets=Secrets.of(os.urandom(ENTROPY_BYTES)),
            asked=asked,
            opened_at=now,
        )
        if not self._keep(state):
            self._give_back(state, "the round could not be kept")
            return self._refuse(asked, no_room(MAX_ROUNDS))
        content = state.secrets.public().content()
        signature = sign(announcement(context, self._member, content), self._identity)
        return {
            "needed": state.needed,
            "combiner": state.federation.combiner,
            "keys": {"content": content, "signature": signature},
        }

    def deal(self, caller: Caller, body: Dealing) -> dict[str, object]:
        """Share this member's secrets among those that opened, each share sealed for its holder.

        Raises:
            RoundRefusedError: too few opened, or a key is not its member's own for this round.
        """
        with self._taking(caller, body.round, Stage.OPENED) as state:
            state.keys = checked_keys(state, body, self._book.current(self._clock()).by_trust.get(state.opening.trust))
            where = points(state.opening.members)
            peers = sorted(state.keys)
            dealt = [
                deal(secret, state.needed, [where[peer] for peer in peers], os.urandom(32))
                for secret in (state.secrets.seed, state.secrets.mask)
            ]
            state.stage = Stage.DEALT
            return {
                "shares": {
                    peer: sealed(state, "share", peer, b"".join(each[where[peer]] for each in dealt)) for peer in peers
                }
            }

    def answer(self, caller: Caller, body: Answering) -> dict[str, object] | Refused:
        """Run the question here and give the masked result, sealed for the combiner; its cost is spent with that.

        Raises:
            AuditError, PrivacyLedgerError: nothing can be remembered, so nothing leaves.
            EngineError, NotFiniteError: the engine did not answer, or with no number that can be summed.
            RoundRefusedError: shares are missing or not from their dealers.
        """
        with self._taking(caller, body.round, Stage.DEALT) as state:
            state.held = held_shares(state, body)
            state.stage = Stage.ANSWERED
            masked: bytes | Refusal | None = None
            try:
                masked = self._masked(state)
            except (EngineError, NotFiniteError, SecureSumError) as error:
                self._note_failure(state, error)
                raise
            finally:
                if not isinstance(masked, bytes):
                    self._drop(body.round)
                    self._give_back(state, "nothing left the member")
            if isinstance(masked, Refusal):
                return self._refuse(state.asked, masked)
            if state.charge is not None:
                self._ledger.post(state.charge)
            self._audit.append(
                self._clock(),
                {
                    "kind": "answered",
                    "request": state.asked["request"],
                    "grant_hash": state.asked["grant_hash"],
                    "masked_for": state.federation.combiner,
                    "charged": None if state.charge is None else state.charge.amount,
                    "result_sha256": hashlib.sha256(masked).hexdigest(),
                },
            )
            return {"vector": sealed(state, "vector", state.federation.combiner, masked, sorted(state.held))}

    def reveal(self, caller: Caller, body: Revealing) -> dict[str, object]:
        """Give one share of each dealer's secrets: of its seed where its words arrived, else of its mask key. Once.

        Raises:
            RoundRefusedError: too few answered.
        """
        with self._taking(caller, body.round, Stage.ANSWERED) as state:
            answered = enough(body.answered, state.held, state.needed, "answered")
            state.stage = Stage.REVEALED
            content = {
                dealer: (seed if dealer in answered else key).hex() for dealer, (seed, key) in state.held.items()
            }
            about = [*answered, "of", *sorted(state.held)]
            content_for = sealed(state, "reveal", state.federation.combiner, json.dumps(content).encode(), about)
            if state.federation.combiner != self._member:
                self._drop(body.round)
            return {"reveal": content_for}

    def release(self, caller: Caller, body: Releasing) -> FederatedAnswer | Refused:
        """Combine, add noise once, leave small groups out, compare with what was released before, and remember.

        Raises:
            AuditError, PrivacyLedgerError: nothing can be remembered, so nothing leaves.
            NoiseError: no noise can be drawn, so nothing leaves.
            RoundRefusedError: this is not the combiner, or a message is missing or not as it was sent.
            SecureSumError: the masks do not cancel.
        """
        with self._taking(caller, body.round, Stage.REVEALED) as state:
            state.stage = Stage.RELEASED  # before anything else: one sum with two noises would have less of it
            self._drop(body.round)
            again = self._decide(caller, state.opening, self._clock())
            if isinstance(again, Refusal):
                return self._refuse(state.asked, again)
            answered = enough(body.vectors, state.held, state.needed, "answered")
            total, within = self._with_noise(state, total_of(state, body, answered))
            layout, minimum = state.question.layout, state.dataset.minimum_group_size
            shown = visible(layout.counts(total), minimum)
            counted = layout.column(total, 0) if state.charge is None else (None,) * layout.groups
            names = layout.group_parts()
            sets = row_sets(layout.condition, [(names[group], counted[group]) for group in shown])
            reason = self._ledger.release(
                (state.opening.trust, state.opening.dataset, caller.beneficiary),
                Release(members=answered, sets=sets),
                minimum,
                state.federation.minimum_members,
            )
            if reason is not None:
                remedy = "Ask the earlier question again, or about clearly other rows"
                return self._refuse(state.asked, Refusal(rule=Rule.DIFFERENCING, reason=reason, remedy=remedy))
            rows = [[wire_value(value) for value in layout.row(total, group)] for group in shown]
            return self._answer(state, rows, within, answered)

    def _answer(
        self, state: OpenRound, rows: Rows, within: Mapping[int, float], answered: tuple[str, ...]
    ) -> FederatedAnswer:
        items = state.question.layout.items
        position = self._audit.append(
            self._clock(),
            {
                "kind": "released",
                "request": state.asked["request"],
                "grant_hash": state.asked["grant_hash"],
                "members": list(answered),
                "rows": len(rows),
                "result_sha256": hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest(),
            },
        )
        return FederatedAnswer(
            columns=tuple(item.output for item in items),
            rows=rows,
            within=tuple(
                within.get(item.value) if item.value is not None and item.divisor is None else None for item in items
            ),
            members=answered,
            left_out=state.question.layout.groups - len(rows),
            charged=0 if state.charge is None else state.charge.amount,
            charged_unit="" if state.charge is None else state.charge.unit,
            licence=expression(_licences(state, answered)),
            synthetic=state.dataset.synthetic,
            policy_hash=state.policy_hash,
            audit_position=position,
        )

    def _asked(self, caller: Caller, opening: Opening, now: datetime) -> dict[str, Json]:
        policy = self._book.current(now).by_trust.get(opening.trust)
        return {
            "request": uuid.uuid4().hex,
            "round": opening.round,
            "member": self._member,
            "members": list(opening.members),
            "beneficiary": caller.beneficiary,
            "asked_from": caller.member,
            "trust": opening.trust,
            "dataset": opening.dataset,
            "purpose": opening.purpose,
            "grant": opening.grant,
            "sql": opening.sql,
            "policy_hash": None if policy is None else policy.hash,
            "grant_hash": None if policy is None else policy.hash_of_grant(opening.grant),
            **emergency_entry(policy, opening.grant),
        }

    def _decide(self, caller: Caller, opening: Opening, now: datetime) -> _Allowed | Refusal:
        policy = self._book.current(now).by_trust.get(opening.trust)
        decision = decide(policy, _ask(caller, opening), now)
        if isinstance(decision, Refusal) or policy is None:
            return decision if isinstance(decision, Refusal) else not_federated(opening.dataset)
        dataset = decision.dataset
        question = compile_federated(opening.sql, opening.groups, opening.trust, dataset, self._engine.dialect)
        federation = dataset.federation
        if isinstance(question, Refusal) or federation is None:
            return question if isinstance(question, Refusal) else not_federated(opening.dataset)
        astray = refuse_members(opening.members, self._member, federation) or price(opening, federation)
        if astray is not None:
            return astray
        return _Allowed(question=question, dataset=dataset, federation=federation, policy_hash=policy.hash)

    def _reserve(
        self, caller: Caller, opening: Opening, federation: Federation, context: bytes, now: datetime
    ) -> Charge | None:
        if federation.noise is None or opening.micro_epsilon is None:
            return None
        charge = Charge(
            account=account(opening.trust, opening.dataset, caller.beneficiary, opening.purpose),
            unit=unit_of(federation.noise.mechanism),
            amount=cost(federation.noise, opening.micro_epsilon),
            at=now,
            evidence_sha256=context.hex(),
        )
        self._ledger.reserve(charge, federation.noise)
        return charge

    def _masked(self, state: OpenRound) -> bytes | Refusal:
        """The member's words under its masks, or why it may not give them."""
        opening, question, stop = state.opening, state.question, threading.Event()
        self._running[opening.round] = (state, stop)
        try:
            rows = self._engine.run(question.statement.sql, opening.deadline_s, stop).rows
            # Whoever was revoked while the engine ran gets nothing, even where it was faster than the stop.
            ended = self._ended(state)
        except StoppedError:
            ended = self._ended(state) or policy_changed()
        finally:
            del self._running[opening.round]
        if ended is not None:
            return ended
        if len(rows) > MAX_ROWS:
            return too_many_groups()
        layout = question.layout
        own = to_words(words(rows, layout), layout.bits, len(opening.members))
        return pack(mask(own, self._member, state.secrets, state.agreed), layout.bits)

    def _ended(self, state: OpenRound) -> Refusal | None:
        """Why a round that runs could not be asked again now, or None where it could."""
        now = self._clock()
        policy = self._book.current(now).by_trust.get(state.opening.trust)
        again = decide(policy, _ask(state.caller, state.opening), now)
        if isinstance(again, Refusal):
            return again
        return None if again.dataset == state.dataset else policy_changed()

    def _with_noise(self, state: OpenRound, total: list[int]) -> tuple[list[int], dict[int, float]]:
        """Noise added once to the sum, value by value; and the width that holds 95 % of it, in the value's own unit."""
        rules, layout = state.federation.noise, state.question.layout
        within: dict[int, float] = {}
        if rules is None or state.charge is None:
            return total, within
        loss = share(rules, state.charge.amount, len(layout.values))
        for place, value in enumerate(layout.values):
            column = layout.column(total, place)
            noisy = noise.add(column, rules, value.sensitivity(rules.rows_per_unit), loss)
            total[1 + place :: len(layout.values)] = noisy.values
            within[place] = noisy.within / 10**value.scale
        return total, within

    @contextmanager
    def _taking(self, caller: Caller, round_id: str, after: Stage) -> Iterator[OpenRound]:
        """The round, for one step at a time; a refused step ends nothing, one that was taken is not repeated."""
        with self._lock:
            state = self._rounds.get(round_id)
        if state is None or state.caller != caller:
            raise RoundRefusedError("there is no such round here, or it is another's; open a new round")
        with state.lock:
            if state.stage is not after:
                raise RoundRefusedError(f"this step follows {after.name.lower()}, once; open a new round")
            yield state

    def _refuse(self, asked: Mapping[str, Json], refusal: Refusal) -> Refused:
        position = self._audit.append(
            self._clock(), {**asked, "kind": "refused", "rule": refusal.rule, "reason": refusal.reason}
        )
        policy_hash = asked["policy_hash"]
        return Refused(
            refusal=refusal,
            policy_hash=policy_hash if isinstance(policy_hash, str) else None,
            audit_position=position,
        )

    def _note_failure(self, state: OpenRound, error: Exception) -> None:
        event = {"kind": "failed", "request": state.asked["request"], "grant_hash": state.asked["grant_hash"]}
        self._audit.append(self._clock(), {**event, "error": type(error).__name__, "detail": str(error)})

    def _give_back(self, state: OpenRound, reason: str) -> None:
        """Nothing left and nothing will: what was set aside comes back."""
        if state.charge is not None:
            self._ledger.void(state.charge, reason)

    def _keep(self, state: OpenRound) -> bool:
        with self._lock:
            kept = state.opening.round not in self._rounds and len(self._rounds) < MAX_ROUNDS
            if kept:
                self._rounds[state.opening.round] = state
            return kept

    def _drop(self, round_id: str) -> None:
        with self._lock:
            self._rounds.pop(round_id, None)

    def _forget(self, now: datetime) -> None:
        """End rounds that nobody goes on with; what was set aside for them comes back."""
        with self._lock:
            old = [state for state in self._rounds.values() if now - state.opened_at > ROUND_LIFE]
        for state in old:
            with state.lock:
                self._drop(state.opening.round)
                unanswered, state.stage = state.stage < Stage.ANSWERED, Stage.RELEASED
                if unanswered:
                    self._give_back(state, "the round was not finished in time")


def _licences(state: OpenRound, answered: tuple[str, ...]) -> set[str]:
    """Those of all sources whose rows are in the sum; where rows name their own, what the asker may see of them."""
    if state.dataset.licence_column is not None:
        return set(state.dataset.licences)
    return {licence for member in answered for licence in state.federation.licences[member]}


def _ask(caller: Caller, opening: Opening) -> Ask:
    return Ask(
        trust=opening.trust,
        dataset=opening.dataset,
        purpose=opening.purpose,
        grant=opening.grant,
        beneficiary=caller.beneficiary,
        member=caller.member,
    )


def _question(opening: Opening) -> dict[str, Json]:
    """What is asked, as JSON without floats: how long the engine may take is no part of it."""
    return opening.model_dump(mode="json", exclude={"deadline_s"})
