"""A dirty key is never lost, never taken twice at once, and never taken more often than it was marked."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from operators.frame.queue import LAST_RETRY_S, DirtyQueue

KEYS = st.sampled_from("abcd")


class Queue(RuleBasedStateMachine):
    """Compares with a model that keeps, per key, whether work is owed and whether it is in hand."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = DirtyQueue[str]()
        self.now_s = 0.0
        self.owed: set[str] = set()
        self.due: dict[str, float] = {}
        self.taken: set[str] = set()

    @rule(key=KEYS)
    def mark(self, key: str) -> None:
        self.queue.add(key)
        self.owed.add(key)
        self.due.pop(key, None)

    @rule(key=KEYS, after_s=st.integers(1, 50))
    def mark_for_later(self, key: str, after_s: int) -> None:
        self.queue.add_later(key, self.now_s, after_s)
        if key not in self.owed:
            self.due[key] = min(self.due.get(key, self.now_s + after_s), self.now_s + after_s)

    @rule(seconds=st.integers(0, 60))
    def wait(self, seconds: int) -> None:
        self.now_s += seconds

    @rule()
    def take(self) -> None:
        ripe = {key for key, due_s in self.due.items() if due_s <= self.now_s}
        self.owed |= ripe
        for each in ripe:
            del self.due[each]
        key = self.queue.take(self.now_s)
        free = self.owed - self.taken
        if key is None:
            assert not free
        else:
            assert key in free
            self.owed.discard(key)
            self.taken.add(key)

    @rule(key=KEYS)
    def finish(self, key: str) -> None:
        if key in self.taken:
            self.queue.done(key)
            self.taken.discard(key)

    @invariant()
    def knows_when_to_look_again(self) -> None:
        assert self.queue.next_due_s() == min(self.due.values(), default=None)


TestQueue = Queue.TestCase


@given(st.lists(KEYS, max_size=50))
def test_a_storm_of_marks_costs_one_run_a_key(marks: list[str]) -> None:
    queue = DirtyQueue[str]()
    for mark in marks:
        queue.add(mark)
    taken = []
    while (key := queue.take(0.0)) is not None:
        taken.append(key)
        queue.done(key)
    assert Counter(taken) == Counter(set(marks))
    assert queue.idle


def test_a_key_that_gets_dirty_while_it_is_worked_on_runs_once_more() -> None:
    queue = DirtyQueue[str]()
    queue.add("a")
    assert queue.take(0.0) == "a"
    queue.add("a")
    queue.add("a")
    assert queue.take(0.0) is None
    queue.done("a")
    assert queue.take(0.0) == "a"
    queue.done("a")
    assert queue.take(0.0) is None


@given(st.integers(1, 100))
def test_failures_come_back_at_growing_and_bounded_distance(failures: int) -> None:
    queue = DirtyQueue[str]()
    waits = [queue.failed("a", 0.0) for _ in range(failures)]
    assert waits == sorted(waits)
    assert waits[-1] <= LAST_RETRY_S
    queue.succeeded("a")
    assert queue.failed("a", 0.0) == waits[0]
