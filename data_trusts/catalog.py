"""A member's Iceberg tables: one SQLite catalog and one folder of files, which Trino and DuckDB read as they are.

Where the member runs a REST catalog, its address (COMMONWEAL_CATALOG_URI) takes the place of both; where it runs
PostgreSQL, the database (COMMONWEAL_CATALOG_SQL) takes the place of SQLite; where it has an object store, a bucket
(COMMONWEAL_WAREHOUSE) takes the place of the folder.

The namespace is the trust, the table is the dataset. Commits queue on one lock, also across processes: SQLite's own
conflict handling loses writers. Rows come in a whole file at a time, or not at all.
"""

import errno
import fcntl
import hashlib
import os
import re
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq
import requests
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, RESTError, ValidationError
from pyiceberg.io import FileIO, load_file_io
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from commonweal.grants import PolicyDataset
from commonweal.kinds.data_trust import ColumnRole
from data_trusts import bucket, taken
from data_trusts.erasure import Erased, erase, holders, value_of
from data_trusts.rows import RowsRefusedError, conform
from data_trusts.table_files import root_of

CATALOG_NAME = "commonweal"  # part of every row of the catalog; data_trusts/trino/catalog names it too
# A REST catalog or a database that a member runs; without an address, SQLite in the data folder is the catalog.
CATALOG_SQL = "COMMONWEAL_CATALOG_SQL"
CATALOG_URI, CATALOG_TOKEN, CATALOG_WAREHOUSE = (f"COMMONWEAL_CATALOG_{name}" for name in ("URI", "TOKEN", "WAREHOUSE"))
TABLE_PROPERTIES = {
    # Else every commit leaves one more metadata file, for ever.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    # Else every commit leaves one more manifest that each question opens.
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "20",
    # Writers over REST do not hold the queue while they prepare; four at once lose commits at the default of 4.
    "commit.retry.num-retries": "50",
    "commit.retry.min-wait-ms": "20",
    "commit.retry.max-wait-ms": "1000",
}
_TYPES: dict[str, IcebergType] = {
    "boolean": BooleanType(),
    "int": IntegerType(),
    "long": LongType(),
    "double": DoubleType(),
    "string": StringType(),
    "date": DateType(),
    "timestamptz": TimestamptzType(),
}


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DISK = re.compile("disk I/O error|disk is full")  # SQLite's words
_CATALOG = (RESTError, requests.RequestException, SQLAlchemyError)
# What readers of damaged metadata, Avro and Parquet files raise; a wrong length ends as any of these.
_UNREADABLE = (*_CATALOG, ValidationError, OSError, ValueError, EOFError, SystemError, TypeError, IndexError, KeyError)


class CatalogError(Exception):
    """The tables cannot be used as asked; the message says why and what to do."""


class TableMissingError(CatalogError):
    """The dataset has no table here yet."""


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """What a file added; `rows` is 0 where the same file had been taken before."""

    rows: int
    total_rows: int
    snapshot_id: int


class Warehouse:
    """The tables of one data folder: `catalog.db` and `warehouse/`, or what the environment names in their place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._lock = threading.Lock()
        try:
            self._bucket = bucket.warehouse_of(os.environ)
            self._opening = bucket.properties_of(os.environ) if self._bucket else {}
        except bucket.AddressError as error:
            raise CatalogError(str(error)) from None
        self.root_uri = self._bucket or (self.folder / "warehouse").as_uri()
        folder.mkdir(parents=True, exist_ok=True)
        with self.exclusive():
            self.catalog: Catalog = self._opened()

    def _opened(self) -> Catalog:
        address = os.environ.get(CATALOG_URI)
        if address and os.environ.get(CATALOG_SQL):
            raise CatalogError(f"{CATALOG_URI} and {CATALOG_SQL} are both set; a member has one catalog, so unset one")
        if address and self._bucket:
            raise CatalogError(f"{CATALOG_URI} and {bucket.WAREHOUSE} are both set; unset one")
        with explained("the tables"):
            if not address:
                return SqlCatalog(CATALOG_NAME, uri=self._database(), warehouse=self.root_uri, **self._opening)
            properties = {"uri": address, "token": os.environ.get(CATALOG_TOKEN, "")}
            properties["warehouse"] = os.environ.get(CATALOG_WAREHOUSE, "")
            return RestCatalog(CATALOG_NAME, **{name: value for name, value in properties.items() if value})

    def _database(self) -> str:
        text = os.environ.get(CATALOG_SQL)
        if not text:
            return f"sqlite:///{self.folder / 'catalog.db'}"
        address = make_url(text)
        if address.get_backend_name() != "postgresql":
            raise CatalogError(
                f"{CATALOG_SQL}: is {address.drivername}; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
            )
        return address.set(drivername="postgresql+pg8000").render_as_string(hide_password=False)

    @property
    def io(self) -> FileIO:
        """Reads and writes by address, in the folder or in the bucket."""
        return load_file_io(self.catalog.properties, self.root_uri)

    def close(self) -> None:
        """Let go of the catalog."""
        self.catalog.close()

    def rows(
        self,
        trust: str,
        dataset: str,
        columns: Collection[str] | None = None,
        go_on: Callable[[], None] = lambda: None,
    ) -> pa.Table:
        """All rows of a dataset as an Arrow table: the columns that are named, at least one, or all for None.

        `go_on` is called after each file, and ends the read by what it raises.

        Raises:
            TableMissingError: nothing was ingested yet.
            CatalogError: the catalog or a file of the table cannot be read.
        """
        table = self.table(trust, dataset)
        names = [field.name for field in table.schema().fields]
        wanted = [name for name in names if columns is None or name in columns] or names[:1]
        with explained(f"{trust}.{dataset}"):
            reader = table.scan(selected_fields=tuple(wanted)).to_arrow_batch_reader()
            batches = list[pa.RecordBatch]()
            for batch in reader:
                go_on()
                batches.append(batch)
            return pa.Table.from_batches(batches, reader.schema)

    def complete(self, trust: str, dataset: str) -> frozenset[str]:
        """The columns of which the table itself says that every row has a value; none where it is not known at once.

        A REST catalog or a bucket is not asked: they answer late, and an asker would wait for them.
        """
        if self._bucket or not isinstance(self.catalog, SqlCatalog):
            return frozenset()
        try:
            table = self.table(trust, dataset)
        except CatalogError:
            return frozenset()  # a question then counts every column's values itself
        return frozenset(field.name for field in table.schema().fields if field.required)

    def ingest(self, trust: str, dataset: PolicyDataset, file: IO[bytes]) -> Ingested:
        """Append the rows of a Parquet file, in one commit.

        The same bytes are taken once: a repeated run adds nothing.

        Raises:
            RowsRefusedError: a row or a field breaks the dataset's schema; nothing was written.
            CatalogError: the table was made from another schema, the catalog does not answer, a file cannot be read, or
                the disk is full; the table is as it was.
        """
        content = file.read()
        digest = hashlib.sha256(content).hexdigest()
        try:
            incoming = pq.read_table(pa.BufferReader(content))
        except (pa.ArrowInvalid, OSError) as error:
            raise RowsRefusedError(f"the file is not Parquet ({error}); write it with a Parquet library") from error
        arrow = conform(incoming, dataset, schema_to_pyarrow(iceberg_schema(dataset), include_field_ids=False))
        with self.exclusive(), explained(f"{trust}.{dataset.name}"):
            table = self._ensure(trust, dataset)
            before = taken.known(self.folder, table, trust, dataset.name)
            if digest not in before:
                table.append(arrow, snapshot_properties={taken.FILE_DIGEST: digest})
        snapshot = table.current_snapshot()
        if snapshot is None or snapshot.summary is None:
            raise CatalogError(f"{trust}.{dataset.name}: the commit left no snapshot; look at the warehouse's disk")
        return Ingested(
            rows=0 if digest in before else arrow.num_rows,
            total_rows=int(snapshot.summary["total-records"] or 0),
            snapshot_id=next(
                (each for each in table.snapshots() if taken.digest_of(each) == digest), snapshot
            ).snapshot_id,
        )

    def erase(self, trust: str, dataset: str, column: str, text: str) -> Erased:
        """Make a value gone from a dataset's files; no row is taken in meanwhile.

        Raises:
            TableMissingError: nothing was ingested yet.
            ErasureError: bad input, or a file still holds the value.
        """
        with self.changing(trust, dataset) as table:
            return erase(table, column, text)

    @contextmanager
    def changing(self, trust: str, dataset: str) -> Iterator[Table]:
        """A dataset's table, whose history may be dropped; what it has taken in stays known, and no one commits.

        Raises:
            TableMissingError: nothing was ingested yet.
            CatalogError: the catalog does not answer, a file cannot be read, or the disk is full.
        """
        with self.exclusive(), explained(f"{trust}.{dataset}"):
            table = self.table(trust, dataset)
            taken.keep(self.folder, table, trust, dataset)
            yield table

    def holders(self, trust: str, dataset: str, column: str, text: str) -> list[str]:
        """The files of a dataset in which a value can be read, whether its rows are in the table or were deleted.

        Raises:
            TableMissingError: nothing was ingested yet.
            ErasureError: the table has no such column, or the text is no such value.
        """
        table = self.table(trust, dataset)
        value_of(text, column, table.schema().as_arrow())
        with explained(f"{trust}.{dataset}"):
            return holders(root_of(table), column, text)

    def tables(self) -> list[tuple[str, str]]:
        """Trust and dataset of every table.

        Raises:
            CatalogError: the catalog does not answer.
        """
        with explained("the list of tables"):
            return sorted(
                (namespace[0], identifier[-1])
                for namespace in self.catalog.list_namespaces()
                for identifier in self.catalog.list_tables(namespace)
            )

    def table(self, trust: str, dataset: str) -> Table:
        """A dataset's table, to be read.

        Raises:
            TableMissingError: nothing was ingested yet.
            CatalogError: the catalog or the table's metadata cannot be read.
        """
        with explained(f"{trust}.{dataset}", "its metadata file"):
            return self.catalog.load_table((trust, dataset))

    def _ensure(self, trust: str, dataset: PolicyDataset) -> Table:
        schema = iceberg_schema(dataset)
        self.catalog.create_namespace_if_not_exists(trust)
        try:
            table = self.table(trust, dataset.name)
        except TableMissingError:
            return self.catalog.create_table(
                (trust, dataset.name),
                schema=schema,
                properties={
                    "commonweal.licence": dataset.licence,
                    "commonweal.synthetic": str(dataset.synthetic).lower(),
                    **TABLE_PROPERTIES,
                },
            )
        if table.schema().as_struct() != schema.as_struct():
            raise CatalogError(
                f"{trust}.{dataset.name}: the table has other columns than the DataTrust says; "
                "declare the new columns as a dataset of another name"
            )
        return table

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the queue of commits: no one else writes meanwhile, in no process of this member."""
        with self._lock, (self.folder / "catalog.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@contextmanager
def warehouse_at(folder: Path) -> Iterator[Warehouse]:
    """The tables of a data folder that is there, for a command; a mistyped one is not given a catalog of its own.

    Raises:
        CatalogError: there is no such folder, or its catalog cannot be used.
    """
    if not folder.is_dir():
        raise CatalogError(f"--data {folder}: is not a folder; name the data folder of the member's gateway")
    with closing(Warehouse(folder)) as warehouse:
        yield warehouse


@contextmanager
def explained(what: str, part: str = "a file of it") -> Iterator[None]:
    """Say which of the things below us failed, in place of how.

    Args:
        what: the table, as messages call it.
        part: which of its files is read.

    Raises:
        TableMissingError: there is no such table.
        CatalogError: the disk is full, the catalog does not answer, or a file is not what it must be.
    """
    try:
        yield
    except NoSuchTableError:
        raise TableMissingError(f"{what} has no table yet; ingest a file into it") from None
    except CommitFailedException as error:
        raise CatalogError(f"{what}: other writers were faster each time ({error}); run it again") from error
    except _UNREADABLE as error:
        if said := bucket.reason(error, os.environ):
            raise CatalogError(f"{what}: {said}") from error
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        if getattr(error, "errno", None) in _FULL or (isinstance(error, SQLAlchemyError) and _DISK.search(why)):
            raise CatalogError(f"{what}: the disk takes no more ({why}); free some space and run it again") from error
        if isinstance(error, _CATALOG):
            raise CatalogError(f"{what}: the catalog, {_place()}, fails ({why}); start or restore it") from error
        raise CatalogError(f"{what}: {part} cannot be read ({why}); restore it from the backup") from error


def _place() -> str:
    """The catalog as messages call it; a database's address has a password in it."""
    if address := os.environ.get(CATALOG_URI):
        return f"{CATALOG_URI} {address}"
    return f"the database of {CATALOG_SQL}" if os.environ.get(CATALOG_SQL) else "catalog.db"


def iceberg_schema(dataset: PolicyDataset) -> Schema:
    """The table's schema; a measure is required, since a missing value must not pass for a zero."""
    return Schema(
        *(
            NestedField(place, column.name, _iceberg_type(column.type), required=column.role is ColumnRole.MEASURE)
            for place, column in enumerate(dataset.columns, start=1)
        )
    )


def _iceberg_type(of_type: str) -> IcebergType:
    if of_type.startswith("decimal"):
        precision, scale = of_type.removeprefix("decimal(").removesuffix(")").split(",")
        return DecimalType(int(precision), int(scale))
    return _TYPES[of_type]
