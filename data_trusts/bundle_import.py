"""Takes a bundle into a member's own warehouse: every table whole or not at all, and none over another.

Files are copied beside the warehouse's tables, renamed into place, then entered into the catalog; a run that was killed
in between is completed by the next one.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pyiceberg.table.metadata import TableMetadata

from data_trusts import taken
from data_trusts.bundle_form import MANIFEST, Bundle, BundleError, BundleTable, digest, located, metadata_of
from data_trusts.catalog import TableMissingError, Warehouse
from data_trusts.relocation import LocatedIO, Relocation
from data_trusts.table_files import path_of

# What of a bundle is kept as evidence beside the tables.
_EVIDENCE = ("contracts", "audit", "receipts", MANIFEST, "certificate.pem")


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
            _forbid_foreign_folder(warehouse, table)
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
    if _state(found) != (table.table_uuid, table.snapshot_id):
        raise BundleError(
            f"{table.name}: is there already with another content; rename or drop that table, then import again"
        )
    return True


def _state(metadata: TableMetadata) -> tuple[str, int | None]:
    snapshot = metadata.current_snapshot()
    return str(metadata.table_uuid), snapshot.snapshot_id if snapshot else None


def _place(warehouse: Warehouse, table: BundleTable) -> Path:
    return path_of(warehouse.root_uri) / table.trust / table.dataset


def _within(table: BundleTable) -> str:
    """The path of a table's metadata file below the table's folder."""
    return str(Path(table.metadata).relative_to(table.root))


def _forbid_foreign_folder(warehouse: Warehouse, table: BundleTable) -> None:
    """A folder without a table in the catalog is ours only where a killed run renamed it into place."""
    place = _place(warehouse, table)
    if place.exists() and not _renamed(place, table):
        raise BundleError(f"{place}: is there, and no table of the catalog; move it away, then import again")


def _renamed(place: Path, table: BundleTable) -> bool:
    try:
        return _state(metadata_of(place, table.model_copy(update={"metadata": _within(table)}))) == (
            table.table_uuid,
            table.snapshot_id,
        )
    except BundleError:
        return False


def _take_in_table(warehouse: Warehouse, folder: Path, bundle: Bundle, table: BundleTable) -> None:
    place, uri = _place(warehouse, table), f"{warehouse.root_uri}/{table.trust}/{table.dataset}"
    staging = path_of(warehouse.root_uri) / ".importing" / f"{table.trust}.{table.dataset}"
    with warehouse.exclusive():
        if not _renamed(place, table):
            shutil.rmtree(staging, ignore_errors=True)
            try:
                Relocation(
                    metadata=metadata_of(folder, table),
                    source=LocatedIO(lambda address: located(folder, bundle, address)),
                    target=staging,
                    uri=uri,
                ).run()
                place.parent.mkdir(parents=True, exist_ok=True)
                staging.rename(place)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        digests = folder / "taken" / f"{table.trust}.{table.dataset}"
        if known := taken.kept(digests):
            taken.add(taken.path_for(warehouse.folder, table.trust, table.dataset), sorted(known))
        warehouse.catalog.create_namespace_if_not_exists(table.trust)
        warehouse.catalog.register_table((table.trust, table.dataset), f"{uri}/{_within(table)}")


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
