"""How commands describe a consignment, ask the API, and say in one sentence what it answered."""

import json
from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any

import typer

ADDRESS_HELP = "address of the API, http://..."
REQUIRED = Parameter.empty
NOBODY_NOW = (502, 503, 504)  # what a door or proxy says for a service that is not up
# Option, field of the API, type, default, help.
OPTIONS: tuple[tuple[str, str, Any, Any, str], ...] = (
    ("cn", "cn_code", str, REQUIRED, "8 digits of the CN code"),
    ("country", "country", str, REQUIRED, "country of origin, two capital letters"),
    ("mass_kg", "net_mass_kg", str, REQUIRED, "net mass in kilograms"),
    ("year", "import_year", int, REQUIRED, "calendar year of import"),
    ("installation", "installation_id", str | None, None, "the producer's identifier"),
    ("clinker", "clinker_t_per_t", str | None, None, "for cement: tonnes of clinker in a tonne"),
    ("nitrogen", "nitrogen_t_per_t", str | None, None, "for ammonia and the like: tonnes of nitrogen in a tonne"),
    ("good", "good", str | None, None, "words of the good meant, where one code stands for several"),
    ("quarter", "import_quarter", int | None, None, "quarter of import, 1 to 4, for a cost in EUR"),
    ("paid_eur", "carbon_price_paid_eur", str | None, None, "carbon price paid at the origin, EUR net of rebates"),
)


def about_consignment(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that describe a consignment.

    It receives them as `asked`, in the words of the API; what was not given is left out.
    """
    own = [each for each in signature(command).parameters.values() if each.name != "asked"]
    described = [
        Parameter(option, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, typer.Option(help=text)])
        for option, _, kind, default, text in OPTIONS
    ]

    @wraps(command)
    def described_command(**given: object) -> None:
        options = {field: given.pop(option) for option, field, *_ in OPTIONS}
        command(asked={field: value for field, value in options.items() if value is not None}, **given)

    # What typer reads of a command.
    described_command.__dict__["__signature__"] = Signature([*described, *own])
    described_command.__annotations__ = {each.name: each.annotation for each in (*described, *own)}
    return described_command


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
    """The detail of a problem, or that nobody answers at the address now, or that this is not the trade API."""
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        if status in NOBODY_NOW:
            return f"HTTP {status}; no trade API answers at --address now, ask again in a minute"
        return f"HTTP {status}; --address does not lead to the trade API"
