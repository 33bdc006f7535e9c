"""`python -m apps.trade.ingests`: a file of evidence, or a synthetic one, to Parquet that data_trusts.ingest takes.

python -m apps.trade.ingests grid_generation --file a75.csv --provenance 'ENTSO-E A75, 2026-01' --licence CC-BY-4.0 \
        --out grid.parquet
python -m apps.trade.ingests comext_declarations --synthetic --seed 1 --out comext.parquet
python -m apps.trade.ingests declare --source-member ca > trust.yaml
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from apps.trade.ingests import assets, comext, comtrade, grid, thermal, workbook
from apps.trade.ingests.form import IngestError, Source, Stamp, columns_of, write_parquet

SOURCES: dict[str, Source] = {
    module.SOURCE.dataset: module.SOURCE for module in (assets, comext, comtrade, grid, thermal, workbook)
}
SYNTHETIC = Stamp(provenance="deterministic generator of this project", licence="CC0-1.0", synthetic=True)


def declared(members: Sequence[str]) -> dict[str, Any]:
    """The DataTrust under which the tables of all sources lie at these members."""
    return {
        "apiVersion": "commonweal.dev/v1alpha1",
        "kind": "DataTrust",
        "metadata": {"name": "trade-evidence"},
        "spec": {
            "title": "Evidence beside what producers disclose",
            "trustees": list(members),
            "quorum": len(members) // 2 + 1,
            "purposes": ["trade-embedded-emissions"],
            "datasets": [
                {
                    "name": source.dataset,
                    "description": source.description,
                    "licence": "by row, in the column licence",
                    "synthetic": False,
                    "minimumGroupSize": 1,
                    "sources": list(members),
                    "columns": columns_of(source.model),
                }
                for _, source in sorted(SOURCES.items())
            ],
        },
    }


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m apps.trade.ingests", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", choices=[*sorted(SOURCES), "declare"], help="a table, or declare for the DataTrust")
    parser.add_argument("--file", type=Path, help="what the source published")
    parser.add_argument("--synthetic", action="store_true", help="make a file instead, labelled synthetic")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--provenance", help="with --file: publisher, item, date of access")
    parser.add_argument("--licence", help="with --file: SPDX identifier, or the terms' name")
    parser.add_argument("--out", type=Path, help="Parquet file to write")
    parser.add_argument("--source-member", action="append", default=[], help="with declare: a member that holds rows")
    given = parser.parse_args(arguments)
    if given.source == "declare":
        needed = {"--source-member": given.source_member}
    elif given.synthetic:
        needed = {"--out": given.out}
    else:
        needed = {name: getattr(given, name[2:]) for name in ("--file", "--provenance", "--licence", "--out")}
    missing = [name for name, value in needed.items() if not value]
    if missing:
        parser.error(f"{missing[0]} is missing; evidence without it is no evidence")
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit 0 where every row was taken or left out by a rule, 1 where the file was refused."""
    given = _arguments(arguments)
    if given.source == "declare":
        sys.stdout.write(yaml.safe_dump(declared(given.source_member), sort_keys=False, width=120))
        return 0
    source = SOURCES[given.source]
    stamp = SYNTHETIC if given.synthetic else Stamp(provenance=given.provenance, licence=given.licence)
    try:
        content = source.generate(given.seed) if given.synthetic else given.file.read_bytes()
        reading = source.read(content, stamp)
        write_parquet(source.model, reading.rows, given.out)
    except (IngestError, OSError) as error:
        sys.stderr.write(f"{given.file or given.source}: {error}\n")
        return 1
    sys.stdout.write(f"{given.out}: {len(reading.rows)} rows of {source.dataset}\n")
    for why, count in sorted(reading.left_out.items()):
        sys.stdout.write(f"left out: {count} rows, {why}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
