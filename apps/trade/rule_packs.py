"""Reads the rule packs: which method holds when, what counts, and which release of the default values.

A pack is data under packs/; its table is named with its SHA-256, so that a changed cell is found before it is used.
"""

import csv
import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from apps.trade.default_tables import read_table
from apps.trade.defaults import Row, Table
from apps.trade.free_allocation import Benchmark, Benchmarks, read_benchmark
from apps.trade.goods import NotNegative
from apps.trade.precursors import Scope
from apps.trade.prices import read_prices

FOLDER = Path(__file__).parent / "packs"
RULES = "COMMONWEAL_TRADE_RULES"  # a folder that takes the place of the shipped one, as `defaults import` writes it
Prefix = Annotated[str, Field(pattern=r"^[0-9]{2,8}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Contained = Literal["clinker", "nitrogen"]
CBAM = "CBAM specific embedded emissions"


class PackError(ValueError):
    """A rule pack that must not be used; the message names file and cause."""


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AnnexII(_Data):
    """CN prefixes whose goods count direct emissions only."""

    include: tuple[Prefix, ...]
    except_: tuple[Prefix, ...] = Field(alias="except")


class DefaultsFile(_Data):
    """Where the default values of a pack are, which release they are, and how they are used."""

    celex: str
    amended_by: str
    release: str
    note: str
    file: str
    sha256: Sha256
    fallback: str
    fallback_name: str
    markup_bp: dict[int, int]
    flat_markup_bp: dict[Prefix, int] = {}
    per_tonne_of_good: tuple[Prefix, ...] = ()


class BenchmarksFile(_Data):
    """Where the benchmarks of free allocation are, the years that they hold for, and what scales them."""

    celex: str
    note: str
    file: str
    sha256: Sha256
    years: Annotated[tuple[int, ...], Field(min_length=1)]
    correction: NotNegative
    cbam_factor_bp: dict[int, int]


class RulePack(_Data):
    """One method in force between two dates."""

    id: str
    celex: str
    title: str
    label: str = CBAM
    effective_from: date
    effective_to: date | None = None
    goods: tuple[Prefix, ...] = ()
    indirect_counts: Literal["all", "outside_annex_ii"]
    annex_ii: AnnexII | None = None
    per_tonne_of_clinker: tuple[Prefix, ...] = ()
    per_tonne_of_nitrogen: tuple[Prefix, ...] = ()
    scrap: tuple[Prefix, ...] = ()
    molar_attribution: tuple[Prefix, ...] = ()
    verified_precursors: bool = False
    zero_rated: tuple[str, ...]
    defaults: DefaultsFile | None = None
    free_allocation: BenchmarksFile | None = None
    certificate_prices: str | None = None

    def in_annex_ii(self, cn_code: str) -> bool:
        """Whether the good is listed in Annex II to Regulation (EU) 2023/956."""
        if self.annex_ii is None:
            return False
        return cn_code.startswith(self.annex_ii.include) and not cn_code.startswith(self.annex_ii.except_)

    def counts_indirect(self, cn_code: str) -> bool:
        """Whether indirect emissions of this good's own process count."""
        return self.indirect_counts == "all" or not self.in_annex_ii(cn_code)

    def contained(self, cn_code: str) -> Contained | None:
        """What a value is per tonne of where that is not the good's own tonne (Article 4)."""
        if cn_code.startswith(self.per_tonne_of_clinker):
            return "clinker"
        return "nitrogen" if cn_code.startswith(self.per_tonne_of_nitrogen) else None

    def is_scrap(self, cn_code: str) -> bool:
        """Whether the good is scrap, which embeds nothing as a precursor."""
        return cn_code.startswith(self.scrap)

    def is_zero_rated(self, country: str) -> bool:
        """Whether goods of this origin embed nothing for the purpose of this pack (EU and EFTA)."""
        return country in self.zero_rated

    def scope(self) -> Scope:
        """What the precursor rules need to know of this pack."""
        return Scope(indirect_counts=self.counts_indirect, zero_rated=self.is_zero_rated, scrap=self.is_scrap)

    def holds_in(self, year: int) -> bool:
        """Whether the pack is in force for imports of a calendar year."""
        return self.effective_from.year <= year and (self.effective_to is None or year <= self.effective_to.year)


@cache
def pack_files() -> Mapping[str, bytes]:
    """Every file of the rules in force by its name, byte for byte.

    Raises:
        PackError: the folder that the environment names cannot be read, or holds no rule pack.

    """
    folder = Path(os.environ.get(RULES) or FOLDER)
    try:
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
    except OSError as error:
        raise PackError(f"{RULES}: {error}; name a folder that `defaults import` wrote, or leave it out") from error
    if not any(name.endswith(".yaml") for name in files):
        raise PackError(f"{RULES}: {folder} holds no rule pack; name a folder that `defaults import` wrote")
    return MappingProxyType(files)


@cache
def all_packs() -> tuple[RulePack, ...]:
    """Every pack of the folder, oldest first."""
    return packs_of(pack_files())


def packs_of(files: Mapping[str, bytes]) -> tuple[RulePack, ...]:
    """Every pack among these files, oldest first.

    Raises:
        ValueError: a pack is not UTF-8 or a field of it is wrong (pydantic's ValidationError names it).
        yaml.YAMLError: a pack is not YAML.

    """
    packs = [
        RulePack.model_validate(load_exact(content.decode("utf-8")))
        for name, content in files.items()
        if name.endswith(".yaml")
    ]
    return tuple(sorted(packs, key=lambda pack: pack.effective_from))


def load_exact(text: str) -> object:
    """Parse YAML with every scalar as the text that was written, so that no number passes through a float."""
    return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - BaseLoader builds strings, lists and maps only


def packs_of_good(cn_code: str, packs: Sequence[RulePack]) -> tuple[RulePack, ...]:
    """Every pack, of whatever year, under which a good may be counted.

    A pack that names its goods takes these and no others; every other good is CBAM's to judge.
    """
    named = tuple(pack for pack in packs if pack.goods and cn_code.startswith(pack.goods))
    return named or tuple(pack for pack in packs if not pack.goods)


def pack_for(cn_code: str, year: int, packs: Sequence[RulePack]) -> RulePack | None:
    """The pack in force for imports of a good in a year, or None where none is."""
    return next((pack for pack in packs_of_good(cn_code, packs) if pack.holds_in(year)), None)


@cache
def defaults_of(pack_id: str) -> Table | None:
    """The default values of a pack, or None where it has none.

    Raises:
        PackError: the file is not the one that the pack names, or a cell cannot be read.

    """
    return table_of(next(pack for pack in all_packs() if pack.id == pack_id), pack_files())


def table_of(pack: RulePack, files: Mapping[str, bytes]) -> Table | None:
    """The default values that a pack names, out of these files, or None where it names none.

    Raises:
        PackError: the file is missing, is not the one that the pack names, or a cell cannot be read.

    """
    source = pack.defaults
    if source is None:
        return None
    return Table(
        rows=read_rows(_named(pack, source.file, source.sha256, files), source.file),
        fallback=source.fallback,
        fallback_name=source.fallback_name,
        markup_bp=source.markup_bp,
        flat_markup_bp=source.flat_markup_bp,
    )


@cache
def benchmarks_of(pack_id: str) -> Benchmarks | None:
    """The benchmarks of a pack, or None where it has none. Raises as `defaults_of`."""
    return benchmarks_in(next(pack for pack in all_packs() if pack.id == pack_id), pack_files())


def benchmarks_in(pack: RulePack, files: Mapping[str, bytes]) -> Benchmarks | None:
    """The benchmarks that a pack names, out of these files, or None where it names none. Raises as `table_of`."""
    source = pack.free_allocation
    if source is None:
        return None
    content = _named(pack, source.file, source.sha256, files)
    try:
        rows = tuple(_benchmark(row) for row in csv.DictReader(io.StringIO(content.decode("utf-8")), strict=True))
    except (ValueError, KeyError, csv.Error) as error:
        raise PackError(f"{source.file}: {error}; correct the table") from error
    return Benchmarks(rows=rows, years=source.years, cbam_factor_bp=source.cbam_factor_bp, correction=source.correction)


def _benchmark(row: Mapping[str, str]) -> Benchmark:
    return Benchmark(
        cn_prefix=row["cn_prefix"],
        good=row["good"],
        route=row["route"],
        own_process_t_per_t=read_benchmark(row["column_a"]),
        cumulated_t_per_t=read_benchmark(row["column_b"]),
    )


@cache
def prices_of(pack_id: str) -> Mapping[str, Decimal]:
    """Published prices of a certificate by quarter, EUR; empty where the pack knows none. Raises as `defaults_of`."""
    return prices_in(next(pack for pack in all_packs() if pack.id == pack_id), pack_files())


def prices_in(pack: RulePack, files: Mapping[str, bytes]) -> Mapping[str, Decimal]:
    """The prices in the file that a pack names, out of these files.

    Raises:
        PackError: the file is missing, or a line of it is wrong.

    """
    name = pack.certificate_prices
    if name is None:
        return {}
    content = _held(pack, name, files)
    try:
        return read_prices(content)
    except (ValueError, csv.Error) as error:
        raise PackError(f"{name}: {error}") from error


def _named(pack: RulePack, name: str, sha256: str, files: Mapping[str, bytes]) -> bytes:
    """A file that a pack names, after comparing its digest."""
    content = _held(pack, name, files)
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise PackError(f"{name}: sha256 is {found}, the pack names {sha256}; restore the file or release a new pack")
    return content


def _held(pack: RulePack, name: str, files: Mapping[str, bytes]) -> bytes:
    if name not in files:
        raise PackError(f"{name}: missing, and {pack.id} names it; restore the file")
    return files[name]


def read_rows(content: bytes, name: str) -> tuple[Row, ...]:
    """Parse a table of default values.

    Raises:
        PackError: a cell cannot be read.

    """
    reading = read_table(content)
    if reading.bad:
        more = f" (and {len(reading.bad) - 1} more)" if len(reading.bad) > 1 else ""
        raise PackError(f"{name}: {reading.bad[0]}{more}")
    return reading.rows
