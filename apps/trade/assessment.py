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

from apps.trade.defaults import Default, NoDefaultError, Table, default_value
from apps.trade.emissions import LEGAL, ONE, ZERO
from apps.trade.goods import CnCode, Country, InstallationId, Positive, Strict, Year
from apps.trade.rule_packs import RulePack, pack_for

KG_PER_T = Decimal(1000)


class Consignment(Strict):
    """What a customs officer knows of one consignment."""

    cn_code: CnCode
    country: Country
    installation_id: InstallationId | None = None
    net_mass_kg: Annotated[Positive, Field(description="net mass in kilograms, above 0")]
    import_year: Year
    clinker_t_per_t: (
        Annotated[
            Positive, Field(le=1, description="for cement: tonnes of clinker in one tonne, above 0 and at most 1")
        ]
        | None
    ) = None


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


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """The answer for one consignment.

    SEE are tonnes CO2e per tonne of `unit`; `see_counted_t_per_t` is what the rule pack counts. None means that a part
    is not known (a default table that gives the total only), never zero. `markup_bp` is set where a default was used.
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
    member: str | None = None
    evidence_sha256: str | None = None

    @property
    def unit(self) -> str:
        """What quantity and SEE are per."""
        by_clinker = self.pack.is_per_tonne_of_clinker(self.consignment.cn_code)
        return "t of clinker contained" if by_clinker and self.source is not Source.ZERO_RATED else "t"

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
    pack = pack_for(consignment.import_year, book.packs)
    if pack is None:
        first = min(pack.effective_from for pack in book.packs)
        raise UnassessableError(
            "import_year", f"{consignment.import_year} has no rule pack", f"give a year from {first.year} on"
        )
    if pack.is_zero_rated(consignment.country):
        return _zero_rated(consignment, pack)
    _check_country(consignment, book)
    quantity_t = _quantity_t(consignment, pack)
    row = book.of_good(consignment, pack.id)
    if row is not None:
        return _from_disclosure(consignment, book, pack, row, quantity_t)
    return _from_default(consignment, book, pack, quantity_t)


def _check_country(consignment: Consignment, book: Book) -> None:
    countries = {row.country for row in book.of_installation(consignment.installation_id or "")}
    if countries and consignment.country not in countries:
        raise UnassessableError(
            "country",
            f"installation {consignment.installation_id} disclosed that it lies in {', '.join(sorted(countries))}, "
            f"not in {consignment.country}",
            "correct country or installation_id",
        )


def _quantity_t(consignment: Consignment, pack: RulePack) -> Decimal:
    with localcontext(LEGAL):
        mass_t = consignment.net_mass_kg / KG_PER_T
        if not pack.is_per_tonne_of_clinker(consignment.cn_code):
            return mass_t
        if consignment.clinker_t_per_t is None:
            raise UnassessableError(
                "clinker_t_per_t",
                f"missing; {pack.celex} counts {consignment.cn_code} per tonne of the clinker contained",
                "give the tonnes of clinker in one tonne, for example 0.95",
            )
        return mass_t * consignment.clinker_t_per_t


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


def _from_disclosure(
    consignment: Consignment, book: Book, pack: RulePack, row: Disclosed, quantity_t: Decimal
) -> Assessment:
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


def _from_default(consignment: Consignment, book: Book, pack: RulePack, quantity_t: Decimal) -> Assessment:
    table = book.defaults(pack.id)
    if table is None or pack.defaults is None:
        raise UnassessableError(
            "installation_id",
            f"{_no_disclosure(consignment, book)}, and {pack.id} holds no default values here",
            "give an installation that disclosed this good",
        )
    try:
        with localcontext(LEGAL):
            value = default_value(table, consignment.cn_code, consignment.country, consignment.import_year)
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
