"""What each member owns: the charter's formula as data, computed in integers and explained step by step.

    counted   = min(delivered, pledged) + beyond-pledge rate x what was delivered above the pledge
    compute   = max(0, counted - what the member used of its own machines)
    energy    = green energy: certificates matched, by zone and hour, with energy metered and within
                energy cap x compute (commonweal/green.py)
    talent    = approved seconds of work
    data      = row-seconds kept for others
    stock     = last period's stock decayed by the half-life + this period's credit       (each category)
    unvested  = last period's unvested part, decayed and vested by their half-lives + this period's credit
    vested    = stock - unvested
    raw share = basic share / members + sum over categories of weight x vested / all vested
    share     = raw shares capped, the excess going pro rata to members below the cap; then smoothed: one part in so
                many of the way from the last statement's share; in basis points

Energy is a cost, not work: it counts only where it is green, metered and within what credited compute may draw. Use of
others' machines is shown beside the share and never subtracted from it; use of one's own earns nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from fractions import Fraction

from commonweal.apportion import WHOLE_BP, WHOLE_PPB, decayed, kept_ppb, largest_remainder, part_bp
from commonweal.ledger import Balance, Unit, delivered, used
from commonweal.transparency import Json, canonical_json


class Category(StrEnum):
    """What a member can contribute; each category divides its own weight, so none can drown another."""

    COMPUTE = "compute"
    ENERGY = "energy"
    TALENT = "talent"
    DATA = "data"


Amounts = Mapping[Category, int]
NOTHING: Amounts = dict.fromkeys(Category, 0)


class FormulaError(ValueError):
    """A charter or an input that no share can be computed from."""


@dataclass(frozen=True, kw_only=True)
class Charter:
    """The formula's parameters, as the Consortium states them.

    A cap that the members are too few to fill (10000 / members above it) gives way to an equal split. Without a
    vesting half-life credit counts at once; without smoothing a share is what the period gives.
    """

    weights_bp: Mapping[Category, int]
    basic_share_bp: int
    cap_bp: int
    beyond_pledge_bp: int
    energy_cap_mw: int
    decay_half_life_periods: int | None = None
    vesting_half_life_periods: int | None = None
    smoothing_periods: int | None = None

    def __post_init__(self) -> None:
        """Refuse a formula that does not sum.

        Raises:
            FormulaError: names the field and the remedy.
        """
        if set(self.weights_bp) != set(Category) or min(self.weights_bp.values()) < 0:
            raise FormulaError(f"weights_bp: needs one weight of 0 or more for each of {', '.join(Category)}")
        if (total := sum(self.weights_bp.values())) != WHOLE_BP:
            raise FormulaError(f"weights_bp: sums to {total}; make the weights sum to {WHOLE_BP}")
        for name, least in (("basic_share_bp", 0), ("cap_bp", 1), ("beyond_pledge_bp", 0)):
            if not least <= (value := getattr(self, name)) <= WHOLE_BP:
                raise FormulaError(f"{name}: {value} is not between {least} and {WHOLE_BP}")
        if self.energy_cap_mw < 0:
            raise FormulaError(f"energy_cap_mw: {self.energy_cap_mw} is below 0; state milliwatts per GPU")
        for half_life in (self.decay_half_life_periods, self.vesting_half_life_periods):
            if half_life is not None:
                kept_ppb(half_life)
        if self.smoothing_periods is not None and self.smoothing_periods < 1:
            raise FormulaError(
                f"smoothing_periods: {self.smoothing_periods} is below 1; leave it out to smooth nothing"
            )


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a member holds after a statement: all that the next one takes from this one.

    `unvested` is the part of `stock` that does not count yet; `share_ppb` is kept where the charter smooths shares.
    """

    stock: Amounts
    unvested: Amounts = field(default_factory=lambda: NOTHING)
    share_ppb: int | None = None

    @property
    def vested(self) -> Amounts:
        """The part of the stock that counts."""
        return {category: self.stock[category] - self.unvested[category] for category in Category}


NEWCOMER = Held(stock=NOTHING)


@dataclass(frozen=True, kw_only=True)
class Contribution:
    """One member's period, out of posted balances: GPU-seconds, millijoules, seconds of work, rows times seconds."""

    member: str
    pledged_gpu_seconds: int
    delivered_gpu_seconds: int
    self_used_gpu_seconds: int = 0
    used_gpu_seconds: int = 0
    used_core_seconds: int = 0
    energy_mj: int = 0
    green_energy_mj: int = 0
    talent_seconds: int = 0
    kept_row_seconds: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot have been.

        Raises:
            FormulaError: an amount below 0, or more self-use than use.
        """
        for name, value in vars(self).items():
            if name != "member" and value < 0:
                raise FormulaError(f"{self.member}.{name}: {value} is below 0; contributions are 0 or more")
        if self.self_used_gpu_seconds > self.used_gpu_seconds:
            raise FormulaError(
                f"{self.member}.self_used_gpu_seconds: more than used_gpu_seconds; use of one's own machines is use"
            )


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where one member stands after a period, with all that its share was computed from."""

    contribution: Contribution
    credit: Amounts
    held: Held
    exact_share: Fraction
    share_bp: int

    @property
    def member(self) -> str:
        """The member's name."""
        return self.contribution.member

    @property
    def shortfall_gpu_seconds(self) -> int:
        """How far delivery stayed below the pledge."""
        return max(0, self.contribution.pledged_gpu_seconds - self.contribution.delivered_gpu_seconds)

    @property
    def beyond_gpu_seconds(self) -> int:
        """How far delivery went beyond the pledge."""
        return max(0, self.contribution.delivered_gpu_seconds - self.contribution.pledged_gpu_seconds)


@dataclass(frozen=True, kw_only=True)
class Statement:
    """The shares after one period; `standings` are sorted by member."""

    charter: Charter
    standings: tuple[Standing, ...]

    @property
    def held(self) -> dict[str, Held]:
        """What the next period's computation starts from."""
        return {standing.member: standing.held for standing in self.standings}

    def of(self, member: str) -> Standing:
        """Return one member's standing.

        Raises:
            FormulaError: the statement does not know the member.
        """
        for standing in self.standings:
            if standing.member == member:
                return standing
        known = ", ".join(standing.member for standing in self.standings)
        raise FormulaError(f"member: {member} is not in the statement; its members are {known}")

    def record(self) -> bytes:
        """Return the canonical bytes that the transparency log holds."""
        return canonical_json({"charter": vars(self.charter), "standings": list(map(_plain, self.standings))})


def _plain(standing: Standing) -> dict[str, Json]:
    return vars(standing) | {
        "contribution": vars(standing.contribution),
        "exact_share": str(standing.exact_share),
        "held": vars(standing.held),
    }


def compute(
    charter: Charter, contributions: Iterable[Contribution], previous: Mapping[str, Held] | None = None
) -> Statement:
    """Compute the statement that follows the one whose `held` is `previous`.

    Every member has one contribution, of zeros where it did nothing; one that is left out has left, and what it held
    goes. A contribution given twice counts once.

    Raises:
        FormulaError: no member, or two different contributions of one member.
    """
    rows = _one_a_member(contributions)
    before = previous or {}
    earned = {member: credit(charter, row) for member, row in rows.items()}
    held = {member: _held(charter, before.get(member, NEWCOMER), earned[member]) for member in rows}
    exact = exact_shares(charter, held, before)
    shares_bp = largest_remainder(WHOLE_BP, exact)
    shares_ppb = largest_remainder(WHOLE_PPB, exact) if charter.smoothing_periods else {}
    return Statement(
        charter=charter,
        standings=tuple(
            Standing(
                contribution=rows[member],
                credit=earned[member],
                held=replace(held[member], share_ppb=shares_ppb.get(member)),
                exact_share=exact[member],
                share_bp=shares_bp[member],
            )
            for member in sorted(rows)
        ),
    )


def exact_shares(charter: Charter, held: Mapping[str, Held], before: Mapping[str, Held]) -> dict[str, Fraction]:
    """Return shares after cap and smoothing; they sum to 1."""
    shares = capped(raw_shares(charter, vested(held)), charter.cap_bp)
    if charter.smoothing_periods is None:
        return shares
    # Capped again: the cap, or the number of members that it depends on, may have changed since the last statement.
    return capped(smoothed(shares, before, charter.smoothing_periods), charter.cap_bp)


def credit(charter: Charter, row: Contribution) -> Amounts:
    """Return what one period of a member earns in each category."""
    beyond = max(0, row.delivered_gpu_seconds - row.pledged_gpu_seconds)
    counted = min(row.delivered_gpu_seconds, row.pledged_gpu_seconds) + part_bp(beyond, charter.beyond_pledge_bp)
    return {
        Category.COMPUTE: max(0, counted - row.self_used_gpu_seconds),
        Category.ENERGY: row.green_energy_mj,
        Category.TALENT: row.talent_seconds,
        Category.DATA: row.kept_row_seconds,
    }


def creditable_mj(charter: Charter, row: Contribution) -> int:
    """Return how much of a period's metered energy may earn, once certificates for its hour show that it was green."""
    return min(row.energy_mj, charter.energy_cap_mw * credit(charter, row)[Category.COMPUTE])


def _held(charter: Charter, before: Held, earned: Amounts) -> Held:
    stock, unvested = dict[Category, int](), dict[Category, int]()
    for category in Category:
        stock[category] = _kept(charter, before.stock[category]) + earned[category]
        unvested[category] = _unvested(charter, before.unvested[category], earned[category])
    return Held(stock=stock, unvested=unvested)


def _kept(charter: Charter, amount: int) -> int:
    return amount if charter.decay_half_life_periods is None else decayed(amount, charter.decay_half_life_periods)


def _unvested(charter: Charter, before: int, earned: int) -> int:
    if charter.vesting_half_life_periods is None:
        return 0
    return decayed(_kept(charter, before), charter.vesting_half_life_periods) + earned


def vested(held: Mapping[str, Held]) -> dict[str, Amounts]:
    """Return what counts of what each member holds."""
    return {member: each.vested for member, each in held.items()}


def equal_part(charter: Charter, totals: Amounts) -> Fraction:
    """Return the part of the whole that is split equally: the basic share, and each category that nobody has filled."""
    basic = Fraction(charter.basic_share_bp, WHOLE_BP)
    unfilled = sum(charter.weights_bp[category] for category in Category if not totals[category])
    return basic + (1 - basic) * Fraction(unfilled, WHOLE_BP)


def raw_shares(charter: Charter, stocks: Mapping[str, Amounts]) -> dict[str, Fraction]:
    """Return shares before the cap; they sum to 1."""
    totals = summed(stocks)
    rest = 1 - Fraction(charter.basic_share_bp, WHOLE_BP)
    return {
        member: equal_part(charter, totals) / len(stocks)
        + sum(
            rest * Fraction(charter.weights_bp[category], WHOLE_BP) * Fraction(stock[category], totals[category])
            for category in Category
            if totals[category]
        )
        for member, stock in stocks.items()
    }


def summed(stocks: Mapping[str, Amounts]) -> Amounts:
    """Return what all members have of each category."""
    return {category: sum(stock[category] for stock in stocks.values()) for category in Category}


def effective_cap(cap_bp: int, members: int) -> Fraction:
    """Return the cap, or the equal split where members x cap would not reach the whole."""
    return max(Fraction(cap_bp, WHOLE_BP), Fraction(1, members))


def capped(shares: Mapping[str, Fraction], cap_bp: int) -> dict[str, Fraction]:
    """Cap shares that sum to 1; the excess goes pro rata to members below the cap, again until none is above it.

    Members below the cap that have no share at all divide the excess equally.
    """
    cap = effective_cap(cap_bp, len(shares))
    result, at_cap = dict(shares), set[str]()
    while over := {member for member, share in result.items() if share > cap}:
        at_cap |= over
        open_ = sorted(set(shares) - at_cap)
        left, weight = 1 - cap * len(at_cap), sum(shares[member] for member in open_)
        result = dict.fromkeys(at_cap, cap)
        result |= {member: left * shares[member] / weight if weight else Fraction(left, len(open_)) for member in open_}
    return result


def smoothed(shares: Mapping[str, Fraction], before: Mapping[str, Held], periods: int) -> dict[str, Fraction]:
    """Move one part in `periods` of the way from the last statement's shares to these; both sum to 1.

    Whoever has left takes nothing along: the others' last shares are scaled up. Whoever has come starts from nothing.
    Where no member has a last share there is nothing to smooth.
    """
    last = {member: (before.get(member, NEWCOMER).share_ppb or 0) for member in shares}
    whole = sum(last.values())
    if not whole:
        return dict(shares)
    return {
        member: share + (Fraction(last[member], whole) - share) * (1 - Fraction(1, periods))
        for member, share in shares.items()
    }


def changed(contributions: Iterable[Contribution], member: str, fields: Mapping[str, int]) -> tuple[Contribution, ...]:
    """Return the contributions with some of one member's amounts replaced: the input of a counterfactual.

    Raises:
        FormulaError: unknown member or field, or an amount that cannot be.
    """
    rows = _one_a_member(contributions)
    if member not in rows:
        raise FormulaError(f"member: {member} has no contribution; members are {', '.join(sorted(rows))}")
    known = sorted(set(asdict(rows[member])) - {"member"})
    if unknown := sorted(set(fields) - set(known)):
        raise FormulaError(f"{unknown[0]}: no such amount; choose one of {', '.join(known)}")
    return tuple(Contribution(**(asdict(row) | dict(fields))) if row.member == member else row for row in rows.values())


def contribution_of(
    member: str,
    *,
    pledged_gpu_seconds: int,
    balances: Mapping[tuple[str, Unit], Balance],
) -> Contribution:
    """Read one member's period out of the ledger's balances for that period; only posted amounts count."""
    taken = {unit: _taken(member, unit, balances) for unit in Unit}
    given = {unit: balances.get((delivered(member), unit), Balance()).posted for unit in Unit}
    return Contribution(
        member=member,
        pledged_gpu_seconds=pledged_gpu_seconds,
        delivered_gpu_seconds=given[Unit.GPU_SECONDS],
        self_used_gpu_seconds=taken[Unit.GPU_SECONDS].get(used(member, member), 0),
        used_gpu_seconds=sum(taken[Unit.GPU_SECONDS].values()),
        used_core_seconds=sum(taken[Unit.CORE_SECONDS].values()),
        energy_mj=given[Unit.ENERGY_MJ],
        green_energy_mj=given[Unit.GREEN_MJ],
        talent_seconds=given[Unit.WORK_SECONDS],
        kept_row_seconds=given[Unit.ROW_SECONDS],
    )


def _taken(member: str, unit: Unit, balances: Mapping[tuple[str, Unit], Balance]) -> dict[str, int]:
    return {
        account: -balance.posted
        for (account, of), balance in balances.items()
        if of is unit and account.startswith(used(member, ""))
    }


def _one_a_member(contributions: Iterable[Contribution]) -> dict[str, Contribution]:
    rows: dict[str, Contribution] = {}
    for row in contributions:
        if rows.setdefault(row.member, row) != row:
            raise FormulaError(f"{row.member}: two different contributions in one period; the ledger has one")
    if not rows:
        raise FormulaError("contributions: none; a statement needs at least one member")
    return rows
