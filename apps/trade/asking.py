"""How commands describe a consignment, ask the API, and say in one sentence what it answered."""

import json
from typing import Annotated

import typer

Cn = Annotated[str, typer.Option(help="8 digits of the CN code")]
Origin = Annotated[str, typer.Option(help="country of origin, two capital letters")]
MassKg = Annotated[str, typer.Option(help="net mass in kilograms")]
ImportYear = Annotated[int, typer.Option(help="calendar year of import")]
Installation = Annotated[str | None, typer.Option(help="the producer's identifier")]
Clinker = Annotated[str | None, typer.Option(help="for cement: tonnes of clinker in a tonne")]
ADDRESS_HELP = "address of the API, http://..."


def fields(
    *, cn: str, country: str, mass_kg: str, year: int, installation: str | None, clinker: str | None
) -> dict[str, object]:
    """A consignment as the API takes it; what was not given is left out."""
    given = {
        "cn_code": cn,
        "country": country,
        "installation_id": installation,
        "net_mass_kg": mass_kg,
        "import_year": year,
        "clinker_t_per_t": clinker,
    }
    return {name: value for name, value in given.items() if value is not None}


def post(address: str, path: str, asked: dict[str, object]) -> tuple[int, bytes]:
    """Status and body of the API's answer; where nothing answers, says so and exits 2."""
    import httpx  # noqa: PLC0415 - a second of start-up that only commands which ask need

    url = f"{address.rstrip('/')}{path}"
    try:
        answer = httpx.post(url, json=asked, timeout=30)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        typer.echo(f"--address: {url} gives no answer ({error}); is the service running there?", err=True)
        raise typer.Exit(2) from error
    return answer.status_code, answer.content


def said(body: str, status: int) -> str:
    """The detail of a problem, or that this is not the trade API."""
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status}; --address does not lead to the trade API"
