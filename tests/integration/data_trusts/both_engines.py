"""The embedded engine and the member's own Trino, asked the same question of the same tables."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from data_trusts import trino_access
from data_trusts.catalog import Warehouse
from data_trusts.engines import DuckDbEngine, TrinoEngine
from data_trusts.trino_access import Statements
from infra.local.trino import serving
from tests.integration.data_trusts.conftest import wait_for

Rows = list[tuple[object, ...]]


@contextmanager
def both(
    warehouse: Warehouse, folder: Path, *, bucket: Mapping[str, str] | None = None, own_catalog: bool = False
) -> Iterator[Callable[[str], Rows]]:
    """Run a member's Trino server in `folder` until the block is left.

    What it yields asks both engines, and returns their answer, which is one.
    """
    embedded, statements = DuckDbEngine(warehouse), Statements()
    folder.mkdir()
    with (
        serving(folder, warehouse.folder, bucket=bucket, own_catalog=own_catalog) as server,
        trino_access.serving(statements, server.policy_port),
    ):
        engine = TrinoEngine(port=server.port, statements=statements)
        wait_for("Trino", engine.ready, server.process)

        def ask(sql: str) -> Rows:
            rows = [tuple(row) for row in embedded.run(sql, 60).rows]
            assert [tuple(row) for row in engine.run(sql, 120).rows] == rows
            return rows

        yield ask
