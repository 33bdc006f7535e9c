"""`python -m apps.trade`: serve the API, or ask it."""

import json
import logging
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from apps.trade.asking import ADDRESS_HELP, about_consignment, post, said
from apps.trade.audit.commands import bundle, verify
from apps.trade.audit.keys import KeyFileError, read_private
from apps.trade.batch_commands import batch
from apps.trade.checks_commands import check, mirror
from apps.trade.grid_commands import chp_factor, grid_factor
from apps.trade.official.commands import benchmarks, defaults
from apps.trade.pact.commands import check_footprints, pact
from apps.trade.rule_packs import PackError
from apps.trade.views import AssessmentView, BillView, plain

app = typer.Typer(help="Embedded emissions of traded goods.", no_args_is_help=False, pretty_exceptions_enable=False)
app.command()(batch)
app.command()(bundle)
app.command()(verify)
app.command()(pact)
app.command()(check_footprints)
app.command()(check)
app.command()(mirror)
app.command()(grid_factor)
app.command()(chp_factor)
app.add_typer(defaults, name="defaults")
app.add_typer(benchmarks, name="benchmarks")
GRACE_S = 10  # requests in flight may finish while the pod drains


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    host: Annotated[str, typer.Option(envvar="COMMONWEAL_HOST")] = "0.0.0.0",  # noqa: S104 - a pod's own address
    port: Annotated[int, typer.Option(envvar="COMMONWEAL_PORT", min=1, max=65_535)] = 8080,
) -> None:
    """Serve the API, unless a command is named."""
    if context.invoked_subcommand is None:
        serve(host, port)


def serve(host: str, port: int) -> None:
    """Serve until told to stop. The commands that only ask do not load the server."""
    import uvicorn  # noqa: PLC0415

    from apps.trade.gateways import MountedDirectory  # noqa: PLC0415
    from apps.trade.pact.register import RegisterError, read_register  # noqa: PLC0415
    from apps.trade.service import create_app  # noqa: PLC0415
    from apps.trade.settings import from_environment  # noqa: PLC0415

    settings = from_environment()
    try:
        signer = read_private(settings.signing_key) if settings.signing_key is not None else None
        register = read_register(settings.pact) if settings.pact is not None else None
        served = create_app(MountedDirectory(settings), signer=signer, register=register)
    except (KeyFileError, RegisterError, PackError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    uvicorn.run(
        served,
        host=host,
        port=port,
        access_log=False,
        timeout_graceful_shutdown=GRACE_S,
    )


@app.command()
@about_consignment
def assess(
    *,
    asked: dict[str, object],
    address: Annotated[str, typer.Option(envvar="COMMONWEAL_TRADE", help=ADDRESS_HELP)],
    as_json: Annotated[bool, typer.Option("--json", help="print the API's answer")] = False,
) -> None:
    """Ask what one consignment embeds, what it costs in certificates, and what would lower that."""
    status, answer = post(address, "/v1/assessments", asked)
    body = answer.decode(errors="replace")
    if as_json:
        typer.echo(body)
    elif status == 200:
        view = AssessmentView.model_validate_json(body)
        Console().print(_table(view))
        if view.interval is not None:
            typer.echo(f"May really be {view.interval.low_t:.4g} to {view.interval.high_t:.4g} t CO2e (90 %)")
        if view.bill is not None:
            _tell(view.bill)
    else:
        typer.echo(said(body, status), err=True)
    raise typer.Exit(0 if status == 200 else 1)


@app.command()
def examples(as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False) -> None:
    """Compute the Commission's worked examples from their inputs, by the transitional and the definitive method."""
    from apps.trade.examples import computed  # noqa: PLC0415 - Arrow-free, yet not needed to ask

    rows = computed()
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], default=plain, indent=1))
        return
    for pack in sorted({row.rule_pack for row in rows}):
        table = Table(title=f"The Commission's worked examples by {pack}, t CO2e per functional unit")
        for name in ("installation", "CN code", "direct", "indirect", "default", "free"):
            table.add_column(name, no_wrap=True)
        for row in (each for each in rows if each.rule_pack == pack):
            numbers = (row.see_direct_t_per_t, row.see_indirect_t_per_t, row.default_share, row.free_allocation_t_per_t)
            rounded = (_known(None if number is None else round(number, 6)) for number in numbers)
            table.add_row(row.installation_id, row.cn_code, *rounded)
        Console().print(table)


@app.command()
def fuse(
    *,
    estimates: Annotated[Path, typer.Option(help="CSV or Parquet; the columns are in docs/trade.md")],
    false_discovery: Annotated[float, typer.Option(help="largest share of needless review requests")] = 0.1,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Fuse several sources a plant into one value with its 90 % interval, and say whom to ask again."""
    from apps.trade.estimates import EstimatesError, answers, read_lines  # noqa: PLC0415 - only this command needs it

    try:
        found = answers(read_lines(estimates), false_discovery)
    except EstimatesError as error:
        typer.echo(f"--estimates: {error}", err=True)
        raise typer.Exit(2) from error
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found]))
        return
    table = Table(title="t CO2e per t, central 90 %", title_justify="left")
    for name in ("installation", "period", "value", "from", "to", "sources", "review"):
        table.add_column(name)
    for each in found:
        numbers = (each.fused.value_t_per_t, each.fused.low_t_per_t, each.fused.high_t_per_t)
        shown = (f"{number:.4g}" for number in numbers)
        asked = "requested" if each.review else ""
        table.add_row(each.installation_id, each.period, *shown, ", ".join(each.fused.sources), asked)
    Console().print(table)


@app.command()
def power(
    *,
    gap_sd: Annotated[float, typer.Option(min=0.001, max=2, help="sd of ln(disclosed / seen by the others)")],
    svg: Annotated[Path | None, typer.Option(help="also draw the curve into this file")] = None,
) -> None:
    """Say which understatements a review would find, and which it would not."""
    from apps.trade.power import curve, drawn  # noqa: PLC0415 - only this command needs it

    table = Table(title=f"Probability that a review finds it, gap sd {gap_sd}", title_justify="left")
    for name in ("understated by", "at 5 %", "at 1 %"):
        table.add_column(name)
    for share, powers in curve(gap_sd, (0.10, 0.20, 0.30, 0.40, 0.50)):
        table.add_row(f"{share:.0%}", *(f"{each:.2f}" for each in powers))
    Console().print(table)
    if svg is not None:
        svg.write_text(drawn(gap_sd), "utf-8")


def _table(view: AssessmentView) -> Table:
    table = Table(
        title=f"{plain(round(view.tonnes_counted, 3))} t CO2e in {plain(view.net_mass_kg)} kg of {view.cn_code}",
        title_justify="left",
        show_header=False,
    )
    for name, value in view.model_dump(mode="json", exclude={"bill", "interval"}).items():
        if value is not None:
            table.add_row(name, ", ".join(value) if isinstance(value, list) else str(value))
    return table


def _tell(bill: BillView) -> None:
    """The verdict, both ways as rows, and what would lower the number."""
    cost = "" if bill.cost_eur is None else f"; costs {plain(round(bill.cost_eur, 2))} EUR"
    typer.echo(f"{bill.verdict}{cost}")
    table = Table()
    for name in ("declared by", "t CO2e", "free per unit", "certificates"):
        table.add_column(name)
    for way in (bill.used, *([bill.other] if bill.other is not None else [])):
        table.add_row(way.source, plain(way.tonnes_counted), _known(way.sefa_t_per_t), _known(way.certificates))
    Console().print(table)
    for each in bill.lowers:
        typer.echo(f"Would lower it: {each}")


def _known(value: Decimal | None) -> str:
    return "unknown" if value is None else plain(value)
