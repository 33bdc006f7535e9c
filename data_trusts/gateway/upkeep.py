"""What a gateway does by itself beside answering: it records legal holds, ends rows, and keeps metadata small.

Whatever destroys rows is recorded in the audit log before and after, and nothing is destroyed while the policies do not
say whether it is held. A failure is recorded, counted, and tried again at the next turn; questions go on.
"""

import asyncio
import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from commonweal.grants import Policy
from commonweal.kinds.retention import LegalHold
from commonweal.retention import Hold, changes, in_force
from commonweal.transparency import Json
from data_trusts.audit import AuditError, AuditLog
from data_trusts.catalog import CatalogError, TableMissingError, Warehouse
from data_trusts.declared import undestroyable
from data_trusts.gateway.certificates import Identity
from data_trusts.gateway.policies import Policies, PolicyBook
from data_trusts.maintain import maintainable
from data_trusts.maintenance import maintain
from data_trusts.retain import HeldError, due, retain
from data_trusts.signed import SignedError
from data_trusts.table_files import FilesError
from data_trusts.tlog import write_durably

TOLD = ("firstKept", "endedRows", "keptRows", "undatedRows", "removedFiles")
LOOK_S = 1.0
FIRST_TURN_S = 60.0  # also a gateway that restarts often must come to it
_LOG = logging.getLogger(__name__)


class StoppedUpkeepError(Exception):
    """The gateway ends; a later turn does the rest."""


@dataclass(kw_only=True)
class Upkeep:
    """The gateway's own work on its member's tables. Its methods block, so callers give them a thread."""

    member: str
    book: PolicyBook
    warehouse: Warehouse
    audit: AuditLog
    identity: Identity
    clock: Callable[[], datetime]
    every_s: float = 3600.0
    pause: Callable[[float], bool] | None = None  # waits so many seconds; true where the gateway ends meanwhile
    stop: threading.Event = field(default_factory=threading.Event)
    done: Counter[str] = field(default_factory=Counter)
    _refused: dict[tuple[str, str], str] = field(default_factory=dict)

    async def follow(self) -> None:
        """Note holds every second, and take a turn every `every_s` seconds, until cancelled."""
        turns = asyncio.create_task(self._turns())
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                await self._safely(self.note_holds)
        finally:
            self.stop.set()
            turns.cancel()

    async def _turns(self) -> None:
        await asyncio.sleep(min(self.every_s, FIRST_TURN_S))
        while True:
            await self._safely(self.turn)
            await asyncio.sleep(self.every_s)

    async def _safely(self, work: Callable[[], None]) -> None:
        """Nothing here may end the gateway, which must go on to answer or to say that its log is shut."""
        try:
            await asyncio.to_thread(work)
        except AuditError as error:
            _LOG.error("upkeep: %s", error)
        except Exception:  # noqa: BLE001 -- whatever else is wrong here, questions are still answered
            self.done["failures"] += 1
            _LOG.exception("upkeep: a fault of ours; the next turn tries again")

    def note_holds(self) -> None:
        """Record each legal hold that came into force, and each that ended; call it often.

        What was recorded lies in `legal-holds.json`. A crash before it is written records a change twice, never not.
        A policy that is silent or cannot be read releases nothing.

        Raises:
            AuditError: the log takes no entry.
        """
        now = self.clock()
        policies = self.book.current(now)
        if "source" in policies.problems:
            return
        memory = self.warehouse.folder / "legal-holds.json"
        before = _remembered(memory)
        kept = [each for each in before if each.trust not in policies.by_trust and policies.problems]
        after = [*kept, *(hold for policy in policies.by_trust.values() for hold in _holds(policy, now))]
        came, ended = changes(before, after)
        for each in came:
            self.audit.append(now, {"kind": "hold-declared", "member": self.member, **_entry(each)})
        for each in ended:
            why = _ended_by(each, policies, now)
            self.audit.append(now, {"kind": "hold-ended", "member": self.member, "because": why, **_entry(each)})
        if came or ended:
            write_durably(memory, json.dumps([_entry(each) for each in after]).encode())

    def turn(self) -> None:
        """End rows whose retention has passed, and maintain every table.

        Raises:
            AuditError: the log takes no entry; what was not recorded was not done.
        """
        policies = self.book.current(self.clock())
        try:
            for policy in policies.by_trust.values():
                for dataset in policy.datasets:
                    if dataset.retention is not None:
                        self._end(policy.trust, dataset.name)
            self._maintain()
        except StoppedUpkeepError:
            return
        self.done["turns"] += 1

    def _end(self, trust: str, name: str) -> None:
        """By the policy of this moment: the datasets before this one may have taken minutes."""
        now = self.clock()
        policy = self.book.current(now).by_trust.get(trust)
        dataset = policy.dataset(name) if policy else None
        if policy is None or dataset is None or dataset.retention is None:
            return
        where: dict[str, Json] = {"member": self.member, "trust": trust, "dataset": name}
        try:
            if not due(self.warehouse, trust, dataset, now):
                return
            if why := self._held(trust, name):
                self._refuse(where, why)
                return
            self._refused.pop((trust, name), None)
            self.audit.append(now, {**where, "kind": "retention-begun", "policy_hash": policy.hash})
            receipt = retain(
                self.warehouse,
                self.identity,
                trust,
                dataset,
                member=self.member,
                now=now,
                held_now=lambda: self._held(trust, name),
                wait=self._wait,
            )["receipt"]
            told = {field: receipt[field] for field in TOLD}
            self.audit.append(self.clock(), {**where, "kind": "retention-done", **told})
            self.done["retentions"] += 1
        except TableMissingError:
            return
        except HeldError as error:
            self._refuse(where, str(error))
        except (CatalogError, FilesError, SignedError, OSError) as error:
            self._failed("retention", where, error)

    def _held(self, trust: str, name: str) -> str | None:
        now = self.clock()
        return undestroyable(self.book.current(now), trust, name, now)

    def _maintain(self) -> None:
        where: dict[str, Json] = {"member": self.member}
        try:
            for trust, dataset in maintainable(self.warehouse.tables(), self._held, _LOG.info):
                self._wait(0)
                where |= {"trust": trust, "dataset": dataset}
                self._maintain_one(trust, dataset, where)
        except CatalogError as error:
            self._failed("maintenance", where, error)

    def _maintain_one(self, trust: str, dataset: str, where: Mapping[str, Json]) -> None:
        try:
            done = maintain(self.warehouse, trust, dataset, self.clock(), tell=_LOG.info)
        except (CatalogError, FilesError, OSError) as error:
            self._failed("maintenance", where, error)
            return
        if done.expired_snapshots or done.removed_files:
            told: dict[str, Json] = {"expired_snapshots": done.expired_snapshots, "removed_files": done.removed_files}
            self.audit.append(self.clock(), {**where, "kind": "maintained", **told})

    def _wait(self, seconds: float) -> None:
        if (self.pause or self.stop.wait)(seconds):
            raise StoppedUpkeepError

    def _refuse(self, where: Mapping[str, Json], why: str) -> None:
        """Recorded once, not at every turn."""
        key = (str(where["trust"]), str(where["dataset"]))
        if self._refused.get(key) != why:
            self.audit.append(self.clock(), {**where, "kind": "retention-refused", "reason": why})
            self._refused[key] = why

    def _failed(self, what: str, where: Mapping[str, Json], error: Exception) -> None:
        self.done["failures"] += 1
        _LOG.error("%s: %s", what, error)
        self.audit.append(self.clock(), {**where, "kind": f"{what}-failed", "error": type(error).__name__})


def _holds(policy: Policy, now: datetime) -> list[Hold]:
    return [
        Hold(trust=policy.trust, dataset=dataset.name, hold=hold)
        for dataset in policy.datasets
        for hold in in_force(dataset.holds, now)
    ]


def _ended_by(ended: Hold, policies: Policies, now: datetime) -> str:
    """A dataset that a policy no longer declares is destroyed by no one, so its hold is not known to be released."""
    policy = policies.by_trust.get(ended.trust)
    if not in_force([ended.hold], now):
        return "its time is over"
    return "released" if policy and policy.dataset(ended.dataset) else "the dataset is no longer declared here"


def _entry(found: Hold) -> dict[str, Json]:
    return {"trust": found.trust, "dataset": found.dataset, "hold": found.hold.wire()}


def _remembered(memory: Path) -> list[Hold]:
    """The holds that were recorded; where the memory cannot be read, all are recorded anew."""
    try:
        return [
            Hold(trust=each["trust"], dataset=each["dataset"], hold=LegalHold.model_validate(each["hold"]))
            for each in json.loads(memory.read_text())
        ]
    except (FileNotFoundError, ValidationError, ValueError, KeyError, TypeError):
        return []
