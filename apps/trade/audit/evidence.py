"""All that one assessment rests on, as bytes named by their SHA-256: what was asked, what was released, the rules."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import cache, cached_property
from typing import Annotated, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from apps.trade.assessment import Assessment, Book, Consignment, Disclosed, assess
from apps.trade.bill import Bill, bill_of
from apps.trade.defaults import Table
from apps.trade.disclosures import Disclosure, parse_canonical
from apps.trade.free_allocation import Benchmarks
from apps.trade.goods import Strict
from apps.trade.rule_packs import RulePack, benchmarks_in, benchmarks_of, packs_of, prices_in, table_of
from apps.trade.views import plain
from commonweal.transparency import canonical_json

CONSIGNMENT = "consignment"
DISCLOSURE = "disclosure"
RELEASE = "release"
ROWS = "released-rows"
Read = TypeVar("Read")
_ROWS_TYPE = TypeAdapter(tuple[Disclosed, ...])


class Release(Strict):
    """Under which grant members were asked; without a grant, the member at which the disclosure lies."""

    grant: Annotated[str, Field(min_length=1)] | None
    members_asked: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """The inputs of one assessment.

    `rows` is everything that the members released of the installation: that it did *not* disclose a good is a finding
    too. `disclosure` is there where the producer itself makes the bundle; then the rows follow from it.
    `files` are the rule packs and their tables by name, prices of certificates among them; `rules` are those that a
    value follows from, without prices, so that no price changes what is attested of emissions.
    """

    consignment: Consignment
    files: Mapping[str, bytes]
    release: Release
    rows: tuple[Disclosed, ...] = ()
    disclosure: Disclosure | None = None

    def __post_init__(self) -> None:
        """Refuse a disclosure that is not the consignment's, or that lies nowhere."""
        if self.disclosure is None:
            return
        if self.disclosure.installation_id != self.consignment.installation_id:
            raise ValueError(
                f"installation_id: {self.consignment.installation_id} is asked for, and the disclosure is of "
                f"{self.disclosure.installation_id}; give the disclosure of the installation"
            )
        if len(self.release.members_asked) != 1:
            raise ValueError("release: members_asked must name the one member at which the disclosure lies; name it")

    @cached_property
    def packs(self) -> tuple[RulePack, ...]:
        """The rule packs, out of the bytes of the evidence."""
        return packs_of(self.files)

    @cached_property
    def rules(self) -> Mapping[str, bytes]:
        """The files that an assessment follows from: every one but the prices."""
        prices = {pack.certificate_prices for pack in self.packs}
        return {name: content for name, content in self.files.items() if name not in prices}

    @cached_property
    def price_files(self) -> Mapping[str, bytes]:
        """The files that a bill needs besides."""
        return {name: content for name, content in self.files.items() if name not in self.rules}

    @cached_property
    def disclosed(self) -> tuple[Disclosed, ...]:
        """The rows that may serve the assessment."""
        if self.disclosure is None:
            return self.rows
        return disclosed_rows(self.disclosure, self.packs, self.release.members_asked[0], self.benchmarks)

    @cached_property
    def defaults(self) -> Callable[[str], Table | None]:
        """The default values of a pack, out of the bytes of the evidence; each table is read once."""
        return cache(lambda pack_id: table_of(self._pack(pack_id), self.files))

    @cached_property
    def benchmarks(self) -> Callable[[str], Benchmarks | None]:
        """The benchmarks of a pack, likewise."""
        return cache(lambda pack_id: benchmarks_in(self._pack(pack_id), self.files))

    @cached_property
    def prices(self) -> Callable[[str], Mapping[str, Decimal]]:
        """The prices that a pack names, likewise."""
        return cache(lambda pack_id: prices_in(self._pack(pack_id), self.files))

    def _pack(self, pack_id: str) -> RulePack:
        return next(pack for pack in self.packs if pack.id == pack_id)

    @cached_property
    def assessment(self) -> Assessment:
        """The value, by the same rule as everywhere.

        Raises:
            UnassessableError: no value can be given.

        """
        return assess(self.consignment, self.book)

    @cached_property
    def book(self) -> Book:
        """All that is looked up, out of the bytes of the evidence."""
        return Book(self.packs, self.defaults, self.disclosed)

    @cached_property
    def bill(self) -> Bill | None:
        """The certificates of the assessment, or None where its method knows none.

        Raises:
            UnassessableError: no value or no price can be given.
            PackError: a file is missing or wrong.

        """
        return bill_of(self.assessment, self.book, self.benchmarks, self.prices)

    def inputs(self) -> dict[str, bytes]:
        """Every input but the rules, canonical, by its role."""
        found = {
            CONSIGNMENT: canonical_json(self.consignment.model_dump(mode="json")),
            RELEASE: canonical_json(self.release.model_dump(mode="json")),
        }
        if self.disclosure is not None:
            found[DISCLOSURE] = self.disclosure.canonical()
        elif self.consignment.installation_id is not None:
            found[ROWS] = canonical_json(
                [
                    {name: plain(value) if isinstance(value, Decimal) else value for name, value in asdict(row).items()}
                    for row in self.rows
                ]
            )
        return found


def disclosed_rows(
    disclosure: Disclosure,
    packs: Sequence[RulePack],
    member: str,
    benchmarks: Callable[[str], Benchmarks | None] = benchmarks_of,
) -> tuple[Disclosed, ...]:
    """What a member would release of a disclosure that lies with it.

    Raises:
        ValueError: as `Disclosure.to_rows`.

    """
    names = Disclosed.__dataclass_fields__.keys() - {"member"}
    return tuple(
        Disclosed(member=member, **{name: getattr(row, name) for name in names})
        for row in disclosure.to_rows(packs, benchmarks)
    )


def read_evidence(inputs: Mapping[str, bytes], files: Mapping[str, bytes]) -> Evidence:
    """Read inputs back from their canonical bytes.

    Raises:
        ValueError: an input is missing, of an unknown role, or a field of it is wrong; the message names the role.

    """
    known = {CONSIGNMENT, DISCLOSURE, RELEASE, ROWS}
    for role in sorted({CONSIGNMENT, RELEASE} - inputs.keys() | inputs.keys() - known):
        raise ValueError(f"{role}: {'missing' if role in known else 'unknown role'}; ask for the bundle again")
    return Evidence(
        consignment=_read(inputs, CONSIGNMENT, Consignment.model_validate_json),
        files=files,
        release=_read(inputs, RELEASE, Release.model_validate_json),
        rows=_read(inputs, ROWS, _ROWS_TYPE.validate_json) if ROWS in inputs else (),
        disclosure=_read(inputs, DISCLOSURE, parse_canonical) if DISCLOSURE in inputs else None,
    )


def _read(inputs: Mapping[str, bytes], role: str, reader: Callable[[bytes], Read]) -> Read:
    try:
        return reader(inputs[role])
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{role}: {path}: {first['msg']}; correct the input and make a new bundle") from error
