"""The rows, the trust and the grants of the bar trust-leaks.

Whatever no asker may see holds the word CANARY, or a number that no other row has: rows that a rule hides, columns that
are hidden, and the part of a value that a mask takes away.
"""

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from commonweal.agreements import Deed, negotiate_all, with_approvals
from commonweal.grants import compile_policy
from commonweal.kinds.data_grant import DataGrant
from commonweal.kinds.data_trust import DataTrust
from loadtests.datasets import MEMBER, TRUST
from loadtests.gateways import Pilot

CANARY = "CANARY"
PURPOSE = "trade-embedded-emissions"
GROUPED, LISTED = "customs_rows", "listed_rows"
MINIMUM = {GROUPED: 3, LISTED: 1}
GRANTS = ("wide", "narrow")
Row = dict[str, Any]  # by column; what a value is, its column's type says

_TYPES = {
    "product": ("string", "dimension"),
    "partner": ("string", "dimension"),
    "flow": ("int", "dimension"),
    "day": ("date", "dimension"),
    "cleared_at": ("timestamptz", "dimension"),
    "declared": ("boolean", "dimension"),
    "lot": ("long", "dimension"),
    "weight_kg": ("long", "measure"),
    "price_cents": ("long", "measure"),
    "share": ("decimal(38,18)", "measure"),
    "distance_km": ("double", "measure"),
    "sealed": ("long", "measure"),
    "owner": ("string", "hidden"),
    "consignment_id": ("string", "hidden"),
}
TYPES = {name: of_type for name, (of_type, _) in _TYPES.items()}
DIMENSIONS = tuple(name for name, (_, role) in _TYPES.items() if role == "dimension")
MEASURES = tuple(name for name, (_, role) in _TYPES.items() if role == "measure")
HIDDEN = tuple(name for name, (_, role) in _TYPES.items() if role == "hidden")
_MASKS = {
    "product": {"kind": "Prefix", "size": 4},
    "day": {"kind": "Month"},
    "lot": {"kind": "Bucket", "size": 100},
    "price_cents": {"kind": "Bucket", "size": 1000},
    "sealed": {"kind": "Null"},
}
_ROW_RULES = [
    {"name": "open-flows", "anyOf": [{"column": "flow", "operator": "In", "values": ["1", "2"]}]},
    {
        "name": "own-or-public",
        "anyOf": [
            {"column": "owner", "operator": "In", "claim": "beneficiary"},
            {"column": "owner", "operator": "IsNull"},
        ],
    },
]
_NARROWING = {
    "rowRules": [
        {
            "name": "since-2025",
            "anyOf": [
                {"column": "day", "operator": "AtLeast", "values": ["2025-01-01"]},
                {"column": "partner", "operator": "NotIn", "values": ["KR", "CN"]},
            ],
        }
    ],
    "masks": [
        {"column": "product", "mask": {"kind": "Prefix", "size": 2}},
        {"column": "cleared_at", "mask": {"kind": "Year"}},
    ],
}


def trust() -> DataTrust:
    """Two datasets with the same columns and rules: one releases groups of three, one releases rows."""
    columns = [
        {"name": name, "type": of_type, "role": role, "mask": _MASKS.get(name)}
        for name, (of_type, role) in _TYPES.items()
    ]
    datasets = [
        {
            "name": name,
            "description": "Synthetic rows with planted canaries.",
            "licence": "CC0-1.0",
            "synthetic": True,
            "minimumGroupSize": minimum,
            "columns": columns,
            "sources": [MEMBER],
            "rowRules": _ROW_RULES,
        }
        for name, minimum in MINIMUM.items()
    ]
    spec = {"title": "Canaries", "trustees": [MEMBER], "quorum": 1, "purposes": [PURPOSE], "datasets": datasets}
    return DataTrust.model_validate({"metadata": {"name": TRUST}, "spec": spec})


def grants(beneficiary: str, now: datetime) -> list[DataGrant]:
    """`wide` shows what the trust shows; `narrow` takes rows and digits away."""
    narrowing = [{"dataset": name, **_NARROWING} for name in MINIMUM]
    return [
        DataGrant.model_validate(
            {
                "metadata": {"name": name},
                "spec": {
                    "trust": TRUST,
                    "beneficiary": {"pilotApp": beneficiary},
                    "purpose": PURPOSE,
                    "datasets": list(MINIMUM),
                    "narrowing": narrowing if name == "narrow" else [],
                    "expiresAt": now + timedelta(days=1),
                },
            }
        )
        for name in GRANTS
    ]


def policy(pilot: Pilot) -> str:
    """The policy document that the hub would write for the one member."""
    now = datetime.now(UTC)
    of = trust()
    deed = Deed(of)
    approved = [with_approvals(grant, deed, [MEMBER]) for grant in grants(pilot.name, now)]
    return compile_policy(of, negotiate_all(of, approved, now), {MEMBER: pilot.site()}, MEMBER).render()


def generate(beneficiary: str, draw: random.Random, count: int = 400) -> list[Row]:
    """Rows of which rules hide about half. Doubles are quarters, so that every order of adding gives one sum."""
    return [_row(number, beneficiary, draw) for number in range(count)]


def _row(number: int, beneficiary: str, draw: random.Random) -> Row:
    flow = draw.choice([1, 1, 1, 2, 2, 3, None])
    owner = draw.choice([None, None, beneficiary, f"{CANARY}-OWNER"])
    hidden = flow not in (1, 2) or owner not in (None, beneficiary)
    day = date(2024, 1, 1) + timedelta(days=draw.randrange(900))
    return {
        "product": draw.choice([None, f"72{draw.randrange(6):02d}-{CANARY}-{number}", f"73{draw.randrange(3):02d}"]),
        "partner": f"{CANARY}-ROW-{number}"
        if hidden and draw.random() < 0.5
        else draw.choice(["KR", "CN", "Él", None]),
        "flow": flow,
        "day": draw.choice([None, day, day, day]),
        "cleared_at": draw.choice(
            [None, datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=draw.randrange(-9000, 3000, 1500))]
        ),
        "declared": draw.choice([True, False, None]),
        "lot": draw.choice([None, draw.randrange(-350, 350)]),
        "weight_kg": 9_000_000_000_000 + number if hidden else draw.randrange(-1000, 100_000),
        "price_cents": 8_000_000_000_000 + number if hidden else draw.randrange(1_000_000),
        "share": Decimal(draw.randrange(10**6)) / 10**9,
        "distance_km": draw.randrange(40_000) / 4,
        "sealed": 7_000_000_000_000 + number,
        "owner": owner,
        "consignment_id": f"{CANARY}-COLUMN-{number}",
    }


def write(rows: list[Row], path: Path) -> None:
    """The rows as a Parquet file."""
    arrow = {
        "string": pa.string(),
        "int": pa.int32(),
        "long": pa.int64(),
        "double": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamptz": pa.timestamp("us", tz="UTC"),
        "decimal(38,18)": pa.decimal128(38, 18),
    }
    pq.write_table(pa.table({name: pa.array([row[name] for row in rows], arrow[TYPES[name]]) for name in _TYPES}), path)
