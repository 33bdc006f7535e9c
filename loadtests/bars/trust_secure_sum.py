"""Masked sums are exact for every subset that answers, of up to 7 members; without noise, federated equals pooled."""

import math
import random
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import combinations

from commonweal.grants import PolicyDataset
from commonweal.kinds.federation import Mechanism, NoiseRules
from commonweal.secure_sum import (
    ENTROPY_BYTES,
    WORD_BITS,
    Round,
    Secrets,
    deal,
    from_words,
    mask,
    recover,
    threshold,
    to_words,
    unmask,
)
from data_trusts import noise
from data_trusts.federated_questions import FederatedQuestion, compile_federated, words
from data_trusts.queries import Dialect
from loadtests.bars import Measurement

NEEDS_DEMO = False
SEED = 20261126
MOST = 7
TRIALS, ROWS = 200, 50
DRAWS = 20_000
WORDS = 1_000
CLIP, LEVELS = 8.0, 4_194_304  # Flower's SecAgg+: clipping_range and quantization_range, as they are by default
SQL = "SELECT sum(whole) AS w, sum(exact) AS e, sum(real) AS r, avg(exact) AS a, count(*) AS n FROM rows"


def measure() -> list[Measurement]:
    """Play every dropout, compare with pooled sums, draw noise in two ways, and time one round of a thousand words."""
    luck = random.Random(SEED)
    played, wrong = _dropouts(luck)
    ours, peers = _apart(luck)
    started = time.perf_counter()
    _round({f"m{n}": [luck.getrandbits(40)] * WORDS for n in range(MOST)}, threshold(MOST, 3), 64, luck).total(MOST)
    took_ms = 1000 * (time.perf_counter() - started)
    once, each = _noises()
    return [
        Measurement(
            name="trust-secure-sum",
            value=wrong,
            unit="wrong",
            bound=0,
            note=f"of {played} subsets, 2 to {MOST} members",
        ),
        Measurement(name="trust-secure-sum-apart", value=ours, unit="relative", bound=1e-9, note=f"{TRIALS} poolings"),
        Measurement(
            name="trust-secure-sum-peer",
            value=peers,
            unit="relative",
            bound=ours,
            at_most=False,
            note="the baseline: sums clipped and quantised as by the defaults of Flower's SecAgg+",
        ),
        Measurement(
            name="trust-secure-sum-noise",
            value=once / each,
            unit="ratio",
            bound=0.45,
            note=f"deviation of noise added once, to that of {MOST} members adding their own; expected 0.378",
        ),
        Measurement(
            name="trust-secure-sum-round", value=took_ms, unit="ms", bound=2000, note=f"{MOST} members, {WORDS} words"
        ),
    ]


class _Played:
    def __init__(self, members: Sequence[str], needed: int, agreed: Round) -> None:
        self.members, self.needed, self.agreed = members, needed, agreed
        self.masked: dict[str, tuple[int, ...]] = {}
        self.shares: dict[str, tuple[dict[int, bytes], dict[int, bytes]]] = {}

    def total(self, answered: int | Sequence[str]) -> tuple[int, ...]:
        """The sum over the members that answered, by the shares that they reveal."""
        present = self.members[:answered] if isinstance(answered, int) else answered
        points = [self.members.index(member) + 1 for member in present]

        def secret(member: str, kind: int) -> bytes:
            return recover({point: self.shares[member][kind][point] for point in points}, self.needed)

        seeds = {member: secret(member, 0) for member in present}
        lost = {member: secret(member, 1) for member in self.members if member not in present}
        masked = {member: self.masked[member] for member in present}
        return from_words(unmask(masked, seeds, lost, self.agreed), self.agreed.bits)


def _round(values: Mapping[str, Sequence[int]], needed: int, bits: int, luck: random.Random) -> _Played:
    members = sorted(values)
    secrets = {member: Secrets.of(luck.randbytes(ENTROPY_BYTES)) for member in members}
    publics = {member: each.public() for member, each in secrets.items()}
    played = _Played(members, needed, Round(context=luck.randbytes(32), bits=bits, publics=publics))
    points = range(1, len(members) + 1)
    for member in members:
        own = to_words(values[member], bits, len(members))
        played.masked[member] = mask(own, member, secrets[member], played.agreed)
        kinds = (secrets[member].seed, secrets[member].mask)
        seed, key = (deal(secret, needed, points, luck.randbytes(32)) for secret in kinds)
        played.shares[member] = (seed, key)
    return played


def _dropouts(luck: random.Random) -> tuple[int, int]:
    """How many subsets were played, and how many of their sums were not exact."""
    played = wrong = 0
    for count in range(2, MOST + 1):
        for bits in WORD_BITS:
            needed, room = threshold(count, 2), 2 ** (bits - 1) // count - 1
            values = {f"m{n}": [luck.randint(-room, room), room, -room, 0] for n in range(count)}
            world = _round(values, needed, bits, luck)
            for answered in _subsets(sorted(values), needed):
                expected = tuple(map(sum, zip(*(values[member] for member in answered), strict=True)))
                played += 1
                wrong += world.total(answered) != expected
    return played, wrong


def _subsets(members: Sequence[str], least: int) -> Iterator[tuple[str, ...]]:
    for size in range(least, len(members) + 1):
        yield from combinations(members, size)


def _question() -> FederatedQuestion:
    columns = [("whole", "long"), ("exact", "decimal(38,18)"), ("real", "double")]
    members = [f"m{n}" for n in range(MOST)]
    dataset = PolicyDataset.model_validate(
        {
            "name": "rows",
            "licences": ["CC0-1.0"],
            "synthetic": True,
            "minimumGroupSize": 3,
            "columns": [
                {"name": name, "type": of_type, "role": "measure", "releases": ["count", "sum", "avg"]}
                for name, of_type in columns
            ],
            "federation": {
                "combiner": "m0",
                "minimumMembers": 3,
                "sources": members,
                "licences": {member: ["CC0-1.0"] for member in members},
            },
        }
    )
    question = compile_federated(SQL, {}, "bar", dataset, Dialect.DUCKDB)
    if not isinstance(question, FederatedQuestion):
        raise TypeError(f"the bar's own question is refused: {question.reason}")
    return question


def _apart(luck: random.Random) -> tuple[float, float]:
    """The greatest relative distance from pooled values: of federated ones, and of clipped, quantised sums."""
    question, ours, peers = _question(), 0.0, 0.0
    for _ in range(TRIALS):
        own = {f"m{n}": [_row(luck) for _ in range(ROWS)] for n in range(MOST)}
        members = sorted(own)
        values = {member: words([_summed(own[member])], question.layout) for member in members}
        world = _round(values, threshold(MOST, 3), question.layout.bits, luck)
        answered = luck.sample(members, luck.randint(threshold(MOST, 3), MOST))
        found = question.layout.row(world.total(sorted(answered)), 0)
        pooled = [row for member in answered for row in own[member]]
        sums = [sum((Fraction(row[place]) for row in pooled), Fraction(0)) for place in range(3)]
        expected = [*sums, sums[1] / len(pooled), Fraction(len(pooled))]
        ours = max(ours, *(_relative(Fraction(str(a)), b) for a, b in zip(found, expected, strict=False)))
        quantised = sum(_quantised(float(sum(row[2] for row in own[member]))) for member in answered)
        peers = max(peers, _relative(Fraction(quantised), sums[2]))
    return ours, peers


def _row(luck: random.Random) -> tuple[int, Decimal, float]:
    return luck.randint(0, 10**9), Decimal(luck.randint(1, 10**15)).scaleb(-9), luck.uniform(1e-6, 1e6)


def _summed(rows: Sequence[tuple[int, Decimal, float]]) -> list[object]:
    """One member's line as an engine returns it: rows, then count and sum of each column."""
    whole, exact, real = zip(*rows, strict=True)
    count = len(rows)
    return [count, count, sum(whole), count, sum(exact), count, math.fsum(real), count]


def _quantised(value: float) -> float:
    step = 2 * CLIP / LEVELS
    return round((max(-CLIP, min(CLIP, value)) + CLIP) / step) * step - CLIP


def _relative(found: Fraction, expected: Fraction) -> float:
    return float(abs(found - expected) / max(abs(expected), Fraction(1, 10**9)))


def _noises() -> tuple[float, float]:
    """The deviation of noise added once to a sum, and of the sum of every member's own noise."""
    rules = NoiseRules(
        mechanism=Mechanism.DISCRETE_LAPLACE, budget_micro_epsilon=1_000_000, unit="one row", rows_per_unit=1
    )
    once = noise.add([0] * DRAWS, rules, 100, Fraction(1)).values
    own = [noise.add([0] * DRAWS, rules, 100, Fraction(1)).values for _ in range(MOST)]
    return statistics.pstdev(once), statistics.pstdev(map(sum, zip(*own, strict=True)))
