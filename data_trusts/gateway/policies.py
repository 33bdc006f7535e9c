"""What the gateway obeys now. Whatever it cannot read, or has not heard of for too long, allows nothing."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from commonweal.grants import Policy, PolicyUnreadableError

MAX_SILENCE = timedelta(seconds=60)  # an API server restarts in less; beyond it a revocation could be missed


@dataclass(frozen=True, kw_only=True)
class Policies:
    """All policies at one instant. `problems` says, by document, why one of them allows nothing."""

    by_trust: Mapping[str, Policy] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


def read_policies(documents: Mapping[str, str | None], member: str) -> Policies:
    """Read the documents of one member, by name; None stands for one without content.

    Two documents for one trust contradict each other, so neither counts.
    """
    read: dict[str, Policy] = {}
    problems: dict[str, str] = {}
    for name, text in sorted(documents.items()):
        try:
            policy = Policy.parse(text or "")
        except PolicyUnreadableError as error:
            problems[name] = str(error)
            continue
        if policy.member == member:
            read[name] = policy
        else:
            problems[name] = (
                f"policy.json member: {policy.member} stands where {member} must; let the hub write it again"
            )
    trusts = [policy.trust for policy in read.values()]
    for name, policy in list(read.items()):
        if trusts.count(policy.trust) > 1:
            problems[name] = f"there is a second policy for {policy.trust}; delete the one that the hub did not write"
            del read[name]
    return Policies(by_trust={policy.trust: policy for policy in read.values()}, problems=problems)


class PolicyBook:
    """The current policies, written by one source and read by every request."""

    def __init__(self, member: str) -> None:
        self._member = member
        self._lock = threading.Lock()
        self._documents: dict[str, str | None] = {}
        self._policies = Policies()
        self._heard_at: datetime | None = None

    def replace(self, documents: Mapping[str, str | None], now: datetime) -> None:
        """Take the complete set of documents; an unchanged set is a sign of life."""
        changed = documents != self._documents
        policies = read_policies(documents, self._member) if changed else self._policies
        with self._lock:
            self._documents, self._policies, self._heard_at = dict(documents), policies, now

    def current(self, now: datetime) -> Policies:
        """What holds now; nothing, where the source has been silent for longer than `MAX_SILENCE`."""
        with self._lock:
            if self._heard_at is None or now - self._heard_at > MAX_SILENCE:
                return Policies(problems={"source": "no word from the policy source; check the API server"})
            return self._policies
