"""A trade pilot that answers with fixed numbers: those of the Commission's worked examples, and made-up totals."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.e2e.dashboards.fake_hub import reply, served

# Direct and indirect tonnes CO2e per tonne, from worked examples 2, 3a and 3b.
DISCLOSED = {
    ("72081000", "EC-EXAMPLE-2"): ("1.5391", "0.203553"),
    ("72189911", "EC-EXAMPLE-3"): ("1.001842", "1.43201"),
    ("73041100", "EC-EXAMPLE-3"): ("1.43998", "1.78948"),
}


@contextmanager
def serve_pilot() -> Iterator[str]:
    """Serve until the block ends; yields the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    with served(server):
        yield f"http://127.0.0.1:{server.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith("/v1/totals?"):
            reply(self, 200, TOTALS)
        else:
            reply(self, 404, {"detail": "no such thing"}, "application/problem+json")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reply(self, 200, assessment(asked))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's own name
        """Say nothing."""


def assessment(asked: dict[str, Any]) -> dict[str, Any]:
    direct, indirect = DISCLOSED.get((asked["cn_code"], asked["installation_id"]), (None, None))
    disclosed = direct is not None
    return {
        **asked,
        "source": "disclosure" if disclosed else "default",
        "why": "the installation disclosed this good for 2026" if disclosed else "No installation was named",
        "unit": "t",
        "quantity_t": "1",
        "see_direct_t_per_t": direct if disclosed else "2.6708",
        "see_indirect_t_per_t": indirect,
        "see_counted_t_per_t": direct if disclosed else "2.6708",
        "counts": "direct",
        "default_share": "0" if disclosed else "1",
        "rule_pack": "eu-2025-2547",
        "release": None,
        "member": "kr" if disclosed else None,
        "data_age_s": 4,
        "interval": {"low_t": 1.4166, "high_t": 1.6721} if disclosed else {"low_t": 1.0, "high_t": 5.3},
        "bill": bill(disclosed=disclosed),
    }


def bill(*, disclosed: bool) -> dict[str, Any]:
    by_default = {"source": "default", "allocation": "column B", "certificates": "0.994"}
    if not disclosed:
        said = "No disclosure to compare with: the default value is used"
        lowers = ["Verified data of the producer, if it shows less than 2.33 t CO2e per t"]
        return {"used": by_default, "other": None, "actual_pays": None, "verdict": said, "lowers": lowers}
    actual = {"source": "disclosure", "allocation": "as disclosed", "certificates": "1.2"}
    said = "Actual data does not pay here: 1.2 certificates by the disclosure, 0.994 by the default value"
    lowers = ["Declare by the default value: any mix of actual and default data is allowed"]
    return {"used": actual, "other": by_default, "actual_pays": False, "verdict": said, "lowers": lowers}


TOTALS: dict[str, Any] = {
    "cn_prefix": "72",
    "year": 2026,
    "synthetic": True,
    "rows": 8200,
    "synthetic_rows": 8200,
    "mass_t": "205000",
    "tonnes_direct": "412345.678",
    "tonnes_indirect": "30123.4",
    "tonnes_not_split": "0",
    "tonnes_counted": "412345.678",
    "default_share": "0.7312",
    "rule_pack": "eu-2025-2547",
    "release": "2025/2621 Annex I as amended by 2026/1740",
    "sources": [
        {"member": "ca", "dataset": "customs_rows", "grant": "trade-emissions", "rows": 4100, "age_s": 2},
        {"member": "ke", "dataset": "customs_rows", "grant": "trade-emissions", "rows": 4100, "age_s": 2},
        {"member": "kr", "dataset": "facility_disclosures", "grant": "trade-emissions", "rows": 22, "age_s": 4},
    ],
    "lines": [
        {
            "cn_code": "72081000",
            "country": "KR",
            "source": "disclosure",
            "why": "EC-EXAMPLE-2 disclosed 72081000 for 2026",
            "rows": 2000,
            "mass_t": "50000",
            "tonnes_counted": "76955",
        },
        {
            "cn_code": "72081000",
            "country": "CN",
            "source": "default",
            "why": "No installation was named; default value of China with mark-up",
            "rows": 1400,
            "mass_t": "35000",
            "tonnes_counted": "122696.2",
        },
    ],
    "unassessed": [{"reason": "72999999: no default value", "rows": 12, "mass_t": "300"}],
}
