"""A command of a member's administrator works on the data folder that is there, and makes none."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from data_trusts import erase, ingest, kept, maintain, rest_catalog, retain
from data_trusts.catalog import Warehouse

DATASET = ["--trust", "trade", "--dataset", "customs_rows"]
SPAN = ["--begin", "2026-11-24T12:00:00Z", "--end", "2026-11-24T13:00:00Z"]
Main = Callable[[Sequence[str]], int]


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (erase.main, ["run", *DATASET, "--column", "cn", "--value", "7208"]),
        (ingest.main, [*DATASET, "--file", "rows.parquet"]),
        (kept.main, [*DATASET, *SPAN]),
        (maintain.main, []),
        (rest_catalog.main, []),
        (retain.main, ["run", *DATASET]),
    ],
)
def test_a_mistyped_data_folder_is_named_and_not_made(
    main: Main, arguments: Sequence[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "nope"
    assert main([*arguments, "--data", str(missing)]) == 1
    said = capsys.readouterr().err
    assert f"--data {missing}: is not a folder; name the data folder of the member's gateway" in said
    assert not missing.exists()


def test_upkeep_of_no_tables_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "policies").mkdir()
    Warehouse(tmp_path / "data").close()
    where = ["--member", "ca", "--data", str(tmp_path / "data"), "--policy-dir", str(tmp_path / "policies")]
    assert maintain.main(["--dry-run", *where]) == 0
    assert "holds no table yet; there is nothing to maintain" in capsys.readouterr().err
