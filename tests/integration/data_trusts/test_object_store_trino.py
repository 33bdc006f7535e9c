"""Trino, the member's own server, answers from a bucket as the embedded engine does, and writes no credential down."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from data_trusts.catalog import Warehouse
from tests.integration.data_trusts.both_engines import both
from tests.integration.data_trusts.conftest import customs_file
from tests.integration.data_trusts.stores import KEY_ID, SECRET, ObjectStore, storing
from tests.unit.grants.samples import dataset

SQL = 'SELECT flow, count(*) AS n, sum(quantity_in_kg) AS kg FROM "trade"."customs_rows" GROUP BY flow ORDER BY flow'


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    with storing(tmp_path / "store") as started:
        for variable in started.environment("rows").items():
            monkeypatch.setenv(*variable)
        yield started


def test_both_engines_answer_the_same_from_a_bucket_also_after_an_erasure(store: ObjectStore, tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "data")
    warehouse.ingest("trade", dataset("customs_rows"), customs_file(10))
    with both(warehouse, tmp_path / "trino", bucket=store.environment("rows")) as ask:
        before = ask(SQL)
        assert warehouse.erase("trade", "customs_rows", "consignment_id", "SECRET-2").erased_rows == 1
        assert ask(SQL) != before
    warehouse.close()
    written = [path.read_bytes() for path in (tmp_path / "trino").rglob("*") if path.is_file()]
    assert any(b"${ENV:AWS_SECRET_ACCESS_KEY}" in content for content in written)
    assert not any(SECRET.encode() in content or KEY_ID.encode() in content for content in written)
