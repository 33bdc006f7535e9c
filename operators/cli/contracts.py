"""Data contracts from a terminal: a trust's datasets as ODCS documents, and documents as entries of a trust."""

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from commonweal.grants import dataset_faults
from commonweal.kinds import Resource
from commonweal.kinds.data_trust import DataTrust
from commonweal.odcs import Imported, export, read
from commonweal.terms import breaking, terms_in
from operators.cli.terminal import CommandError, err, out, plain_errors, speak
from operators.kube import Kube, custom

app = typer.Typer(help="Data contracts (ODCS 3.2.0) of a trust's datasets.", no_args_is_help=True)
TRUSTS = custom(DataTrust)
ManifestOption = Annotated[
    Path | None, typer.Option("--file", help="A manifest that holds the DataTrust; else the hub.")
]


def manifest(path: Path, kind: type[Resource]) -> dict[str, Any]:
    """The one object of a kind in a YAML or JSON file.

    Raises:
        CommandError: there is no such file, or not exactly one such object in it.
    """
    bodies = [body for body in _documents(path) if isinstance(body, dict) and body.get("kind") == kind.definition.kind]
    if len(bodies) != 1:
        raise CommandError(f"{path}: holds {len(bodies)} objects of kind {kind.definition.kind}; give a file with one")
    return bodies[0]


def _documents(path: Path) -> list[Any]:
    if not path.is_file():
        raise CommandError(f"{path} does not exist; name a file")
    try:
        return list(yaml.safe_load_all(path.read_text("utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: is no YAML ({str(error).splitlines()[0]}); correct it") from None


@app.command("export")
def export_(
    context: typer.Context,
    trust: Annotated[str, typer.Argument(metavar="TRUST", help="The DataTrust's name.")],
    folder: Annotated[Path, typer.Option("--out", help="A folder; DATASET.odcs.yaml are written into it.")],
    file: ManifestOption = None,
) -> None:
    """Write one contract a dataset, valid by the standard's own schema."""
    if file is None:
        body = speak(context.obj, lambda kube: _from_hub(kube, trust))
    else:
        with plain_errors():
            body = manifest(file, DataTrust)
    with plain_errors():
        found = DataTrust.read(body)
        if found.metadata.name != trust:
            raise CommandError(f"{file}: holds the trust {found.metadata.name}, not {trust}; give the other file")
        contracts = {dataset.name: export(found, dataset) for dataset in found.spec.datasets}
        for name, contract in contracts.items():
            refuse_invalid(contract, name)
        folder.mkdir(parents=True, exist_ok=True)
        for name, contract in contracts.items():
            path = folder / f"{name}.odcs.yaml"
            path.write_text(yaml.safe_dump(contract, sort_keys=False, allow_unicode=True, width=120), "utf-8")
            out.print(f"wrote {path}", soft_wrap=True, highlight=False)


async def _from_hub(kube: Kube, name: str) -> dict[str, Any]:
    return await kube.get(TRUSTS, name)


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(metavar="CONTRACT", help="An ODCS document, version 3.")],
    table: Annotated[str | None, typer.Option("--table", help="Which of its objects, where there are several.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a contract that a dataset cannot carry whole.")
    ] = False,
) -> None:
    """Print the entry of `spec.datasets` that a contract makes; what it cannot carry is named on standard error."""
    with plain_errors():
        found = _imported(path, table)
        for place in found.left_out:
            err.print(f"left out: {place}", soft_wrap=True, highlight=False, markup=False)
        if strict and found.left_out:
            raise CommandError(f"{path}: {len(found.left_out)} places have no counterpart; remove them, or no --strict")
    wire = found.dataset.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
    typer.echo(yaml.safe_dump([wire], sort_keys=False, allow_unicode=True, width=120), nl=False)


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(metavar="OLD", help="The contract as it was agreed.")],
    after: Annotated[Path, typer.Argument(metavar="NEW", help="The contract as it shall be.")],
    table: Annotated[str | None, typer.Option("--table", help="Which object, where there are several.")] = None,
) -> None:
    """Say which changes need a new agreement of every grant; exit 1 where there are any."""
    with plain_errors():
        changes = breaking(*(terms_in(_imported(path, table).dataset) for path in (before, after)))
    for change in changes:
        out.print(change, soft_wrap=True, highlight=False, markup=False)
    if changes:
        raise typer.Exit(1)
    out.print("grants go on under what was agreed")


def _imported(path: Path, table: str | None) -> Imported:
    documents = _documents(path)
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise CommandError(f"{path}: holds no single contract; give a file with one")
    refuse_invalid(documents[0], str(path))
    found = read(documents[0], table)
    faults = dataset_faults(found.dataset)
    if faults:
        raise CommandError(f"{path}: {faults[0]}")
    return found


def refuse_invalid(document: Mapping[str, Any], name: str) -> None:
    """Hold a document against the schema that the standard publishes.

    Raises:
        CommandError: it is not valid; the message names the place.
    """
    from jsonschema import Draft201909Validator  # noqa: PLC0415 - half a second of imports that no other command needs
    from jsonschema.exceptions import best_match  # noqa: PLC0415 - the same

    schema = json.loads(resources.files("open_data_contract_standard").joinpath("schema.json").read_text("utf-8"))
    error = best_match(Draft201909Validator(schema).iter_errors(document))
    if error is not None:
        raise CommandError(f"{name}: {error.json_path}: {error.message[:300]}; correct it by the standard")
