"""`python -m apps.trade batch`: customs rows of a Parquet file to totals by year, good and origin, with intervals."""

import csv
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import Progress


def batch(
    *,
    rows: Annotated[Path, typer.Option("--in", help="Parquet file of customs rows in the Comext layout")],
    out: Annotated[Path, typer.Option(help="Parquet file of totals to write")],
    disclosures: Annotated[
        Path | None, typer.Option(help="Parquet file of facility_disclosures, for rows that name an installation")
    ] = None,
    leave_out: Annotated[bool, typer.Option("--leave-out", help="total the rest where rows are wrong")] = False,
) -> None:
    """Total a file of customs rows; wrong rows are named in OUT.refused.csv, and nothing is totalled unless told so."""
    from apps.trade import batch as rules  # noqa: PLC0415 - Arrow and DuckDB are for this command alone
    from apps.trade.assessment import Book  # noqa: PLC0415
    from apps.trade.rule_packs import all_packs, defaults_of  # noqa: PLC0415

    refused_at = out.with_name(f"{out.name}.refused.csv")
    try:
        refused_at.unlink(missing_ok=True)  # of an earlier run
        disclosed = rules.read_disclosed(disclosures) if disclosures is not None else []
        makers = {row.installation_id for row in disclosed}
        with Progress(console=Console(stderr=True)) as shown:
            task = shown.add_task(f"reading {rows.name}", total=None)
            grouped = rules.group(rows, makers, lambda done, total: shown.update(task, completed=done, total=total))
        if grouped.wrong:
            rules.write_refused(rules.refused_rows(rows), refused_at)
            typer.echo(f"--in: {grouped.wrong} of {grouped.rows} rows are wrong, all in {refused_at}", err=True)
            typer.echo(_first(refused_at), err=True)
            if not leave_out:
                _fail("nothing is totalled; correct the rows, or leave them out with --leave-out")
        cells = rules.totals(grouped, Book(all_packs(), defaults_of, disclosed))
        rules.write_totals(cells, out)
    except (rules.BatchError, OSError) as error:
        _fail(str(error))
    counted = sum(cell.rows - cell.unassessed_rows for cell in cells.values())
    typer.echo(f"{out}: {len(cells)} totals from {counted} of {grouped.rows} rows")


def _first(refused: Path) -> str:
    with refused.open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    return f"row {row['row']}, {row['field']}: {row['value']!r}; {row['remedy']}"


def _fail(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)
