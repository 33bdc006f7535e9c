"""What one consignment embeds: from the maker's disclosure where there is one, else from a default value, and why.

Pure. It never invents: a good without disclosure and without default value is refused with the remedy.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from enum import StrEnum
from itertools import chain
from typing import Annotated

from pydantic import Field

from apps.trade.defaults import Default, NoDefaultError, SeveralGoodsError, Table, default_value
from apps.trade.emissions import LEGAL, ONE, ZERO
from apps.trade.goods import CnCode, Country, InstallationId, NotNegative, Positive, Strict, Year
from apps.trade.rule_packs import Contained, RulePack, pack_for

KG_PER_T = Decimal(1000)
Content = Annotated[Positive, Field(le=1)]
EXAMPLES_OF_CONTENT: dict[Contained, str] = {"clinker": "0.95", "nitrogen": "0.82"}
OF_ONE_TONNE = "in one tonne, above 0 and at most 1"


class Consignment(Strict):
    """What a customs officer knows of one consignment."""

    cn_code: CnCode
    country: Country
    installation_id: InstallationId | None = None
    net_mass_kg: Annotated[Positive, Field(description="net mass in kilograms, above 0")]
    import_year: Year
    clinker_t_per_t: Content | None = Field(default=None, description=f"for cement: tonnes of clinker {OF_ONE_TONNE}")
    nitrogen_t_per_t: Content | None = Field(
        default=None, description=f"for ammonia, nitric acid and mixed fertilisers: tonnes of nitrogen {OF_ONE_TONNE}"
    )
    good: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        default=None, description="words of the good meant, where one code stands for several in the default values"
    )
    import_quarter: Annotated[int, Field(ge=1, le=4)] | None = Field(
        default=None, description="quarter of import, 1 to 4, for the price of certificates"
    )
    carbon_price_paid_eur: NotNegative | None = Field(
        default=None, description="carbon price effectively paid for this consignment at its origin, EUR net of rebates"
    )


class UnassessableError(ValueError):
    """No number can be given; names the field and the remedy."""

    def __init__(self, field: str, detail: str, remedy: str) -> None:
        super().__init__(f"{field}: {detail}; {remedy}")
        self.field = field
        self.detail = detail
        self.remedy = remedy


class Source(StrEnum):
    """Where the specific emissions come from."""

    DISCLOSURE = "disclosure"
    DEFAULT = "default"
    ZERO_RATED = "zero-rated"


@dataclass(frozen=True, kw_only=True)
class Disclosed:
    """One released row of facility_disclosures, and the member that released it."""

    installation_id: str
    country: str
    cn_code: str
    period: str
    see_direct_t_per_t: Decimal
    see_indirect_t_per_t: Decimal
    default_share: Decimal
    rule_pack: str
    evidence_sha256: str
    member: str
    free_allocation_t_per_t: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """The answer for one consignment.

    SEE are tonnes CO2e per tonne of `unit`; `see_counted_t_per_t` is what the rule pack counts. None means that a part
    is not known (a default table that gives the total only), never zero. `markup_bp` is set where a default was used;
    `is_fallback` says that it was the row of other countries.
    """

    consignment: Consignment
    pack: RulePack
    source: Source
    why: str
    quantity_t: Decimal
    see_direct_t_per_t: Decimal | None
    see_indirect_t_per_t: Decimal | None
    see_counted_t_per_t: Decimal
    default_share: Decimal
    markup_bp: int | None = None
    is_fallback: bool = False
    member: str | None = None
    evidence_sha256: str | None = None

    @property
    def unit(self) -> str:
        """What quantity and SEE are per."""
        return f"t of {self.contained} contained" if self.contained else "t"

    @property
    def contained(self) -> Contained | None:
        """What the quantity is a tonne of, where that is not the good itself."""
        return None if self.source is Source.ZERO_RATED else _contained(self.consignment, self.pack, self.source)

    @property
    def counts(self) -> str:
        """Which emissions of this good's own process the pack counts."""
        return "direct and indirect" if self.pack.counts_indirect(self.consignment.cn_code) else "direct"

    @property
    def tonnes_direct(self) -> Decimal | None:
        """Tonnes CO2e of direct emissions."""
        return _times(self.quantity_t, self.see_direct_t_per_t)

    @property
    def tonnes_indirect(self) -> Decimal | None:
        """Tonnes CO2e of indirect emissions, whether or not they count."""
        return _times(self.quantity_t, self.see_indirect_t_per_t)

    @property
    def tonnes_counted(self) -> Decimal:
        """Tonnes CO2e that the rule pack counts."""
        with localcontext(LEGAL):
            return self.quantity_t * self.see_counted_t_per_t


def _times(quantity_t: Decimal, see: Decimal | None) -> Decimal | None:
    if see is None:
        return None
    with localcontext(LEGAL):
        return quantity_t * see


class Book:
    """Everything that an assessment looks up: rule packs, default values, disclosures."""

    def __init__(
        self, packs: Sequence[RulePack], defaults: Callable[[str], Table | None], disclosed: Iterable[Disclosed]
    ) -> None:
        self.packs = packs
        self.defaults = defaults
        self._by_installation: dict[str, list[Disclosed]] = {}
        for row in disclosed:
            self._by_installation.setdefault(row.installation_id, []).append(row)

    def rows(self) -> Iterator[Disclosed]:
        """Everything disclosed."""
        return chain.from_iterable(self._by_installation.values())

    def of_installation(self, installation_id: str) -> Sequence[Disclosed]:
        """All that an installation disclosed."""
        return self._by_installation.get(installation_id, ())

    def of_good(self, consignment: Consignment, pack_id: str) -> Disclosed | None:
        """The row for the good and the year of import under one pack.

        The year must be the same: goods of a year cannot use an earlier period (2025/2547 Article 7).

        Raises:
            UnassessableError: two disclosures differ.

        """
        found = [
            row
            for row in self.of_installation(consignment.installation_id or "")
            if (row.cn_code, row.period, row.rule_pack) == (consignment.cn_code, str(consignment.import_year), pack_id)
        ]
        if len({(row.see_direct_t_per_t, row.see_indirect_t_per_t, row.evidence_sha256) for row in found}) > 1:
            raise UnassessableError(
                "installation_id",
                f"{consignment.installation_id} has two different disclosures of {consignment.cn_code} at "
                + " and ".join(sorted({row.member for row in found})),
                "ask the producer which one holds",
            )
        return found[0] if found else None


def assess(consignment: Consignment, book: Book) -> Assessment:
    """Assess one consignment under the pack in force in its year of import.

    Raises:
        UnassessableError: no pack, no value, or the facts contradict each other.

    """
    pack = pack_for(consignment.cn_code, consignment.import_year, book.packs)
    if pack is None:
        first = min(pack.effective_from for pack in book.packs)
        raise UnassessableError(
            "import_year", f"{consignment.import_year} has no rule pack", f"give a year from {first.year} on"
        )
    if pack.is_zero_rated(consignment.country):
        return _zero_rated(consignment, pack)
    _check_country(consignment, book)
    row = book.of_good(consignment, pack.id)
    return by_default(consignment, book, pack) if row is None else _from_disclosure(consignment, book, pack, row)


def _check_country(consignment: Consignment, book: Book) -> None:
    countries = {row.country for row in book.of_installation(consignment.installation_id or "")}
    if countries and consignment.country not in countries:
        raise UnassessableError(
            "country",
            f"installation {consignment.installation_id} disclosed that it lies in {', '.join(sorted(countries))}, "
            f"not in {consignment.country}",
            "correct country or installation_id",
        )


def _contained(consignment: Consignment, pack: RulePack, source: Source) -> Contained | None:
    if source is Source.DEFAULT and pack.defaults and consignment.cn_code.startswith(pack.defaults.per_tonne_of_good):
        return None
    return pack.contained(consignment.cn_code)


def _quantity_t(consignment: Consignment, pack: RulePack, source: Source) -> Decimal:
    contained = _contained(consignment, pack, source)
    with localcontext(LEGAL):
        mass_t = consignment.net_mass_kg / KG_PER_T
        if contained is None:
            return mass_t
        content: Decimal | None = getattr(consignment, f"{contained}_t_per_t")
        if content is None:
            raise UnassessableError(
                f"{contained}_t_per_t",
                f"missing; {pack.celex} counts {consignment.cn_code} per tonne of the {contained} contained",
                f"give the tonnes of {contained} in one tonne, for example {EXAMPLES_OF_CONTENT[contained]}",
            )
        return mass_t * content


def _zero_rated(consignment: Consignment, pack: RulePack) -> Assessment:
    with localcontext(LEGAL):
        quantity_t = consignment.net_mass_kg / KG_PER_T
    return Assessment(
        consignment=consignment,
        pack=pack,
        source=Source.ZERO_RATED,
        why=f"Goods of {consignment.country} origin are counted as zero (EU and EFTA)",
        quantity_t=quantity_t,
        see_direct_t_per_t=ZERO,
        see_indirect_t_per_t=ZERO,
        see_counted_t_per_t=ZERO,
        default_share=ZERO,
    )


def _from_disclosure(consignment: Consignment, book: Book, pack: RulePack, row: Disclosed) -> Assessment:
    quantity_t = _quantity_t(consignment, pack, Source.DISCLOSURE)
    with localcontext(LEGAL):
        counted = row.see_direct_t_per_t + row.see_indirect_t_per_t
    return Assessment(
        consignment=consignment,
        pack=pack,
        source=Source.DISCLOSURE,
        why=f"{row.installation_id} disclosed {row.cn_code} for {row.period}",
        quantity_t=quantity_t,
        see_direct_t_per_t=row.see_direct_t_per_t,
        see_indirect_t_per_t=_indirect(consignment, book, pack, row),
        see_counted_t_per_t=counted,
        default_share=row.default_share,
        member=row.member,
        evidence_sha256=row.evidence_sha256,
    )


def _indirect(consignment: Consignment, book: Book, pack: RulePack, row: Disclosed) -> Decimal | None:
    """Indirect emissions for the reader: of a good whose own do not count, those that the transitional method shows."""
    if pack.counts_indirect(row.cn_code):
        return row.see_indirect_t_per_t
    shown = [book.of_good(consignment, other.id) for other in book.packs if other.indirect_counts == "all"]
    return next((other.see_indirect_t_per_t for other in shown if other is not None), None)


def by_default(consignment: Consignment, book: Book, pack: RulePack) -> Assessment:
    """Assess a consignment by the default value of its good and origin.

    Raises:
        UnassessableError: the pack has no value for it.

    """
    quantity_t = _quantity_t(consignment, pack, Source.DEFAULT)
    table = book.defaults(pack.id)
    if table is None or pack.defaults is None:
        raise UnassessableError(
            "installation_id",
            f"{_no_disclosure(consignment, book)}, and {pack.id} holds no default values here",
            "give an installation that disclosed this good",
        )
    try:
        with localcontext(LEGAL):
            value = default_value(
                table, consignment.cn_code, consignment.country, consignment.import_year, consignment.good
            )
    except SeveralGoodsError as error:
        raise UnassessableError(
            "good",
            f"{_no_disclosure(consignment, book)}, and {error.reason}",
            "give words that only the one meant has, or an installation that disclosed it",
        ) from error
    except NoDefaultError as error:
        raise UnassessableError(
            "cn_code",
            f"{_no_disclosure(consignment, book)}, and {error.reason}",
            "give an installation that disclosed this good",
        ) from error
    direct, indirect = _parts(value, pack, consignment.cn_code)
    return Assessment(
        consignment=consignment,
        pack=pack,
        source=Source.DEFAULT,
        why=f"{_no_disclosure(consignment, book)}; {value.why}",
        quantity_t=quantity_t,
        see_direct_t_per_t=direct,
        see_indirect_t_per_t=indirect,
        see_counted_t_per_t=value.total_t_per_t,
        default_share=ONE,
        markup_bp=value.markup_bp,
        is_fallback=value.row.country == table.fallback,
        evidence_sha256=pack.defaults.sha256,
    )


def _parts(value: Default, pack: RulePack, cn_code: str) -> tuple[Decimal | None, Decimal | None]:
    if not pack.counts_indirect(cn_code):
        return value.total_t_per_t, None  # of an Annex II good the total is direct emissions alone
    return value.direct_t_per_t, value.indirect_t_per_t


def _no_disclosure(consignment: Consignment, book: Book) -> str:
    if consignment.installation_id is None:
        return "No installation was named"
    rows = book.of_installation(consignment.installation_id)
    if not rows:
        return f"Installation {consignment.installation_id} is unknown to every member asked"
    years = sorted({row.period for row in rows if row.cn_code == consignment.cn_code})
    if not years:
        return f"Installation {consignment.installation_id} did not disclose {consignment.cn_code}"
    return f"Installation {consignment.installation_id} disclosed {consignment.cn_code} for {', '.join(years)} only"
