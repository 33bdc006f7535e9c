"""The gateway's report to everyone, made from its own audit log every few seconds at most."""

import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from commonweal.public_reports import Report, Tally, Witnessed, envelope, uses
from data_trusts.audit import AuditLog
from data_trusts.cosigners import Cosigners
from data_trusts.gateway.certificates import Identity, sign
from data_trusts.gateway.policies import Policies
from data_trusts.tlog import CHECKPOINT

LIFE = timedelta(seconds=10)


class Reporter:
    """Keeps the counts of one log, and the last report."""

    def __init__(
        self, *, member: str, audit: AuditLog, cosigners: Cosigners, identity: Identity, clock: Callable[[], datetime]
    ) -> None:
        self._member = member
        self._audit = audit
        self._cosigners = cosigners
        self._identity = identity
        self._clock = clock
        self._lock = threading.Lock()
        self._tally = Tally()
        self._place = 0
        self._made: tuple[datetime, bytes] | None = None

    def document(self, policies: Policies) -> bytes:
        """Return the signed report. The first one after a start reads the whole log.

        Args:
            policies: what is declared now; other names that askers gave are not repeated.
        """
        with self._lock:
            now = self._clock()
            if self._made is None or now - self._made[0] > LIFE:
                self._catch_up()
                self._tally.forget(now)
                self._made = (now, self._document(policies, now))
            return self._made[1]

    def _catch_up(self) -> None:
        with self._audit.entries_path.open("rb") as lines:
            lines.seek(self._place)
            for raw in lines:
                if not raw.endswith(b"\n"):
                    break  # it is being written
                self._tally.add(json.loads(raw))
                self._place += len(raw)

    def _document(self, policies: Policies, now: datetime) -> bytes:
        declared = {
            (policy.trust, purpose.value) for policy in policies.by_trust.values() for purpose in policy.purposes
        }
        report = Report(
            member=self._member,
            as_of=now,
            uses=uses(self._tally.counts, declared, now),
            vkey=self._audit.vkey,
            checkpoint=(self._audit.folder / CHECKPOINT).read_text("utf-8"),
            witnesses=tuple(Witnessed(vkey=each.vkey(), note=note) for each, note in self._cosigners.notes()),
        )
        return envelope(report, lambda content: sign(content, self._identity))
