"""Customs rows in the layout of Comext, made up and labelled so: no open declarations name installations.

`python -m apps.trade.customs --member ca --rows 5000 --seed 1 --out file.parquet`. Every stratum's total is planted:
rows x 25 t and rows x 25 t x its price, whatever the seed, so that a test knows the answer before it asks.
Column names are those of Comext in lower case, which every SQL engine here folds alike.
"""

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from apps.trade.files import whole

MEAN_KG = 25_000
SPREAD_KG = 20_000
IMPORT = "1"  # Comext: FLOW 1 is import, 2 export
MAX_ROWS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """A kind of consignment: good, origin, installation, price and how often it occurs."""

    cn_code: str
    partner: str
    installation_id: str | None
    euros_per_t: int
    weight: int


# Covers every way to an answer: disclosed, undisclosed, unknown installation, country of its own row, a dash, an
# unlisted country, and two goods that must be left out (no default row; clinker content unknown).
STRATA = (
    Stratum(cn_code="72081000", partner="KR", installation_id="EC-EXAMPLE-2", euros_per_t=640, weight=20),
    Stratum(cn_code="72081000", partner="KR", installation_id=None, euros_per_t=640, weight=10),
    Stratum(cn_code="72081000", partner="KR", installation_id="KR-UNKNOWN-9", euros_per_t=640, weight=4),
    Stratum(cn_code="72081000", partner="CN", installation_id=None, euros_per_t=560, weight=14),
    Stratum(cn_code="72083900", partner="TR", installation_id=None, euros_per_t=610, weight=8),
    Stratum(cn_code="72083900", partner="VN", installation_id=None, euros_per_t=570, weight=6),
    Stratum(cn_code="72142000", partner="ZA", installation_id=None, euros_per_t=540, weight=6),
    Stratum(cn_code="72189911", partner="KR", installation_id="EC-EXAMPLE-3", euros_per_t=2100, weight=8),
    Stratum(cn_code="73041100", partner="KR", installation_id="EC-EXAMPLE-3", euros_per_t=3400, weight=8),
    Stratum(cn_code="73181542", partner="IN", installation_id=None, euros_per_t=2800, weight=5),
    Stratum(cn_code="25231000", partner="TR", installation_id=None, euros_per_t=55, weight=4),
    Stratum(cn_code="25232900", partner="IN", installation_id=None, euros_per_t=80, weight=3),
    Stratum(cn_code="28041000", partner="ZA", installation_id=None, euros_per_t=4500, weight=1),
    Stratum(cn_code="73041100", partner="CN", installation_id=None, euros_per_t=1900, weight=3),
)


@dataclass(frozen=True, kw_only=True)
class CustomsRow:
    """One row of customs_rows."""

    product_nc: str
    declarant: str
    partner: str
    flow: str
    period: str
    quantity_in_kg: int
    value_in_euros: int
    consignment_id: str
    installation_id: str | None
    synthetic: bool


def planted(rows: int) -> dict[Stratum, int]:
    """How many rows each stratum gets: its share by weight, the rest one each in order. Times 25 t is its mass."""
    whole = sum(stratum.weight for stratum in STRATA)
    counts = {stratum: rows * stratum.weight // whole for stratum in STRATA}
    missing = rows - sum(counts.values())
    return {stratum: count + (place < missing) for place, (stratum, count) in enumerate(counts.items())}


def generate(member: str, rows: int, seed: int, year: int = 2026) -> Iterator[CustomsRow]:
    """Rows of one member, the same for the same arguments.

    Raises:
        ValueError: an argument is out of range.

    """
    if not (len(member) == 2 and member.isascii() and member.isalpha() and member.islower()):
        raise ValueError(f"member: {member!r} is not two small letters; give one such as ca")
    if not 1 <= rows <= MAX_ROWS:
        raise ValueError(f"rows: {rows} is not from 1 to {MAX_ROWS}")
    numbers = random.Random(f"{member}/{seed}/{year}")  # noqa: S311 - repeatable, and no secret
    serial = 0
    for stratum, count in planted(rows).items():
        for kg in _masses_kg(count, numbers):
            serial += 1
            yield CustomsRow(
                product_nc=stratum.cn_code,
                declarant=member.upper(),
                partner=stratum.partner,
                flow=IMPORT,
                period=f"{year}{numbers.randint(1, 12):02d}",
                quantity_in_kg=kg,
                value_in_euros=kg * stratum.euros_per_t // 1000,
                consignment_id=f"{member.upper()}{year}{seed:04d}{serial:09d}",
                installation_id=stratum.installation_id,
                synthetic=True,
            )


def _masses_kg(count: int, numbers: random.Random) -> Iterator[int]:
    """Masses that add up to count x 25 t: what one consignment has more, the next has less."""
    for _ in range(count // 2):
        more = numbers.randint(0, SPREAD_KG)
        yield MEAN_KG + more
        yield MEAN_KG - more
    if count % 2:
        yield MEAN_KG


def write_parquet(rows: Sequence[CustomsRow], out: Path) -> None:
    """Write rows with the types of the table customs_rows."""
    # Only members write tables; the service that only asks should not load Arrow.
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    types = {"quantity_in_kg": pa.int64(), "value_in_euros": pa.int64(), "synthetic": pa.bool_()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in CustomsRow.__dataclass_fields__])
    with whole(out) as unfinished:
        pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=schema), unfinished)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write synthetic customs rows of one member as Parquet."""
    parser = argparse.ArgumentParser(prog="python -m apps.trade.customs", description=main.__doc__)
    parser.add_argument("--member", required=True, help="two small letters, the declarant")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--year", type=int, default=2026)
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    options = parser.parse_args(arguments)
    try:
        rows = list(generate(options.member, options.rows, options.seed, options.year))
        write_parquet(rows, options.out)
    except (OSError, ValueError) as error:
        parser.exit(1, f"{error}\n")
    sys.stdout.write(f"{options.out}: {len(rows)} synthetic rows of customs_rows\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
