"""UN Comtrade records. Totals lie among their parts in every answer; only parts are taken, and the rest is counted.

Codes of six digits only: an eight-digit good of the Combined Nomenclature needs national data or Comext.
"""

import json
import random
from collections import Counter
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from apps.trade.ingests.form import (
    Amount,
    IngestError,
    Measure,
    Reading,
    Row,
    Source,
    Stamp,
    distinct,
    parsed,
)

M49 = Annotated[str, Field(pattern=r"^[0-9]{1,3}$")]
# Field of a record, the value that is a part and not a total, and what the others are.
PARTS: tuple[tuple[str, str, str], ...] = (
    ("partnerCode", "not 0", "all partners together"),
    ("partner2Code", "0", "a split by second partner"),
    ("motCode", "0", "a split by mode of transport"),
    ("customsCode", "C00", "a split by customs procedure"),
)


class Record(Row):
    """Trade of one good between two places in one period; mass is kilograms, value US dollars."""

    ref_year: Annotated[int, Field(ge=1962, le=2100)]
    period: Annotated[str, Field(pattern=r"^[0-9]{4}([0-9]{2})?$")]
    reporter_code: M49
    reporter_iso: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    flow_code: Literal["M", "X", "RM", "RX", "DX", "FM", "MIP", "XIP"]
    partner_code: M49
    partner_iso: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    cmd_code: Annotated[str, Field(pattern=r"^[0-9]{6}$")]
    net_weight_kg: Annotated[Amount, Field(gt=0), Measure("kg")]
    net_weight_estimated: bool
    primary_value_usd: Annotated[Amount, Measure("USD")]


def read(content: bytes, stamp: Stamp) -> Reading:
    """Read an answer of the service: JSON with `data`, a list of records.

    Raises:
        IngestError: the file is no such answer, or a record is wrong or there twice.

    """
    try:
        answer = json.loads(content, parse_float=Decimal)
        records: list[dict[str, Any]] = [dict(record) for record in answer["data"]]
    except (ValueError, KeyError, TypeError) as error:
        raise IngestError(f"file: no list `data` in it ({error}); give an answer of the service as JSON") from error
    left_out: Counter[str] = Counter()
    taken = []
    for number, record in enumerate(records, start=1):
        whole = _why_left_out(number, record)
        if whole is not None:
            left_out[whole] += 1
        else:
            taken.append((number, parsed(Record, number, _fields(record), stamp)))
    rows = distinct(taken, _key, "cmdCode")
    return Reading(rows=rows, left_out=left_out)


def _why_left_out(number: int, record: dict[str, Any]) -> str | None:
    for name, part, others in PARTS:
        if name not in record:
            raise IngestError(f"row {number}, field {name}: missing, so a total could hide; ask for all fields")
        value = str(record[name])
        if (value == "0") if part == "not 0" else (value != part):
            return f"{name} {value}: {others}"
    return None


def _fields(record: dict[str, Any]) -> dict[str, object]:
    names = {
        "ref_year": "refYear",
        "period": "period",
        "reporter_code": "reporterCode",
        "reporter_iso": "reporterISO",
        "flow_code": "flowCode",
        "partner_code": "partnerCode",
        "partner_iso": "partnerISO",
        "cmd_code": "cmdCode",
        "net_weight_kg": "netWgt",
        "net_weight_estimated": "isNetWgtEstimated",
        "primary_value_usd": "primaryValue",
    }
    texts = {"period", "reporter_code", "partner_code"}  # the service writes some codes as numbers
    return {
        field: str(record[name]) if field in texts else record[name]
        for field, name in names.items()
        if record.get(name) is not None
    }


def _key(row: Record) -> object:
    return (row.period, row.reporter_code, row.flow_code, row.partner_code, row.cmd_code)


PLANTED_KG = 40_000_000


def generate(seed: int) -> bytes:
    """Korea's exports and Canada's imports of one good: the same mass from both sides, with totals among them."""
    numbers = random.Random(seed)  # noqa: S311 - repeatable, and no secret
    shared = {
        "typeCode": "C",
        "freqCode": "M",
        "partner2Code": 0,
        "motCode": 0,
        "customsCode": "C00",
        "cmdCode": "720810",
    }
    records: list[dict[str, object]] = []
    for month in range(1, 13):
        mass_kg = PLANTED_KG // 12 + numbers.randint(-1000, 1000) * (1 if month % 2 else 0)
        for reporter, partner, flow in (((410, "KOR"), (124, "CAN"), "X"), ((124, "CAN"), (410, "KOR"), "M")):
            record = {
                **shared,
                "refYear": 2026,
                "period": f"2026{month:02d}",
                "reporterCode": reporter[0],
                "reporterISO": reporter[1],
                "flowCode": flow,
                "partnerCode": partner[0],
                "partnerISO": partner[1],
                "netWgt": mass_kg,
                "isNetWgtEstimated": False,
                "primaryValue": mass_kg * 640 // 1000,
            }
            records += [record, {**record, "partnerCode": 0, "partnerISO": "W00"}]
    return json.dumps({"data": records}).encode()


SOURCE = Source(
    dataset="comtrade_records",
    description="Trade by reporter, partner, flow and good of six digits; only parts, no totals.",
    model=Record,
    read=read,
    generate=generate,
)
