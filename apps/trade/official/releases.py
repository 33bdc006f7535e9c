"""A new release of the rules: every file in force, with one table and what its pack says of it replaced.

Releases are folders beside each other and are never overwritten: a service is told by COMMONWEAL_TRADE_RULES which one
holds, and an audit bundle carries the one that held. Nothing here changes what the package ships.
"""

import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from apps.trade.defaults import Row
from apps.trade.free_allocation import Benchmark
from apps.trade.official.grids import OfficialFileError
from apps.trade.rule_packs import RulePack, benchmarks_in, load_exact, packs_of, prices_in, table_of

HEAD = "# Made from an official file by `python -m apps.trade`; the note of each table says from which.\n"


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a release says otherwise of one place in a table; None where there is no row."""

    place: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        """One line of a comparison."""
        return f"{self.place}: {self.before or 'not listed'} -> {self.after or 'not listed'}"


def pack_of(files: Mapping[str, bytes], pack_id: str) -> RulePack:
    """A pack by its id.

    Raises:
        OfficialFileError: there is none.

    """
    packs = packs_of(files)
    found = next((pack for pack in packs if pack.id == pack_id), None)
    if found is None:
        raise OfficialFileError(f"--pack: {pack_id} is not in force; there are {', '.join(each.id for each in packs)}")
    return found


def released(
    files: Mapping[str, bytes], pack_id: str, section: str, table: bytes, changes: Mapping[str, object]
) -> dict[str, bytes]:
    """All files of the new release; `section` is `defaults` or `free_allocation`.

    Raises:
        PackError: the new release cannot be used as a whole.

    """
    digest = hashlib.sha256(table).hexdigest()
    name, data = _document(files, pack_id)
    replaced = data[section]["file"]
    new_name = f"{section}_{digest[:12]}.csv"
    data[section] |= {**changes, "file": new_name, "sha256": digest}
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)
    kept = {each: content for each, content in files.items() if each != replaced}
    made = {**kept, name: (HEAD + text).encode(), new_name: table}
    for pack in packs_of(made):
        table_of(pack, made)
        benchmarks_in(pack, made)
        prices_in(pack, made)
    return made


def write_release(files: Mapping[str, bytes], out: Path) -> None:
    """Write a folder that is there whole or not at all.

    Raises:
        OfficialFileError: it exists, or cannot be written.

    """
    if out.exists():
        raise OfficialFileError(f"--out: {out} exists, and a release is never overwritten; name a new folder")
    unfinished = out.with_name(f"{out.name}.new")
    try:
        unfinished.mkdir(parents=True)
        for name, content in files.items():
            (unfinished / name).write_bytes(content)
        unfinished.rename(out)
    except OSError as error:
        raise OfficialFileError(f"--out: {error}; name a folder that can be written") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def default_changes(before: Iterable[Row], after: Iterable[Row]) -> list[Change]:
    """Totals that differ by code and country; descriptions change more often than values and do not count."""
    return _changes(
        _by_place((f"{row.cn_prefix} {row.country}", str(row.total_t_per_t)) for row in before),
        _by_place((f"{row.cn_prefix} {row.country}", str(row.total_t_per_t)) for row in after),
    )


def benchmark_changes(before: Iterable[Benchmark], after: Iterable[Benchmark]) -> list[Change]:
    """Columns that differ by code and route."""
    return _changes(_by_place(map(_benchmark, before)), _by_place(map(_benchmark, after)))


def counted(changes: Sequence[Change]) -> dict[str, int]:
    """How many places are new, gone, and of another value."""
    added = sum(each.before is None for each in changes)
    removed = sum(each.after is None for each in changes)
    return {"added": added, "removed": removed, "changed": len(changes) - added - removed}


def _document(files: Mapping[str, bytes], pack_id: str) -> tuple[str, dict[str, Any]]:
    """The file of a pack and what it says, every number as it is written."""
    for name, content in files.items():
        if name.endswith(".yaml"):
            data = load_exact(content.decode("utf-8"))
            if isinstance(data, dict) and data.get("id") == pack_id:
                return name, data
    raise OfficialFileError(f"--pack: no file holds {pack_id}; restore the folder")


def _benchmark(row: Benchmark) -> tuple[str, str]:
    own, cumulated = (_shown(each) for each in (row.own_process_t_per_t, row.cumulated_t_per_t))
    return f"{row.cn_prefix} ({row.route})" if row.route else row.cn_prefix, f"A {own}, B {cumulated}"


def _shown(number: Decimal | None) -> str:
    return "-" if number is None else str(number)


def _by_place(values: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Values by place; several goods of one code stand side by side."""
    found: dict[str, list[str]] = {}
    for place, value in values:
        found.setdefault(place, []).append(value)
    return {place: " and ".join(sorted(held)) for place, held in found.items()}


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    places = sorted(before.keys() | after.keys())
    return [
        Change(place=place, before=before.get(place), after=after.get(place))
        for place in places
        if not _same(before.get(place), after.get(place))
    ]


def _same(before: str | None, after: str | None) -> bool:
    """Whether two values are one number; 1.40 and 1.4 are."""
    try:
        return before == after or (before is not None and after is not None and Decimal(before) == Decimal(after))
    except ArithmeticError:
        return False
