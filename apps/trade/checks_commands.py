"""`python -m apps.trade check` and `mirror`: reasons to ask again, from files that a member holds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from apps.trade.checks import Flow, Request, TooFewFlowsError, beyond_production, counted_twice, mirror_gaps
from apps.trade.fusion import FusionError
from apps.trade.tables import failed, rows_of_query

Key = tuple[str, str, str]
CONSIGNED = """
    SELECT installation_id, replace(product_nc, ' ', ''), period[:4], sum(quantity_in_kg)
    FROM read_parquet(?) WHERE flow = '1' AND installation_id IS NOT NULL GROUP BY ALL
"""
TWICE = """
    SELECT consignment_id, list(declarant) FROM read_parquet(?)
    WHERE consignment_id IS NOT NULL GROUP BY ALL HAVING count(*) > 1
"""
PRODUCED = "SELECT installation_id, cn_code, period, max(activity_t) FROM read_parquet(?) GROUP BY ALL"
STOCK = """
    SELECT installation_id, cn_code, year::VARCHAR, sum(opening_stock_t::DECIMAL(38, 9))
    FROM read_csv(?, all_varchar = true) GROUP BY ALL
"""
# A flow that only one of the two reports has no gap.
MIRRORED = """
    SELECT x.reporter_iso, x.partner_iso, x.cmd_code, x.period, sum(x.net_weight_kg), any_value(m.kg)
    FROM read_parquet($1) x JOIN (
        SELECT reporter_iso, partner_iso, cmd_code, period, sum(net_weight_kg) AS kg
        FROM read_parquet($1) WHERE flow_code = 'M' GROUP BY ALL
    ) m ON (x.reporter_iso, x.partner_iso, x.cmd_code, x.period) = (m.partner_iso, m.reporter_iso, m.cmd_code, m.period)
    WHERE x.flow_code = 'X' GROUP BY ALL
"""
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


def check(
    *,
    customs: Annotated[list[Path], typer.Option(help="Parquet file of customs_rows; several declarants may be given")],
    disclosures: Annotated[Path | None, typer.Option(help="Parquet file of facility_disclosures")] = None,
    stock: Annotated[
        Path | None, typer.Option(help="CSV: installation_id, cn_code, year, opening_stock_t; without it none")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find consignments declared twice, and more declared of an installation than it made."""
    names = [str(path) for path in customs]
    twice = {str(name): list(who) for name, who in rows_of_query(TWICE, names, "--customs")}
    requests = counted_twice(twice)
    if disclosures is not None:
        consigned = {key: kg / 1000 for key, kg in _by_key(CONSIGNED, names, "--customs").items()}
        produced = _by_key(PRODUCED, [str(disclosures)], "--disclosures")
        opening = _by_key(STOCK, [str(stock)], "--stock") if stock is not None else {}
        requests += beyond_production(consigned, produced, opening)
    _tell(requests, as_json=as_json)


def mirror(
    *,
    records: Annotated[Path, typer.Option(help="Parquet file of comtrade_records")],
    false_discovery: Annotated[float, typer.Option(help="largest share of needless review requests")] = 0.1,
    as_json: AsJson = False,
) -> None:
    """Find flows that exporter and importer report more differently than is usual."""
    flows = [
        Flow(
            exporter=exporter,
            importer=importer,
            cmd_code=code,
            period=period,
            exported_kg=float(exported),
            imported_kg=float(imported),
        )
        for exporter, importer, code, period, exported, imported in rows_of_query(MIRRORED, str(records), "--records")
    ]
    try:
        _tell(mirror_gaps(flows, false_discovery), as_json=as_json)
    except (TooFewFlowsError, FusionError) as error:
        failed(f"--records: {error}")


def _by_key(sql: str, names: list[str], option: str) -> Mapping[Key, Decimal]:
    return {
        (maker, code, year): Decimal(str(amount)) for maker, code, year, amount in rows_of_query(sql, names, option)
    }


def _tell(requests: Sequence[Request], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(request) for request in requests]))
        return
    for request in requests:
        typer.echo(f"{request.rule}: {request.about}: {request.says}")
    typer.echo(f"{len(requests)} reasons to ask again; none is a finding")
