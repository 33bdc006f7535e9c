"""A table of the size and shape of TPC-H's lineitem at scale factor 1, generated, under a trust.

It is not dbgen's: the extension that carries dbgen has no build for this DuckDB. Row count, types, value ranges and the
dependence of flags on dates follow the specification (TPC-H 3.0.1, 4.2.3); keys and texts that no question here reads
are left out. Values come from the row number by multiplication, so every run has the same rows.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from commonweal.agreements import Deed, negotiate_all, with_approvals
from commonweal.grants import Policy, compile_policy
from commonweal.kinds.data_grant import DataGrant
from commonweal.kinds.data_trust import DataTrust
from loadtests.datasets import MEMBER, TRUST
from loadtests.gateways import Pilot

ROWS = 6_001_215
TABLE = "lineitem"
PURPOSE = "public-statistics"
_COLUMNS = {
    "l_orderkey": ("long", "hidden"),
    "l_quantity": ("decimal(15,2)", "measure"),
    "l_extendedprice": ("decimal(15,2)", "measure"),
    "l_tax": ("decimal(15,2)", "measure"),
    "l_discount": ("decimal(15,2)", "dimension"),
    "l_returnflag": ("string", "dimension"),
    "l_linestatus": ("string", "dimension"),
    "l_shipdate": ("date", "dimension"),
    "l_receiptdate": ("date", "dimension"),
    "l_shipmode": ("string", "dimension"),
}
MEASURES = tuple(name for name, (_, role) in _COLUMNS.items() if role == "measure")
# The questions of the specification that one table and our grammar can carry: Q1, Q6, Q12 and a plain breakdown.
QUESTIONS = {
    "q1": "SELECT l_returnflag, l_linestatus, sum(l_quantity) AS qty, sum(l_extendedprice) AS price, "
    "avg(l_quantity) AS mean_qty, avg(l_tax) AS mean_tax, count(*) AS n FROM lineitem "
    "WHERE l_shipdate <= DATE '1998-09-02' GROUP BY l_returnflag, l_linestatus",
    "q6": "SELECT sum(l_extendedprice) AS price, count(*) AS n FROM lineitem WHERE l_shipdate >= DATE '1994-01-01' "
    "AND l_shipdate < DATE '1995-01-01' AND l_discount BETWEEN 0.05 AND 0.07",
    "q12": "SELECT l_shipmode, count(*) AS n, sum(l_quantity) AS qty FROM lineitem "
    "WHERE l_shipmode IN ('MAIL', 'SHIP') AND l_receiptdate >= DATE '1994-01-01' AND l_receiptdate < DATE '1995-01-01' "
    "GROUP BY l_shipmode",
    "breakdown": "SELECT l_shipmode, l_returnflag, sum(l_extendedprice) AS price, count(*) AS n FROM lineitem "
    "WHERE l_shipdate >= DATE '1992-01-01' GROUP BY l_shipmode, l_returnflag",
}
# Keeps almost all rows and every digit that the questions group by, so that neither makes the engine's work less.
ROW_RULES = [
    {"name": "since-1992", "anyOf": [{"column": "l_shipdate", "operator": "AtLeast", "values": ["1992-01-15"]}]}
]
MASKS = {"l_shipmode": {"kind": "Prefix", "size": 7}}


def write(path: Path) -> None:
    """The rows as a Parquet file."""
    # Multiplicative hashing (Knuth 6.4): a large odd factor spreads consecutive numbers over 32 bits.
    spread = "(({} + 1) * {}) % 4294967296"
    ship, receipt, other = (spread.format("i", factor) for factor in (2654435761, 2246822519, 3266489917))
    sql = f"""
        COPY (
          SELECT i // 4 AS l_orderkey,
            CAST(1 + ({other}) // 7 % 50 AS DECIMAL(15, 2)) AS l_quantity,
            CAST((1 + ({other}) // 7 % 50) * (900 + ({ship}) // 11 % 1200) AS DECIMAL(15, 2)) AS l_extendedprice,
            CAST(({receipt}) // 13 % 9 * 0.01 AS DECIMAL(15, 2)) AS l_tax,
            CAST(({ship}) // 17 % 11 * 0.01 AS DECIMAL(15, 2)) AS l_discount,
            CASE WHEN shipped + arrives > DATE '1995-06-17' THEN 'N' WHEN arrives % 2 = 0 THEN 'R' ELSE 'A' END
              AS l_returnflag,
            CASE WHEN shipped > DATE '1995-06-17' THEN 'O' ELSE 'F' END AS l_linestatus,
            shipped AS l_shipdate,
            shipped + arrives AS l_receiptdate,
            ['REG AIR', 'AIR', 'RAIL', 'SHIP', 'TRUCK', 'MAIL', 'FOB'][1 + ({other}) // 19 % 7] AS l_shipmode
          FROM (SELECT i, DATE '1992-01-02' + CAST(({ship}) // 23 % 2526 AS INTEGER) AS shipped,
            CAST(1 + ({receipt}) // 29 % 30 AS INTEGER) AS arrives FROM range({ROWS}) AS r(i))
        ) TO '{path}' (FORMAT parquet)
    """  # noqa: S608 -- all parts are this module's
    with duckdb.connect() as connection:
        connection.execute(sql)


def trust(*, ruled: bool) -> DataTrust:
    """The trust over the table, with or without a row rule and a mask."""
    columns = [
        {"name": name, "type": of_type, "role": role, "mask": MASKS.get(name) if ruled else None}
        for name, (of_type, role) in _COLUMNS.items()
    ]
    dataset = {
        "name": TABLE,
        "description": "Order lines of the shape of TPC-H.",
        "licence": "CC0-1.0",
        "synthetic": True,
        "minimumGroupSize": 3,
        "columns": columns,
        "sources": [MEMBER],
        "rowRules": ROW_RULES if ruled else [],
    }
    spec = {"title": "Order lines", "trustees": [MEMBER], "quorum": 1, "purposes": [PURPOSE], "datasets": [dataset]}
    return DataTrust.model_validate({"metadata": {"name": TRUST}, "spec": spec})


def policy(pilot: Pilot, grants: Sequence[str], *, ruled: bool = True) -> Policy:
    """The policy with live grants of these names, all the pilot's."""
    now = datetime.now(UTC)
    spec = {
        "trust": TRUST,
        "beneficiary": {"pilotApp": pilot.name},
        "purpose": PURPOSE,
        "datasets": [TABLE],
        "expiresAt": now + timedelta(days=1),
    }
    of = trust(ruled=ruled)
    asked = (DataGrant.model_validate({"metadata": {"name": name}, "spec": spec}) for name in grants)
    deed = Deed(of)
    made = (with_approvals(each, deed, [MEMBER]) for each in asked)
    return compile_policy(of, negotiate_all(of, made, now), {MEMBER: pilot.site()}, MEMBER)
