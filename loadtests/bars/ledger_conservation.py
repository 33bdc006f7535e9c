"""Random histories of 10,000 events conserve every account, and no way of retelling them raises anyone."""

import hashlib
import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.bars import Measurement

NEEDS_DEMO = False
ROOT = Path(__file__).parents[2]
EVENTS = 10_000
HISTORIES = 5
SEED = 6
MEMBERS = ("ca", "ch", "fr", "jp", "ke", "kr", "uy")
UNITS = ("core_seconds", "energy_mj", "gpu_seconds", "green_mj", "row_seconds", "work_seconds")
POSTED = slice(2, 4)

Sums = dict[tuple[str, str], list[int]]  # account and unit: debits and credits pending, debits and credits posted


@dataclass(frozen=True)
class Told:
    """A transfer, and what became of it: post, void, or nothing yet."""

    fields: dict[str, str | int]
    fate: str | None

    def lines(self) -> list[str]:
        """Its events in order; written here by other code than the hub's."""
        record = _canonical(self.fields)
        id_ = hashlib.sha256(record.encode()).hexdigest()
        end = {
            None: [],
            "post": [_canonical({"event": "post", "transfer_id": id_})],
            "void": [_canonical({"event": "void", "reason": "disputed", "transfer_id": id_})],
        }
        return [record, *end[self.fate]]


def measure() -> list[Measurement]:
    """Tell each history in seven ways, sum each by the command, and count the accounts that differ or rose."""
    luck = random.Random(SEED)
    unbalanced = raised = refused = 0
    with tempfile.TemporaryDirectory() as place:
        for number in range(HISTORIES):
            history = _history(luck)
            expected = _summed(history)
            paths = [Path(place) / f"{number}-{name}" for name in WAYS]
            for path, tell in zip(paths, WAYS.values(), strict=True):
                path.write_text("\n".join(tell(history, luck)) + "\n", "utf-8")
            for name, found in zip(WAYS, _balances(paths), strict=True):
                unbalanced += _unbalanced(found)
                raised += _raised(found, expected) if name == "drop" else _different(found, expected)
            refused += _refuses_a_second_end(Path(place) / f"{number}-again", history)
    note = f"{HISTORIES} histories of {EVENTS} events, each told as {', '.join(WAYS)}; seed {SEED}"
    return [
        Measurement(name="ledger-conservation", value=unbalanced, unit="sums", bound=0, note=note),
        Measurement(name="ledger-raised", value=raised, unit="accounts", bound=0, note="peer: sums taken by the bar"),
        Measurement(name="ledger-second-end", value=HISTORIES - refused, unit="accepted", bound=0),
    ]


def _history(luck: random.Random) -> list[Told]:
    told, events = list[Told](), 0
    while events < EVENTS:
        member, provider = luck.choice(MEMBERS), luck.choice(MEMBERS)
        accounts = [("pool", f"member/{member}/delivered"), (f"member/{member}/used/{provider}", "pool")]
        debit, credit = luck.choice(accounts)
        fields: dict[str, str | int] = {
            "amount": luck.randint(2, 10**15),
            "credit": credit,
            "debit": debit,
            "event": "pending",
            "evidence_sha256": f"{luck.getrandbits(256):064x}",
            "period_start": f"2026-11-24T{luck.randrange(24):02d}:00:00Z",
            "unit": luck.choice(UNITS),
        }
        told.append(Told(fields, luck.choice(("post", "post", "void", None))))
        events += len(told[-1].lines())
    return told


def _as_it_was(history: Sequence[Told], luck: random.Random) -> list[str]:  # noqa: ARG001 - one of the ways
    return [line for told in history for line in told.lines()]


def _permuted(history: Sequence[Told], luck: random.Random) -> list[str]:
    """Any order in which no transfer ends before it is there."""
    places = [(luck.random(), luck.random(), told.lines()) for told in history]
    keyed = [(min(a, b) if n == 0 else max(a, b), line) for a, b, lines in places for n, line in enumerate(lines)]
    return [line for _, line in sorted(keyed)]


def _duplicated(history: Sequence[Told], luck: random.Random) -> list[str]:
    lines = _as_it_was(history, luck)
    return [*lines, *luck.choices(lines, k=len(lines) // 10)]


def _replayed(history: Sequence[Told], luck: random.Random) -> list[str]:
    """A crash half-way, then everything again from the start."""
    lines = _as_it_was(history, luck)
    return [*lines[: luck.randrange(len(lines))], *lines]


def _dropped(history: Sequence[Told], luck: random.Random) -> list[str]:
    kept = [told for told in history if luck.random() < 0.9]
    return [line for told in kept for line in told.lines()[: luck.choice((1, 2))]]


def _split(history: Sequence[Told], luck: random.Random) -> list[str]:
    """Each transfer as two, with evidence of their own."""
    return [line for told in history for part in _halves(told, luck) for line in part.lines()]


def _halves(told: Told, luck: random.Random) -> Iterator[Told]:
    first = luck.randint(1, int(told.fields["amount"]) - 1)
    for amount in (first, int(told.fields["amount"]) - first):
        yield Told(told.fields | {"amount": amount, "evidence_sha256": f"{luck.getrandbits(256):064x}"}, told.fate)


def _merged(history: Sequence[Told], luck: random.Random) -> list[str]:  # noqa: ARG001 - one of the ways
    """All transfers between two accounts, in one unit, with one end, as one."""
    sums = Counter[tuple[str, str, str, str | None]]()
    for told in history:
        fields = told.fields
        sums[str(fields["debit"]), str(fields["credit"]), str(fields["unit"]), told.fate] += int(fields["amount"])
    some = history[0].fields
    return [
        line
        for (debit, credit, unit, fate), amount in sums.items()
        for line in Told(some | {"debit": debit, "credit": credit, "unit": unit, "amount": amount}, fate).lines()
    ]


WAYS: dict[str, Callable[[Sequence[Told], random.Random], list[str]]] = {
    "it was": _as_it_was,
    "permute": _permuted,
    "duplicate": _duplicated,
    "replay": _replayed,
    "drop": _dropped,
    "split": _split,
    "merge": _merged,
}


def _summed(history: Sequence[Told]) -> Sums:
    sums: Sums = {}
    for told in history:
        if told.fate == "void":
            continue
        for side, account in enumerate((str(told.fields["debit"]), str(told.fields["credit"]))):
            row = sums.setdefault((account, str(told.fields["unit"])), [0, 0, 0, 0])
            row[side + 2 * (told.fate == "post")] += int(told.fields["amount"])
    return sums


def _unbalanced(found: Sums) -> int:
    """How many units have debits that are not credits, pending or posted."""
    wrong = 0
    for unit in UNITS:
        columns = [sum(row[column] for (_, of), row in found.items() if of == unit) for column in range(4)]
        wrong += (columns[0] != columns[1]) + (columns[2] != columns[3])
    return wrong


def _different(found: Sums, expected: Sums) -> int:
    return sum(found.get(key) != expected.get(key) for key in found.keys() | expected.keys())


def _raised(found: Sums, expected: Sums) -> int:
    """How many accounts have more posted than they had, on either side."""
    pairs = [(row[POSTED], expected.get(key, [0, 0, 0, 0])[POSTED]) for key, row in found.items()]
    return sum(any(a > b for a, b in zip(*pair, strict=True)) for pair in pairs)


def _refuses_a_second_end(path: Path, history: Sequence[Told]) -> bool:
    """Whether a post of what is already void is refused by line and field."""
    record, _ = next(told.lines() for told in history if told.fate == "void")
    id_ = hashlib.sha256(record.encode()).hexdigest()
    ends = [_canonical({"event": "void", "reason": "disputed", "transfer_id": id_})]
    ends.append(_canonical({"event": "post", "transfer_id": id_}))
    path.write_text("\n".join([record, *ends]) + "\n", "utf-8")
    done = _command(path)
    return done.returncode == 1 and f"line 3: transfer_id: {id_} has a void already" in done.stderr


def _balances(paths: Sequence[Path]) -> list[Sums]:
    done = _command(*paths)
    if done.returncode:
        raise RuntimeError(done.stderr)
    told = [json.loads(line)["balances"] for line in done.stdout.splitlines()]
    return [{(account, unit): sums for account, unit, *sums in rows} for rows in told]


def _command(*paths: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "operators.cli", "ledger", "balances", "--json", *map(str, paths)]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)


def _canonical(fields: dict[str, str | int]) -> str:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))
