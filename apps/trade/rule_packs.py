"""Reads the rule packs: which method holds when, what counts, and which release of the default values.

A pack is data under packs/; its table is named with its SHA-256, so that a changed cell is found before it is used.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from apps.trade.default_tables import read_table
from apps.trade.defaults import Row, Table
from apps.trade.precursors import Scope

FOLDER = Path(__file__).parent / "packs"
Prefix = Annotated[str, Field(pattern=r"^[0-9]{2,8}$")]


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
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    fallback: str
    fallback_name: str
    markup_bp: dict[int, int]


class RulePack(_Data):
    """One method in force between two dates."""

    id: str
    celex: str
    title: str
    effective_from: date
    effective_to: date | None = None
    indirect_counts: Literal["all", "outside_annex_ii"]
    annex_ii: AnnexII | None = None
    per_tonne_of_clinker: tuple[Prefix, ...] = ()
    zero_rated: tuple[str, ...]
    defaults: DefaultsFile | None = None

    def in_annex_ii(self, cn_code: str) -> bool:
        """Whether the good is listed in Annex II to Regulation (EU) 2023/956."""
        if self.annex_ii is None:
            return False
        return cn_code.startswith(self.annex_ii.include) and not cn_code.startswith(self.annex_ii.except_)

    def counts_indirect(self, cn_code: str) -> bool:
        """Whether indirect emissions of this good's own process count."""
        return self.indirect_counts == "all" or not self.in_annex_ii(cn_code)

    def is_per_tonne_of_clinker(self, cn_code: str) -> bool:
        """Whether a value is per tonne of the clinker contained, which is not the good's own tonne (Article 4)."""
        return cn_code.startswith(self.per_tonne_of_clinker) if self.per_tonne_of_clinker else False

    def is_zero_rated(self, country: str) -> bool:
        """Whether goods of this origin embed nothing for the purpose of this pack (EU and EFTA)."""
        return country in self.zero_rated

    def scope(self) -> Scope:
        """What the precursor rules need to know of this pack."""
        return Scope(indirect_counts=self.counts_indirect, zero_rated=self.is_zero_rated)

    def holds_in(self, year: int) -> bool:
        """Whether the pack is in force for imports of a calendar year."""
        return self.effective_from.year <= year and (self.effective_to is None or year <= self.effective_to.year)


@cache
def pack_files() -> Mapping[str, bytes]:
    """Every file of the folder by its name, byte for byte."""
    return MappingProxyType({path.name: path.read_bytes() for path in sorted(FOLDER.iterdir())})


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


def pack_for(year: int, packs: Sequence[RulePack]) -> RulePack | None:
    """The pack in force for imports of a year, or None where none is."""
    return next((pack for pack in packs if pack.holds_in(year)), None)


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
    if source.file not in files:
        raise PackError(f"{source.file}: missing, and {pack.id} names it; restore the file")
    return Table(
        rows=read_rows(files[source.file], source.sha256, source.file),
        fallback=source.fallback,
        fallback_name=source.fallback_name,
        markup_bp=source.markup_bp,
    )


def read_rows(content: bytes, sha256: str, name: str) -> tuple[Row, ...]:
    """Parse a table of default values after comparing its digest.

    Raises:
        PackError: as `defaults_of`.

    """
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise PackError(f"{name}: sha256 is {found}, the pack names {sha256}; restore the file or release a new pack")
    reading = read_table(content)
    if reading.bad:
        more = f" (and {len(reading.bad) - 1} more)" if len(reading.bad) > 1 else ""
        raise PackError(f"{name}: {reading.bad[0]}{more}")
    return reading.rows
