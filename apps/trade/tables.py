"""Files of rows, asked by SQL, for commands: a wrong file is one sentence and exit status 2."""

from collections.abc import Sequence
from typing import Any, NoReturn

import typer


def rows_of_query(sql: str, names: Sequence[str] | str, option: str) -> list[tuple[Any, ...]]:
    """Rows of a query over files; where they have another shape, says which option named them and exits."""
    import duckdb  # noqa: PLC0415 - of all commands only these read tables

    try:
        with duckdb.connect() as connection:
            return connection.execute(sql, [names]).fetchall()
    except duckdb.Error as error:
        failed(f"{option}: {error}; give a file with the columns of docs/trade.md")


def failed(sentence: str) -> NoReturn:
    """Say it and exit."""
    typer.echo(sentence, err=True)
    raise typer.Exit(2)
