"""The code keeps its bounds: function and file length, annotations, docstrings."""

import re
import subprocess
import sys

from loadtests.bars import Measurement

NEEDS_DEMO = False
ROW = re.compile(r"^style (?P<name>.{24}) +(?P<value>[\d.]+) +(?P<sign><=|>=|=) (?P<bound>\d+) ")


def measure() -> list[Measurement]:
    """The style gate's own table, row by row."""
    command = [sys.executable, "scripts/style.py"]
    table = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    rows = [match for line in table.splitlines() if (match := ROW.match(line))]
    return [
        Measurement(
            name=f"style-{row['name'].strip().split(',')[0].replace(' ', '-')}",
            value=float(row["value"]),
            unit=row["name"].strip().split(", ")[-1],
            bound=float(row["bound"]),
            at_most=row["sign"] == "<=",
        )
        for row in rows
    ]
