"""A deterministic Parquet file of millions of synthetic customs rows, with planted wrong rows where asked for."""

from pathlib import Path

import duckdb

# 60 codes under the headings of the shipped default values and of none, 117 origins, some from known installations.
HEADINGS = ("7208", "7201", "721420", "731815", "720610", "280410", "252310", "7601", "7304")
CODES_PER_HEADING = 7
ORIGINS = 117


def write(path: Path, rows: int, wrong_every: int = 0) -> None:
    """Write `rows` rows; each `wrong_every`-th has a mass of -1 kg.

    Masses run from 1 to 50,000 kg by a linear congruence, so that a total can be checked by anyone.
    """
    codes = [f"{heading}{place:0{8 - len(heading)}d}" for heading in HEADINGS for place in range(CODES_PER_HEADING)]
    named = ["KR", "CN", "IN", "TR", "BR", "CA", "ZA", "DE"]
    origins = named + [f"{chr(65 + n // 26)}{chr(65 + n % 26)}" for n in range(ORIGINS - len(named))]
    mass = "1 + (i * 7919) % 50000"
    if wrong_every:
        mass = f"CASE WHEN i % {wrong_every} = {wrong_every - 1} THEN -1 ELSE {mass} END"
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute(
            f"""COPY (
                SELECT {codes}[1 + (i * 31 % {len(codes)})::INT] AS product_nc, 'CA' AS declarant,
                    {origins}[1 + (i * 17 // {len(codes)} % {len(origins)})::INT] AS partner, '1' AS flow,
                    '2026' || lpad((1 + i % 12)::VARCHAR, 2, '0') AS period, ({mass})::BIGINT AS quantity_in_kg,
                    ((i * 104729) % 90000)::BIGINT AS value_in_euros, 'CA2026' || i AS consignment_id,
                    CASE WHEN i % 3 = 0 THEN 'PLANT-' || (i * 17 // 63 % 117) END AS installation_id, true AS synthetic
                FROM range({rows}) AS t(i)
            ) TO '{path}' (FORMAT parquet)"""  # noqa: S608 - names of our own
        )
