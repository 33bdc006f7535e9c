"""`python -m apps.trade pact` serves a producer's own footprints; `check-footprints` checks those of others."""

import json
import logging
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import ValidationError

from apps.trade.assessment import Book
from apps.trade.audit.evidence import disclosed_rows
from apps.trade.disclosures import read_disclosures
from apps.trade.pact.footprint import ProductFootprint
from apps.trade.pact.register import RegisterError, read_register
from apps.trade.rule_packs import all_packs, defaults_of
from apps.trade.tables import failed


def pact(
    *,
    disclosures: Annotated[Path, typer.Option(help="the producer's file of disclosures, YAML")],
    register: Annotated[Path, typer.Option(envvar="COMMONWEAL_PACT", help="products and clients, YAML; a secret")],
    certificate: Annotated[Path, typer.Option(help="certificate of this server, PEM")],
    certificate_key: Annotated[Path, typer.Option(help="its private key, PEM")],
    host: Annotated[str, typer.Option(envvar="COMMONWEAL_HOST")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="COMMONWEAL_PORT", min=1, max=65_535)] = 8443,
) -> None:
    """Serve the PACT endpoints alone, from a producer's own disclosures."""
    import uvicorn  # noqa: PLC0415 - the other commands do not serve

    from apps.trade.pact.server import create_app  # noqa: PLC0415

    try:
        found = read_register(register)
        rows = [row for each in read_disclosures(disclosures) for row in disclosed_rows(each, all_packs(), "here")]
    except RegisterError as error:
        failed(f"--register: {error}")
    except (OSError, ValueError, yaml.YAMLError) as error:
        failed(f"--disclosures: {disclosures}: {error}")
    for option, path in (("--certificate", certificate), ("--certificate-key", certificate_key)):
        if not path.is_file():
            failed(f"{option}: {path} is no file; footprints are served over https only, so give a certificate")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    uvicorn.run(
        create_app(found, Book(all_packs(), defaults_of, rows)),
        host=host,
        port=port,
        access_log=False,
        ssl_certfile=str(certificate),
        ssl_keyfile=str(certificate_key),
    )


def check_footprints(
    files: Annotated[list[Path], typer.Argument(help="JSON: a footprint, a list of them, or an answer with `data`")],
) -> None:
    """Check footprints of others: the data model, the signs, and whether the parts add up."""
    wrong = 0
    for file in files:
        for place, footprint in _footprints(file):
            try:
                found = ProductFootprint.model_validate(footprint)
            except ValidationError as error:
                wrong += 1
                for each in error.errors(include_url=False):
                    path = ".".join(str(part) for part in (place, *each["loc"]))
                    typer.echo(f"{file}: {path}: {each['msg']}", err=True)
            else:
                typer.echo(f"{file}: {place}: {found.id} adds up")
    raise typer.Exit(1 if wrong else 0)


def _footprints(file: Path) -> list[tuple[str, Any]]:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        failed(f"{file}: {error}; give a file of JSON")
    if isinstance(content, dict) and "data" in content:
        content = content["data"]
    return [(str(place), each) for place, each in enumerate(content if isinstance(content, list) else [content])]
