"""A member's catalog in PostgreSQL: the same tables, no lost writers, and a database that is gone is named."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyiceberg.catalog.sql import SqlCatalog

from data_trusts.catalog import CATALOG_NAME, CatalogError, Warehouse
from infra.local.trino import free_port
from tests.integration.data_trusts.both_engines import both
from tests.integration.data_trusts.conftest import customs_file, wait_for
from tests.unit.grants.samples import dataset

CUSTOMS = dataset("customs_rows")


@dataclass(frozen=True)
class Database:
    """A PostgreSQL server of its own, on loopback."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"postgresql://catalog:se%2Fcret@127.0.0.1:{self.port}/postgres"

    def ready(self) -> bool:
        return (
            subprocess.run([program("pg_isready"), "-q", "-h127.0.0.1", f"-p{self.port}"], check=False).returncode == 0
        )


def program(name: str) -> Path:
    return max(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """PostgreSQL refuses to run as root, and its user may not enter the folders of pytest."""
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as scratch:
        folder, password, port = Path(scratch), Path(scratch) / "password", free_port()
        password.write_text("se/cret")
        if user is not None:
            subprocess.run(["chown", "-R", user, scratch], check=True)
        make: list[str | Path] = [
            program("initdb"),
            "--no-sync",
            "--auth=scram-sha-256",
            "--username=catalog",
            f"--pwfile={password}",
        ]
        subprocess.run([*make, folder / "data"], check=True, user=user, capture_output=True, timeout=60)
        argv: list[str | Path] = [
            program("postgres"),
            "-D",
            folder / "data",
            "-h127.0.0.1",
            f"-p{port}",
            "-cunix_socket_directories=",
        ]
        process = subprocess.Popen(argv, user=user, stderr=subprocess.DEVNULL)
        started = Database(folder, port, process)
        try:
            wait_for("PostgreSQL", started.ready, process, 30)
            yield started
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)


@pytest.fixture
def own(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Warehouse]:
    monkeypatch.setenv("COMMONWEAL_CATALOG_SQL", database.url)
    opened = Warehouse(tmp_path / "data")
    yield opened
    for table in opened.tables():
        opened.catalog.drop_table(table)
    opened.close()


def test_four_writers_lose_nothing_and_stock_pyiceberg_reads_it(own: Warehouse, database: Database) -> None:
    def write(first: int) -> None:
        mine = Warehouse(own.folder)
        for rows in range(first, first + 3):
            mine.ingest("trade", CUSTOMS, customs_file(rows))
        mine.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, (1, 4, 7, 10)))
    uri = database.url.replace("postgresql:", "postgresql+pg8000:")
    stock = SqlCatalog(CATALOG_NAME, uri=uri, warehouse=own.root_uri)
    assert stock.load_table("trade.customs_rows").scan().count() == sum(range(1, 13))
    assert not (own.folder / "catalog.db").exists()
    stock.close()


def test_the_members_trino_reads_the_same_tables(
    own: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "se/cret")
    own.ingest("trade", CUSTOMS, customs_file(7))
    with both(own, tmp_path / "trino", own_catalog=True) as ask:
        assert ask('SELECT count(*) FROM "trade"."customs_rows"') == [(7,)]
        assert own.erase("trade", "customs_rows", "consignment_id", "SECRET-2").erased_rows == 1
        assert ask('SELECT count(*) FROM "trade"."customs_rows"') == [(6,)]
    written = b"".join(path.read_bytes() for path in (tmp_path / "trino").rglob("*.properties"))
    assert b"jdbc:postgresql://127.0.0.1:" in written
    assert not any(secret in written for secret in (b"se/cret", b"se%2Fcret"))


def test_a_database_that_is_gone_is_named_without_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONWEAL_CATALOG_SQL", f"postgresql://catalog:se%2Fcret@127.0.0.1:{free_port()}/postgres")
    with pytest.raises(CatalogError, match="the database of COMMONWEAL_CATALOG_SQL, fails") as refused:
        Warehouse(tmp_path)
    assert "cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("mysql://a:b@c/d", "is mysql; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        ("nonsense", "the database of COMMONWEAL_CATALOG_SQL, fails"),
    ],
)
def test_an_address_of_another_kind_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, said: str
) -> None:
    monkeypatch.setenv("COMMONWEAL_CATALOG_SQL", address)
    with pytest.raises(CatalogError, match=said):
        Warehouse(tmp_path)


def test_two_catalogs_at_once_are_refused(own: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONWEAL_CATALOG_URI", "http://127.0.0.1:1")
    with pytest.raises(CatalogError, match="are both set; a member has one catalog"):
        Warehouse(own.folder)
