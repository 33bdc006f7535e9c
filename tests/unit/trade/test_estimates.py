"""Files of estimates: read, fused plant by plant, and refused by line and field."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from apps.trade.cli import app

HEADING = "installation_id,period,source,group,value_t_per_t,relative_sd,correlation,disclosed"
CONFIRMED = ["P1,2026,report,report,2.0,0.05,0,true", "P1,2026,viirs,thermal,2.1,0.12,0.2,"]
CONTRADICTED = ["P2,2026,report,report,1.0,0.05,0,true", "P2,2026,viirs,thermal,2.1,0.12,0.2,false"]


def written(folder: Path, *lines: str) -> Path:
    path = folder / "estimates.csv"
    path.write_text("\n".join([HEADING, *lines]) + "\n")
    return path


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.stdout, done.stderr


def test_a_review_is_requested_where_the_sources_contradict_the_producer(tmp_path: Path) -> None:
    code, said, _ = run("fuse", "--estimates", str(written(tmp_path, *CONFIRMED, *CONTRADICTED)), "--json")
    assert code == 0
    assert {row["installation_id"]: row["review"] for row in json.loads(said)} == {"P1": False, "P2": True}


def test_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    path = written(tmp_path, *CONFIRMED)
    names = HEADING.split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in CONFIRMED]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "estimates.parquet")
    of_csv = run("fuse", "--estimates", str(path), "--json")
    assert of_csv == run("fuse", "--estimates", str(tmp_path / "estimates.parquet"), "--json")


def test_the_table_names_the_sources_and_the_request(tmp_path: Path) -> None:
    _, said, _ = run("fuse", "--estimates", str(written(tmp_path, *CONTRADICTED)))
    assert "requested" in said
    assert "viirs" in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("P1,2026,report,report,-1,0.05,0,true", "line 1: value_t_per_t"),
        ("P1,2026,report,report,2.0,,0,true", "line 1: relative_sd: Field required"),
        ("P1,2026,report,report,2.0,0.05,2,true", "line 1: correlation"),
        ("P1,2026,report,report,nan,0.05,0,true", "line 1: value_t_per_t"),
        ("P 1,2026,report,report,2,0.05,0,true", "line 1: installation_id"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    code, _, error = run("fuse", "--estimates", str(written(tmp_path, line)))
    assert code == 2
    assert said in error


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    code, _, error = run("fuse", "--estimates", str(tmp_path / "none.csv"))
    assert code == 2
    assert "none.csv" in error


def test_the_power_is_a_table_and_a_picture(tmp_path: Path) -> None:
    code, said, _ = run("power", "--gap-sd", "0.1636", "--svg", str(tmp_path / "power.svg"))
    assert code == 0
    assert "0.70" in said
    drawn = ET.parse(tmp_path / "power.svg").getroot()  # noqa: S314 - as above
    assert len(drawn.findall("{http://www.w3.org/2000/svg}polyline")) == 2
