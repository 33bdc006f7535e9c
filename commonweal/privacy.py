"""What a noisy release costs, what is left to spend, and how much noise that buys.

Two ways to compose, one for each mechanism, never mixed:

- discrete-laplace spends epsilon, and epsilons add (basic composition: Dwork and Roth 2014, theorem 3.16). The noise
  has scale `l1 / epsilon` (Ghosh, Roughgarden and Sundararajan 2009).
- discrete-gaussian spends rho of zero-concentrated differential privacy, and rhos add (Bun and Steinke 2016, lemma
  2.3). Noise of variance `l2**2 / (2 * rho)` costs rho (Canonne, Kamath and Steinke 2020, theorem 4). What was spent in
  all promises epsilon = rho + 2 * sqrt(rho * ln(1 / delta)) at delta (Bun and Steinke 2016, proposition 1.3).

The books are kept as those of commonweal.ledger: a charge is pending until it is posted or voided, once, and every
event is named by its content. The account of a charge is a dataset's, a beneficiary's and a purpose's; members charge
each for its own rows, and since no row lies with two of them, a question costs its price once.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from enum import StrEnum
from fractions import Fraction
from hashlib import sha256

from commonweal.kinds.federation import TRILLION, Mechanism, NoiseRules
from commonweal.ledger import INSTANT, Post, Void
from commonweal.transparency import canonical_json

MICRO = 10**6
_NANO = 10**9
_PRECISE = Context(prec=60)


class LossUnit(StrEnum):
    """What an account of privacy counts. Units never add to each other."""

    MICRO_EPSILON = "micro_epsilon"
    NANO_RHO = "nano_rho"


class PrivacyError(ValueError):
    """An event that would break the books; they are as they were before."""


class BudgetError(PrivacyError):
    """The budget does not allow the charge; the message says what is left."""


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What one release is to cost: pending until it is posted or voided.

    Attributes:
        account: as `account` names it.
        amount: in `unit`, above 0.
        evidence_sha256: the hash of what the charge is for; a round's context.
    """

    account: str
    unit: LossUnit
    amount: int
    at: datetime
    evidence_sha256: str

    def __post_init__(self) -> None:
        """Refuse what costs nothing.

        Raises:
            PrivacyError: the amount is not above 0.
        """
        if self.amount <= 0:
            raise PrivacyError(f"amount: {self.amount} is not above 0; a noisy release always costs something")

    def record(self) -> bytes:
        """The canonical bytes of the event."""
        return canonical_json(
            {
                "account": self.account,
                "amount": self.amount,
                "at": f"{self.at:{INSTANT}}",
                "event": "charge",
                "evidence_sha256": self.evidence_sha256,
                "unit": self.unit,
            }
        )

    @property
    def id(self) -> str:
        """The hash of the content: the same charge has the same name everywhere."""
        return sha256(self.record()).hexdigest()


Event = Charge | Post | Void


def charge_of(record: bytes) -> Charge:
    """Read a charge from its canonical bytes.

    Raises:
        PrivacyError: not a charge, or not its canonical bytes.
    """
    try:
        fields = json.loads(record)
        charge = Charge(
            account=fields["account"],
            unit=LossUnit(fields["unit"]),
            amount=int(fields["amount"]),
            at=datetime.strptime(fields["at"], INSTANT).replace(tzinfo=UTC),
            evidence_sha256=fields["evidence_sha256"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PrivacyError(f"event: no charge can be read from it ({error!r})") from None
    if charge.record() != record:
        raise PrivacyError("event: not the canonical bytes of its charge")
    return charge


def account(trust: str, dataset: str, beneficiary: str, purpose: str) -> str:
    """Name the account of one beneficiary's questions about one dataset for one purpose."""
    return f"{trust}/{dataset}/{beneficiary}/{purpose}"


class PrivacyBooks:
    """What was charged so far; recording is the only way to change it."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._charges: dict[str, Charge] = {}
        self._ended: dict[str, Post | Void] = {}
        self._used: Counter[tuple[str, LossUnit]] = Counter()
        for event in events:
            self.record(event)

    def __iter__(self) -> Iterator[Event]:
        """Every charge and every end; replaying them gives these books again."""
        yield from self._charges.values()
        yield from self._ended.values()

    def used(self, of: str, unit: LossUnit) -> int:
        """What an account has posted and pending, in `unit`."""
        return self._used[of, unit]

    def pending(self) -> tuple[Charge, ...]:
        """The charges that are neither posted nor voided, oldest first."""
        return tuple(charge for id_, charge in self._charges.items() if id_ not in self._ended)

    def check(self, charge: Charge, rules: NoiseRules) -> None:
        """Say whether a charge may be reserved now.

        Raises:
            PrivacyError: these books have it already; what is asked again is another charge.
            BudgetError: less is left than it costs, or the account was charged in another unit, since changing the
                mechanism does not renew a budget.
        """
        if charge.id in self._charges:
            raise PrivacyError(f"charge: {charge.id} is in the books already; a release is charged once")
        other = next((unit for unit in LossUnit if unit is not charge.unit and self._used[charge.account, unit]), None)
        if other is not None:
            raise BudgetError(
                f"privacy budget: {charge.account} was charged in {other} before; a new mechanism needs a new dataset"
            )
        left = budget(rules) - self.used(charge.account, charge.unit)
        if charge.amount > left:
            raise BudgetError(
                f"privacy budget: the question costs {charge.amount} {charge.unit}, and {max(left, 0)} of"
                f" {budget(rules)} are left to {charge.account}; ask with less epsilon, or ask the trustees for more"
            )

    def verify(self, event: Event) -> None:
        """Say whether the books can take an event.

        Raises:
            PrivacyError: it ends a charge that is unknown or has ended otherwise.
        """
        if isinstance(event, Charge):
            return
        if event.transfer_id not in self._charges:
            raise PrivacyError(f"transfer_id: {event.transfer_id} is no charge of these books")
        ended = self._ended.get(event.transfer_id)
        if ended is not None and ended != event:
            raise PrivacyError(f"transfer_id: {event.transfer_id} has a {type(ended).__name__.lower()} already")

    def record(self, event: Event) -> bool:
        """Take an event into the books; return False where it was already there.

        Raises:
            PrivacyError: as `verify`.
        """
        self.verify(event)
        if isinstance(event, Charge):
            new = event.id not in self._charges
            if new:
                self._charges[event.id] = event
                self._used[event.account, event.unit] += event.amount
            return new
        new = event.transfer_id not in self._ended
        if new and isinstance(event, Void):
            charge = self._charges[event.transfer_id]
            self._used[charge.account, charge.unit] -= charge.amount
        self._ended[event.transfer_id] = event
        return new


def unit_of(mechanism: Mechanism) -> LossUnit:
    """What the mechanism spends."""
    return LossUnit.NANO_RHO if mechanism is Mechanism.DISCRETE_GAUSSIAN else LossUnit.MICRO_EPSILON


def budget(rules: NoiseRules) -> int:
    """What an account may spend in all, in the mechanism's unit, rounded down."""
    return _loss(rules, rules.budget_micro_epsilon, ROUND_FLOOR)


def cost(rules: NoiseRules, micro_epsilon: int) -> int:
    """What a question costs that would alone promise `micro_epsilon` at the trust's delta, rounded up.

    Under discrete-gaussian ten such questions cost less than one of ten times the epsilon.
    """
    return _loss(rules, micro_epsilon, ROUND_CEILING)


def _loss(rules: NoiseRules, micro_epsilon: int, rounding: str) -> int:
    if rules.mechanism is Mechanism.DISCRETE_LAPLACE:
        return micro_epsilon
    p = _PRECISE
    log = p.minus(p.ln(p.divide(Decimal(rules.delta_per_trillion), Decimal(TRILLION))))
    epsilon = p.divide(Decimal(micro_epsilon), Decimal(MICRO))
    # The positive root of rho + 2 sqrt(rho log) = epsilon.
    root = p.subtract(p.sqrt(p.add(log, epsilon)), p.sqrt(log))
    return int(p.multiply(p.multiply(root, root), Decimal(_NANO)).to_integral_value(rounding=rounding))


def promised_micro_epsilon(rules: NoiseRules, spent: int) -> int:
    """The epsilon, in millionths and rounded up, that `spent` of the mechanism's unit promises at the trust's delta."""
    if rules.mechanism is Mechanism.DISCRETE_LAPLACE:
        return spent
    p = _PRECISE
    rho = p.divide(Decimal(spent), Decimal(_NANO))
    log = p.minus(p.ln(p.divide(Decimal(rules.delta_per_trillion), Decimal(TRILLION))))
    epsilon = p.add(rho, p.multiply(Decimal(2), p.sqrt(p.multiply(rho, log))))
    return int(p.multiply(epsilon, Decimal(MICRO)).to_integral_value(rounding=ROUND_CEILING))


def share(rules: NoiseRules, charged: int, values: int) -> Fraction:
    """What each of `values` noisy values of every group may lose: epsilon, or rho, in whole units of 1."""
    return Fraction(charged, values * (_NANO if rules.mechanism is Mechanism.DISCRETE_GAUSSIAN else MICRO))


def scale_squared(rules: NoiseRules, sensitivity: int, loss: Fraction) -> Fraction:
    """The square of the noise's scale: of Laplace's `b`, or Gauss's `sigma`.

    Args:
        rules: the trust's.
        sensitivity: the most that one unit moves the values of all groups together. All its rows may lie in one group,
            so that this is the distance in l1 and in l2 alike.
        loss: what these values may lose, as `share` says.
    """
    if rules.mechanism is Mechanism.DISCRETE_GAUSSIAN:
        return Fraction(sensitivity**2) / (2 * loss)
    return (sensitivity / loss) ** 2


def visible(rows: Mapping[int, int], minimum: int) -> tuple[int, ...]:
    """The groups that may be shown: those on at least `minimum` rows, in order.

    Where rows are counted with noise, so is this judged: then it adds nothing to what the noise already gave away.
    """
    return tuple(group for group, count in sorted(rows.items()) if count >= minimum)
