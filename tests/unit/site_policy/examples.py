"""The examples of tests/oracles/site_policy_examples.yaml, and the facts that they are judged by."""

from pathlib import Path
from typing import Any

import yaml

from commonweal.kinds.consortium import Overhead
from commonweal.kinds.meta import Resources
from commonweal.site_policy import Facts

ORACLE = yaml.safe_load((Path(__file__).parents[2] / "oracles" / "site_policy_examples.yaml").read_text("utf-8"))
EXAMPLES: list[dict[str, Any]] = ORACLE["examples"]
FACTS = Facts(
    pledge=Resources(cpu_millis=1000, memory_mib=2048, gpus=4),
    countries=("CA", "KE", "KR"),
    grid_zones=("CA-QC", "KE", "KR"),
    image_sources=("localhost/commonweal",),
    overhead=Overhead(cpu_millis=500, memory_mib=2048),
)
