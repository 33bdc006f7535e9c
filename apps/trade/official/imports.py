"""What taking an official file in would come to: what its cells say, what differs from the rules, what is wrong.

Decides; writes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apps.trade.official.benchmark_sheets import PERIODS, take_benchmarks
from apps.trade.official.countries import CountryNames
from apps.trade.official.default_sheets import Taken, take_defaults
from apps.trade.official.grids import Grid, OfficialFile, OfficialFileError, read_grids
from apps.trade.official.releases import Change, benchmark_changes, default_changes, pack_of, released
from apps.trade.rule_packs import benchmarks_in, table_of

Files = Mapping[str, bytes]
MOST_NOTED = 20


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What a file held, and the release that it makes; `files` is empty where a cell is wrong."""

    rows: int
    cells: Mapping[str, int]
    left_out: Sequence[str]
    notes: Sequence[str]
    bad: Sequence[str]
    changes: Sequence[Change]
    files: Files


def defaults_import(
    file: OfficialFile, files: Files, *, pack_id: str, release: str, countries: Mapping[str, str]
) -> Imported:
    """Default values out of an official file; `countries` are those that its sheets name otherwise.

    Raises:
        OfficialFileError: the file cannot be taken in, or the release is in force with other values.
        PackError: the release cannot be used.

    """
    pack = pack_of(files, pack_id)
    rates = table_of(pack, files)
    if rates is None or pack.defaults is None:
        raise OfficialFileError(f"--pack: {pack_id} has no default values; name the pack that has")
    grids = read_grids(file)
    taken = take_defaults(grids, CountryNames(rates.fallback, countries), rates)
    reading = taken.judged()
    changes = default_changes(rates.rows, reading.rows)
    if changes and release == pack.defaults.release:
        said = f"{release!r} is in force with {len(changes)} other values: republished"
        raise OfficialFileError(f"--release: {said}; name this one apart, as by the date of its version history")
    note = f"Taken from {file.source}; {len(reading.rows)} rows. {_version(grids)}".strip()
    made = {} if taken.bad else released(files, pack_id, "defaults", taken.table(), {"release": release, "note": note})
    return Imported(
        rows=len(reading.rows),
        cells={**reading.counts, **taken.counts},
        left_out=taken.left_out,
        notes=_notes(taken, grids),
        bad=taken.bad,
        changes=changes,
        files=made,
    )


def benchmarks_import(file: OfficialFile, files: Files, *, pack_id: str, period: int) -> Imported:
    """Benchmarks of one period out of an official file. Raises as `defaults_import`."""
    pack = pack_of(files, pack_id)
    before = benchmarks_in(pack, files)
    if before is None:
        raise OfficialFileError(f"--pack: {pack_id} has no benchmarks; name the pack that has")
    taken = take_benchmarks(read_grids(file), period)
    note = f"Taken from {file.source}; {len(taken.rows)} rows of period {period}."
    changed = {"years": [str(year) for year in PERIODS[period]], "note": note}
    made = {} if taken.bad else released(files, pack_id, "free_allocation", taken.table(), changed)
    after = benchmarks_in(pack_of(made, pack_id), made) if made else None
    return Imported(
        rows=len(taken.rows),
        cells=taken.counts,
        left_out=taken.left_out,
        notes=(),
        bad=taken.bad,
        changes=benchmark_changes(before.rows, after.rows) if after is not None else (),
        files=made,
    )


def _notes(taken: Taken, grids: Sequence[Grid]) -> list[str]:
    """What a reader should know that is not wrong."""
    notes = [f"mark-up as stated: {each}" for each in taken.differing[:MOST_NOTED]]
    if len(taken.differing) > MOST_NOTED:
        notes.append(f"and {len(taken.differing) - MOST_NOTED} more stated mark-ups that are not the law's rate")
    return [*notes, *filter(None, [_version(grids)])]


def _version(grids: Sequence[Grid]) -> str:
    """The last entry of the sheet of versions: the address of the file stays the same when it is republished."""
    history = next((grid for grid in grids if "version" in grid.name.casefold() and grid.lines), None)
    if history is None:
        return ""
    return f"Version history ends with: {', '.join(filter(None, history.lines[-1].cells))}."
