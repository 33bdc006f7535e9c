"""Takes a bundle into a member's own warehouse: every table whole or not at all, and none over another.

Files are copied beside the warehouse's tables, put into place, then entered into the catalog; a run that was killed
in between is completed by the next one.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pyiceberg.io import FileIO
from pyiceberg.serializers import FromInputFile

from data_trusts import taken
from data_trusts.bundle_form import MANIFEST, Bundle, BundleError, BundleTable, digest, located, metadata_of, state_of
from data_trusts.catalog import TableMissingError, Warehouse, explained
from data_trusts.relocation import LocatedIO, Relocation
from data_trusts.table_files import files_of, path_of, root_at

# What of a bundle is kept as evidence beside the tables.
_EVIDENCE = ("contracts", "audit", "receipts", MANIFEST, "certificate.pem")
_UNFINISHED = "metadata/UNFINISHED"


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What became, or would become, of one table; `added` is false where the same state was there already."""

    trust: str
    dataset: str
    rows: int
    added: bool


def take_in(
    warehouse: Warehouse,
    folder: Path,
    bundle: Bundle,
    *,
    dry_run: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[Imported, ...]:
    """Take in the tables of a bundle that was verified.

    Raises:
        BundleError: a table is there already with another content, or its folder is; nothing was changed.
        CatalogError: the catalog cannot be read.
        OSError: the disk is full; the table that was copied is removed, earlier ones stay.
    """
    missing = {table.name for table in bundle.tables if not _there(warehouse, table)}
    for table in bundle.tables:
        if table.name in missing:
            _forbid_foreign_files(warehouse, table)
    if not dry_run:
        for table in bundle.tables:
            if table.name in missing:
                tell(f"{table.name}: taking in {table.rows} rows")
                _take_in_table(warehouse, folder, bundle, table)
        _keep_evidence(warehouse, folder)
    return tuple(
        Imported(trust=table.trust, dataset=table.dataset, rows=table.rows, added=table.name in missing)
        for table in bundle.tables
    )


def _there(warehouse: Warehouse, table: BundleTable) -> bool:
    try:
        found = warehouse.table(table.trust, table.dataset).metadata
    except TableMissingError:
        return False
    if state_of(found) != (table.table_uuid, table.snapshot_id):
        raise BundleError(
            f"{table.name}: is there already with another content; rename or drop that table, then import again"
        )
    return True


def _place(warehouse: Warehouse, table: BundleTable) -> str:
    return f"{warehouse.root_uri}/{table.trust}/{table.dataset}"


def _within(table: BundleTable) -> str:
    """The path of a table's metadata file below the table's folder."""
    return str(Path(table.metadata).relative_to(table.root))


def _forbid_foreign_files(warehouse: Warehouse, table: BundleTable) -> None:
    """Files without a table in the catalog are ours only where a killed run put them there."""
    place = _place(warehouse, table)
    with explained(table.name):
        ours = _placed(warehouse, table) or warehouse.io.new_input(f"{place}/{_UNFINISHED}").exists()
        if not ours and files_of(root_at(place, warehouse.io)):
            raise BundleError(f"{place}: is there, and no table of the catalog; move it away, then import again")


def _placed(warehouse: Warehouse, table: BundleTable) -> bool:
    """Whether a table's files are all there: its metadata file comes last."""
    try:
        metadata = FromInputFile.table_metadata(warehouse.io.new_input(f"{_place(warehouse, table)}/{_within(table)}"))
    except (FileNotFoundError, ValueError):
        return False
    return state_of(metadata) == (table.table_uuid, table.snapshot_id)


def _take_in_table(warehouse: Warehouse, folder: Path, bundle: Bundle, table: BundleTable) -> None:
    place = _place(warehouse, table)
    with warehouse.exclusive():
        if not _placed(warehouse, table):
            _put(warehouse, folder, bundle, table)
        own, carried = (taken.path_for(data, table.trust, table.dataset) for data in (warehouse.folder, folder))
        taken.add(own, taken.kept(carried))
        warehouse.catalog.create_namespace_if_not_exists(table.trust)
        warehouse.catalog.register_table((table.trust, table.dataset), f"{place}/{_within(table)}")


def _put(warehouse: Warehouse, folder: Path, bundle: Bundle, table: BundleTable) -> None:
    place, in_folder = _place(warehouse, table), urlsplit(warehouse.root_uri).scheme == "file"
    above = path_of(warehouse.root_uri) if in_folder else warehouse.folder
    staging = above / ".importing" / f"{table.trust}.{table.dataset}"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        Relocation(
            metadata=metadata_of(folder, table),
            source=LocatedIO(lambda address: located(folder, bundle, address)),
            target=staging,
            uri=place,
        ).run()
        if in_folder:
            path_of(place).parent.mkdir(parents=True, exist_ok=True)
            staging.rename(path_of(place))
        else:
            with explained(table.name):
                _upload(staging, place, warehouse.io, _within(table))
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _upload(staging: Path, place: str, io: FileIO, last: str) -> None:
    """Nothing renames a prefix, so a mark says meanwhile whose the files are, and the metadata file comes last."""
    with io.new_output(f"{place}/{_UNFINISHED}").create(overwrite=True) as mark:
        mark.write(b"a bundle is being taken in")
    names = sorted(str(path.relative_to(staging)) for path in staging.rglob("*") if path.is_file())
    for name in sorted(names, key=lambda each: each == last):
        with (staging / name).open("rb") as content, io.new_output(f"{place}/{name}").create(overwrite=True) as copy:
            shutil.copyfileobj(content, copy)
    io.delete(f"{place}/{_UNFINISHED}")


def _keep_evidence(warehouse: Warehouse, folder: Path) -> None:
    kept = warehouse.folder / "imported" / digest(folder / MANIFEST)[:16]
    if kept.exists():
        return
    fresh = kept.with_name(f".{kept.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700, parents=True)
    for name in _EVIDENCE:
        source = folder / name
        if source.is_dir():
            shutil.copytree(source, fresh / name)
        elif source.exists():
            shutil.copyfile(source, fresh / name)
    fresh.rename(kept)
