"""Four members' gateways over one federated dataset, with certificates that each finds in its policy."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from commonweal.agreements import negotiate_all
from commonweal.grants import compile_policy
from data_trusts.catalog import Warehouse
from data_trusts.client import TrustClient
from data_trusts.gateway.__main__ import SERVICE_NAMES
from data_trusts.gateway.certificates import Identity, make_identity
from tests.integration.data_trusts.conftest import Issuer, RunningGateway, customs_file, gateways
from tests.unit.federation.samples import SOURCES, dataset, federated
from tests.unit.grants.samples import PURPOSE, grant, site, trust

# Each asks under a grant of its own, so that what one was told does not bind another.
PILOTS = (
    "steel-pilot",
    "histogram",
    "small",
    "tracker",
    "few",
    "open",
    "deal",
    "answer",
    "reveal",
    "meddler",
    "command",
    "named",
)
ROWS = {"ca": 10, "ke": 20, "kr": 5, "uy": 2}


@dataclass
class Consortium:
    """Running gateways by member, the issuer of the asker's tokens, and what the policies are made of."""

    gateways: dict[str, RunningGateway]
    issuer: Issuer
    identities: Mapping[str, Identity]

    def client(self, *members: str, pilot: str = "steel-pilot", kind: type[TrustClient] = TrustClient) -> TrustClient:
        asked = [self.gateways[member].address for member in members or SOURCES]
        return kind(asked, lambda: self.token(pilot), pilot, PURPOSE)

    def token(self, pilot: str) -> str:
        return self.issuer.token(sub=f"system:serviceaccount:commonweal-apps:{pilot}")

    def audit(self, member: str) -> list[dict[str, object]]:
        return self.gateways[member].audit()


def policy(member: str, issuer: Issuer, identities: Mapping[str, Identity], noise: Mapping[str, object] | None) -> str:
    now = datetime.now(UTC)
    licences = [{"member": "uy", "licence": "ODbL-1.0"}]
    declared = trust({"datasets": [federated(noise, sourceLicences=licences)]})
    common = {"expiresAt": "2099-01-01T00:00:00Z", "datasets": ["customs_rows"]}
    asked = [grant({**common, "beneficiary": {"pilotApp": pilot}}, name=pilot, of=declared) for pilot in PILOTS]
    sites = {
        name: site(name, issuer.jwks() if name == "ca" else '{"keys":[]}').model_copy(
            update={"gateway_certificate_pem": identity.certificate_pem}
        )
        for name, identity in identities.items()
    }
    return compile_policy(declared, negotiate_all(declared, asked, now), sites, member).render()


@contextmanager
def consortium(root: Path, issuer: Issuer, noise: Mapping[str, object] | None = None) -> Iterator[Consortium]:
    """Start every source's gateway over its own rows."""
    now = datetime.now(UTC)
    identities = {member: make_identity(member, ["127.0.0.1", *SERVICE_NAMES], now) for member in SOURCES}
    for member, identity in identities.items():
        data = root / member / "data"
        (data / "tls").mkdir(parents=True)
        (data / "tls" / "key.pem").write_text(identity.key_pem)
        (data / "tls" / "certificate.pem").write_text(identity.certificate_pem)
        warehouse = Warehouse(data)
        warehouse.ingest("trade", dataset(), customs_file(ROWS[member]))
        warehouse.close()
    with ExitStack() as stack:
        start = stack.enter_context(gateways(root))
        running = {member: start(member, policy(member, issuer, identities, noise)) for member in SOURCES}
        yield Consortium(gateways=running, issuer=issuer, identities=identities)
