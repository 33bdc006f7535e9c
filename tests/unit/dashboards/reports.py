"""What members' gateways told everyone, signed and witnessed, for tests of the public page."""

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from commonweal.checkpoints import Checkpoint, cosign, cosigner_verifier, log_verifier, sign
from commonweal.public_reports import Report
from commonweal.transparency import root
from dashboards.gateways import Reports
from tests.unit.dashboards.objects import NOON

LOG = Ed25519PrivateKey.from_private_bytes(bytes(32))
WITNESS = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WITNESS_NAME = "kr.example/witness"
PURPOSE = "trade-embedded-emissions"
AT = int(NOON.timestamp())


def checkpoint(member: str, size: int) -> Checkpoint:
    return Checkpoint(origin=f"commonweal.dev/audit/{member}", size=size, root=root([bytes(32)] * size))


def report(member: str, uses: Sequence[object] = (), *, entries: int = 12, cosigned: int = 10) -> Report:
    log, witness = log_verifier(f"commonweal.dev/audit/{member}", LOG), cosigner_verifier(WITNESS_NAME, WITNESS)
    before = checkpoint(member, cosigned)
    note = sign(before, LOG) + cosign(before, WITNESS_NAME, WITNESS, AT)
    return Report.model_validate(
        {
            "member": member,
            "as_of": NOON,
            "uses": uses,
            "vkey": log.vkey(),
            "checkpoint": sign(checkpoint(member, entries), LOG),
            "witnesses": [{"vkey": witness.vkey(), "note": note}],
        }
    )


def reports(*told: Report, **silent: str) -> Reports:
    return Reports(told={each.member: each for each in told}, silent=silent)
