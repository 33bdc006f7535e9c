"""`python -m apps.trade defaults` and `benchmarks`: check a table, or take the Commission's file in as a release."""

import json
from collections.abc import Callable
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer
import yaml

from apps.trade.default_tables import read_table
from apps.trade.official.grids import OfficialFile, OfficialFileError, read_file
from apps.trade.official.imports import Imported, benchmarks_import, defaults_import
from apps.trade.official.releases import counted, write_release
from apps.trade.rule_packs import FOLDER, RULES, pack_files
from apps.trade.tables import failed

defaults = typer.Typer(help="Tables of default values.", no_args_is_help=True)
benchmarks = typer.Typer(help="Tables of free-allocation benchmarks.", no_args_is_help=True)
SHOWN_BAD = 50
DEFINITIVE = "eu-2025-2547"

File = Annotated[Path, typer.Argument(help="the official file, .xlsx or .csv")]
Pack = Annotated[str, typer.Option(help="the rule pack that it belongs to")]
Out = Annotated[Path | None, typer.Option(help="new folder for the release; without it only the comparison is shown")]
Show = Annotated[int, typer.Option(min=0, help="how many differing values to list")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


@defaults.command("check")
def check(
    table: Annotated[Path, typer.Argument(help="table of default values, CSV")] = FOLDER / "defaults_2621.csv",
    as_json: AsJson = False,
) -> None:
    """Classify every cell of a table of default values before a pack names it; the shipped one without argument."""
    try:
        content = table.read_bytes()
    except OSError as error:
        failed(f"{table}: {error.strerror}; give a CSV file")
    reading, digest = read_table(content), sha256(content).hexdigest()
    if as_json:
        bad = [asdict(each) for each in reading.bad]
        typer.echo(json.dumps({"sha256": digest, "rows": len(reading.rows), "cells": reading.counts, "bad": bad}))
    else:
        for each in reading.bad:
            typer.echo(f"{table}: {each}", err=True)
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(reading.counts.items()))
        typer.echo(f"{table}: {len(reading.rows)} rows; cells: {kinds}; {len(reading.bad)} bad; sha256 {digest}")
    raise typer.Exit(1 if reading.bad else 0)


@defaults.command("import")
def import_defaults(
    file: File,
    *,
    release: Annotated[str, typer.Option(help="name of the release, as `2026/1740 of 3 August 2026`")],
    country: Annotated[list[str] | None, typer.Option(help="NAME=XX: which country a sheet of another name is")] = None,
    pack: Pack = DEFINITIVE,
    out: Out = None,
    show: Show = 20,
    as_json: AsJson = False,
) -> None:
    """Take in the Commission's default values: every cell checked and compared; what is in force stays as it is."""

    def imported(official: OfficialFile) -> Imported:
        countries = dict(_named_country(each) for each in country or ())
        return defaults_import(official, pack_files(), pack_id=pack, release=release, countries=countries)

    _import(file, imported, out, show=show, as_json=as_json)


@benchmarks.command("import")
def import_benchmarks(
    file: File,
    *,
    period: Annotated[int, typer.Option(min=1, max=2, help="1: 2026 and 2027; 2: 2028 to 2030")] = 1,
    pack: Pack = DEFINITIVE,
    out: Out = None,
    show: Show = 20,
    as_json: AsJson = False,
) -> None:
    """Take in the Commission's benchmarks of free allocation, of one period, in the same way."""

    def imported(official: OfficialFile) -> Imported:
        return benchmarks_import(official, pack_files(), pack_id=pack, period=period)

    _import(file, imported, out, show=show, as_json=as_json)


def _import(
    file: Path, imported: Callable[[OfficialFile], Imported], out: Path | None, *, show: int, as_json: bool
) -> None:
    """Take in, say what came of it, and write the release if it was asked for and nothing is wrong."""
    try:
        official = read_file(file)
        found = imported(official)
        if out is not None and found.files:
            write_release(found.files, out)
    except (ValueError, yaml.YAMLError) as error:
        failed(str(error))
    written = str(out) if out is not None and found.files else None
    if as_json:
        told = {name: getattr(found, name) for name in ("rows", "cells", "left_out", "notes", "bad")}
        differs = {"changes": [asdict(each) for each in found.changes], "counts": counted(found.changes)}
        typer.echo(json.dumps({**told, **differs, "source": official.source, "written": written}))
    else:
        _tell(found, official.source, written, show)
    raise typer.Exit(1 if found.bad else 0)


def _tell(found: Imported, source: str, written: str | None, show: int) -> None:
    for each in found.bad[:SHOWN_BAD]:
        typer.echo(each, err=True)
    if len(found.bad) > SHOWN_BAD:
        typer.echo(f"and {len(found.bad) - SHOWN_BAD} more; --json lists all", err=True)
    cells = ", ".join(f"{count} {kind}" for kind, count in sorted(found.cells.items()))
    typer.echo(f"{source}: {found.rows} rows; {cells}; {len(found.bad)} bad")
    for line in (*(f"no table, left out: {name}" for name in found.left_out), *found.notes):
        typer.echo(f"  {line}")
    numbers = ", ".join(f"{count} {kind}" for kind, count in counted(found.changes).items())
    typer.echo(f"against the release in force: {numbers}")
    for change in found.changes[:show]:
        typer.echo(f"  {change}")
    if written is not None:
        typer.echo(f"{written}: written; {RULES}={written} has the service and every command use it")
    elif found.bad:
        typer.echo("nothing was written: correct the cells, or ask who gave the file", err=True)


def _named_country(written: str) -> tuple[str, str]:
    name, equals, code = written.rpartition("=")
    if not (equals and name and len(code) == 2 and code.isalpha() and code.isupper()):
        raise OfficialFileError(f"--country: {written!r} is not NAME=XX; write for example 'Korea=KR'")
    return name, code
