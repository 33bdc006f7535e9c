"""A member's folder whose dataset ends its rows, and holds on it."""

from datetime import datetime
from pathlib import Path
from typing import Any

from commonweal.agreements import negotiate_all
from commonweal.grants import Policy, PolicyDataset, compile_policy
from data_trusts.gateway.certificates import Identity, make_identity
from tests.unit.grants.samples import CUSTOMS, NOON, grant, site, trust

# Rows of customs_file are of 1, 2 and 3 January 2026: at NOON those of the first day have ended.
DAYS = 326
HOLD = {"name": "court", "reason": "Case 7", "declaredBy": "ke"}


def keeping(
    *holds: dict[str, Any],
    column: str = "day",
    days: int = DAYS,
    now: datetime = NOON,
    also: dict[str, Any] | None = None,
) -> Policy:
    kept = {**CUSTOMS, "retention": {"column": column, "days": days}}
    spec = {"datasets": [kept, also] if also else [kept], "legalHolds": list(holds)}
    of = trust(spec)
    return compile_policy(
        of, negotiate_all(of, [grant({"datasets": ["customs_rows"]}, of=of)], now), {"ca": site("ca")}, "ca"
    )


def kept_dataset(*holds: dict[str, Any], column: str = "day", days: int = DAYS) -> PolicyDataset:
    found = keeping(*holds, column=column, days=days).dataset("customs_rows")
    assert found is not None
    return found


def identity_in(data: Path) -> Identity:
    """The gateway's identity in the data folder, as a gateway without a cluster keeps it."""
    identity = make_identity("ca", ["127.0.0.1"], NOON)
    (data / "tls").mkdir(parents=True)
    (data / "tls" / "key.pem").write_text(identity.key_pem)
    (data / "tls" / "certificate.pem").write_text(identity.certificate_pem)
    return identity


def policies_in(folder: Path, policy: Policy) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "policy-trade.json").write_text(policy.render())
    return folder
