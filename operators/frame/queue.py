"""Which keys are dirty: each at most once, none lost, failures at growing distance.

Pure: time comes in as a parameter, so that the rules can be tested without waiting. The runtime drives it.
"""

import heapq
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_RETRY_S = 0.2
LAST_RETRY_S = 60.0


@dataclass(eq=False)
class DirtyQueue(Generic[K]):
    """A key is waiting, or taken, or taken and dirty again, or due later, or unknown.

    However often a key is marked while it waits, it is taken once; marked while it is taken, it is taken once more
    after `done`. A key is never taken twice at the same time.
    """

    _waiting: dict[K, None] = field(default_factory=dict)
    _taken: set[K] = field(default_factory=set)
    _again: set[K] = field(default_factory=set)
    _due_s: dict[K, float] = field(default_factory=dict)
    _heap: list[tuple[float, int, K]] = field(default_factory=list)
    _failures: dict[K, int] = field(default_factory=dict)
    _counter: int = 0

    @property
    def depth(self) -> int:
        """Keys that could be taken now or after their `done`; delayed ones are not counted."""
        return len(self._waiting) + len(self._again)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is taken."""
        return not self._waiting and not self._taken

    def add(self, key: K) -> None:
        """Mark a key dirty now; an earlier wish to look later is overtaken."""
        self._due_s.pop(key, None)
        if key in self._taken:
            self._again.add(key)
        else:
            self._waiting[key] = None

    def add_later(self, key: K, now_s: float, after_s: float) -> None:
        """Mark a key dirty in `after_s` seconds, unless it is marked for earlier."""
        due_s = now_s + after_s
        if key in self._waiting or key in self._again or self._due_s.get(key, due_s + 1) <= due_s:
            return
        self._due_s[key] = due_s
        self._counter += 1
        heapq.heappush(self._heap, (due_s, self._counter, key))

    def take(self, now_s: float) -> K | None:
        """The oldest dirty key, which is then taken; None if there is none."""
        self._ripen(now_s)
        if not self._waiting:
            return None
        key = next(iter(self._waiting))
        del self._waiting[key]
        self._taken.add(key)
        return key

    def done(self, key: K) -> None:
        """A taken key has been worked on, well or not."""
        self._taken.discard(key)
        if key in self._again:
            self._again.discard(key)
            self._waiting[key] = None

    def succeeded(self, key: K) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)

    def failed(self, key: K, now_s: float) -> float:
        """Have a key retried, twice as late as the time before; returns the seconds."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        after_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(count, 30))
        self.add_later(key, now_s, after_s)
        return after_s

    def next_due_s(self) -> float | None:
        """When the next delayed key ripens."""
        while self._heap and self._due_s.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _ripen(self, now_s: float) -> None:
        while (due_s := self.next_due_s()) is not None and due_s <= now_s:
            key = heapq.heappop(self._heap)[2]
            self.add(key)
