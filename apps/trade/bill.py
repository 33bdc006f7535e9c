"""What a consignment costs in certificates by its disclosure and by the default value, which of the two is the lower,
and what would lower it further.

Pure. Says plainly where actual data does not pay: an importer who learns that before a verifier is paid has learnt
something. Where free allocation is not known, the two are compared before it, and the answer says so.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext

from apps.trade.assessment import KG_PER_T, Assessment, Book, Disclosed, Source, UnassessableError, by_default
from apps.trade.certificates import UnpublishedPriceError, certificate_price_eur, certificates_t, price_reduction_t
from apps.trade.emissions import LEGAL, ZERO
from apps.trade.free_allocation import Allocation, Benchmarks, NoBenchmarkError, default_sefa_t_per_t

SHOWN = Decimal("0.001")


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to declare a consignment: tonnes that count, and certificates after free allocation.

    `sefa_t_per_t` is per functional unit. None means not known, and `allocation` says why.
    """

    source: Source
    tonnes_counted: Decimal
    sefa_t_per_t: Decimal | None
    allocation: str
    certificates: Decimal | None


@dataclass(frozen=True, kw_only=True)
class Bill:
    """Certificates of a consignment. `used` is how the assessment was made, `other` the other way, if there is one.

    `actual_pays` is None where there is nothing to compare. `eur` are given where the quarter's price is published and
    was asked for.
    """

    used: Way
    other: Way | None
    actual_pays: bool | None
    verdict: str
    lowers: tuple[str, ...]
    certificate_eur: Decimal | None
    cost_eur: Decimal | None


def bill_of(
    assessment: Assessment,
    book: Book,
    benchmarks: Callable[[str], Benchmarks | None],
    prices: Callable[[str], Mapping[str, Decimal]],
) -> Bill | None:
    """The bill of an assessed consignment, or None where its method knows no certificates.

    Raises:
        UnassessableError: the quarter has no published price, or a carbon price cannot be deducted.

    """
    pack = assessment.pack
    table = benchmarks(pack.id)
    if table is None:
        return None
    price_eur = _price_eur(assessment, prices(pack.id))
    with localcontext(LEGAL):
        used = _way(assessment, book, table, _reduction_t(assessment, price_eur))
        other = _other(assessment, book, table)
        actual_pays, verdict = _verdict(used, other)
        cost = used.certificates * price_eur if price_eur is not None and used.certificates is not None else None
        return Bill(
            used=used,
            other=other,
            actual_pays=actual_pays,
            verdict=verdict,
            lowers=tuple(_lowers(assessment, used, other, actual_pays=actual_pays)),
            certificate_eur=price_eur,
            cost_eur=cost,
        )


def _price_eur(assessment: Assessment, published: Mapping[str, Decimal]) -> Decimal | None:
    asked = assessment.consignment
    if asked.import_quarter is None:
        return None
    try:
        return certificate_price_eur(published, asked.import_year, asked.import_quarter)
    except UnpublishedPriceError as error:
        raise UnassessableError("import_quarter", str(error), "leave it out to get certificates without EUR") from error


def _reduction_t(assessment: Assessment, price_eur: Decimal | None) -> Decimal:
    paid_eur = assessment.consignment.carbon_price_paid_eur
    if not paid_eur:
        return ZERO
    if assessment.source is Source.DEFAULT:
        raise UnassessableError(
            "carbon_price_paid_eur",
            "with a default value only the Commission's default carbon prices may be deducted, and none is published",
            "leave it out, or give an installation that disclosed this good",
        )
    if price_eur is None:
        raise UnassessableError(
            "import_quarter", "missing; a carbon price is deducted at the quarter's price", "give a quarter, 1 to 4"
        )
    return price_reduction_t(paid_eur, price_eur)


def _way(assessment: Assessment, book: Book, table: Benchmarks, reduction_t: Decimal = ZERO) -> Way:
    allocation = _allocation(assessment, book, table)
    sefa = allocation.sefa_t_per_t
    return Way(
        source=assessment.source,
        tonnes_counted=assessment.tonnes_counted,
        sefa_t_per_t=sefa,
        allocation=allocation.why,
        certificates=None
        if sefa is None
        else certificates_t(assessment.quantity_t, assessment.see_counted_t_per_t, sefa, reduction_t),
    )


def _allocation(assessment: Assessment, book: Book, table: Benchmarks) -> Allocation:
    asked = assessment.consignment
    if assessment.source is Source.ZERO_RATED:
        return Allocation(sefa_t_per_t=ZERO, why="nothing embedded, nothing allocated")
    if assessment.source is Source.DISCLOSURE:
        row = book.of_good(asked, assessment.pack.id)
        return _disclosed(row)
    try:
        sefa = default_sefa_t_per_t(table, asked.cn_code, asked.import_year)
    except NoBenchmarkError as error:
        return Allocation(sefa_t_per_t=None, why=error.reason)
    return Allocation(sefa_t_per_t=sefa, why="column B, the highest of the good's routes")


def _disclosed(row: Disclosed | None) -> Allocation:
    if row is None or row.free_allocation_t_per_t is None:
        return Allocation(sefa_t_per_t=None, why="the disclosure states no free allocation")
    return Allocation(sefa_t_per_t=row.free_allocation_t_per_t, why="as disclosed: own route and precursors")


def _other(assessment: Assessment, book: Book, table: Benchmarks) -> Way | None:
    """The default way of a disclosed consignment; of one by default value there is no other."""
    if assessment.source is not Source.DISCLOSURE:
        return None
    try:
        return _way(by_default(assessment.consignment, book, assessment.pack), book, table)
    except UnassessableError:
        return None


def _verdict(used: Way, other: Way | None) -> tuple[bool | None, str]:
    """Whether the disclosure leads to less than the default value, and the sentence that says it."""
    if used.source is Source.ZERO_RATED:
        return None, "Nothing to pay: the origin is rated zero"
    if used.source is Source.DEFAULT:
        return None, "No disclosure to compare with: the default value is used"
    if other is None:
        return None, "Nothing to compare with: there is no default value for this good and origin"
    if used.certificates is None or other.certificates is None:
        what, actual, default = "t CO2e, before free allocation", used.tonnes_counted, other.tonnes_counted
    else:
        what, actual, default = "certificates", used.certificates, other.certificates
    figures = f"{_shown(actual)} {what} by the disclosure, {_shown(default)} by the default value"
    if actual < default:
        return True, f"Actual data pays here: {figures}"
    return False, f"Actual data does not pay here: {figures}"


def _lowers(assessment: Assessment, used: Way, other: Way | None, *, actual_pays: bool | None) -> Iterator[str]:
    if used.source is Source.ZERO_RATED or (used.certificates == 0 and actual_pays is not False):
        return
    if used.source is Source.DEFAULT:
        yield from _instead_of_default(assessment, used)
    elif actual_pays is False and other is not None:
        yield "Declare by the default value: any mix of actual and default data is allowed"
    if used.source is Source.DISCLOSURE and assessment.default_share > 0:
        share = _shown(assessment.default_share * 100)
        yield (
            f"{share} % of the direct emissions rest on default values of precursors: verified data of their suppliers "
            "would replace them"
        )
    if used.sefa_t_per_t is None:
        yield f"Free allocation is not deducted because {used.allocation}: a verified value of the producer would be"
    if used.source is Source.DISCLOSURE and not assessment.consignment.carbon_price_paid_eur:
        yield "A carbon price effectively paid at the origin, net of rebates, is deducted"


def _instead_of_default(assessment: Assessment, used: Way) -> Iterator[str]:
    asked = assessment.consignment
    per_tonne = used.tonnes_counted / (asked.net_mass_kg / KG_PER_T)
    yield (
        f"Verified data of the producer, if it shows less than {_shown(per_tonne)} t CO2e per t of the good before "
        "free allocation; above that it would not pay"
    )
    if assessment.markup_bp:
        markup = used.tonnes_counted * assessment.markup_bp / (10_000 + assessment.markup_bp)
        percent = Decimal(assessment.markup_bp) / 100
        yield f"{_shown(markup)} t of it are the mark-up of {percent} %, which a disclosure does not bear"
    if assessment.is_fallback:
        yield (
            f"{asked.country} has no value of its own, so that of other countries is used: only data of the producer "
            "can replace it"
        )


def _shown(value: Decimal) -> str:
    return f"{value.quantize(SHOWN).normalize():f}"
