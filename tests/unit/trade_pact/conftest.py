"""A register of two products and three clients, disclosures of two years, and the endpoints over both."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote_plus

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from apps.trade.assessment import Book, Disclosed
from apps.trade.pact.callbacks import Callbacks
from apps.trade.pact.register import Register
from apps.trade.pact.server import PactServer
from apps.trade.rule_packs import all_packs, defaults_of

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
TOKEN_KEY = "k" * 64
MOST_ANSWERS = 3
SECRET = "s3cret/with:signs+%41"
STEEL = Disclosed(
    installation_id="MILL-1",
    country="KR",
    cn_code="72081000",
    period="2025",
    see_direct_t_per_t=Decimal("1.500000000000000000"),
    see_indirect_t_per_t=Decimal("0.2"),
    default_share=Decimal("0.25"),
    rule_pack="eu-2023-1773",
    evidence_sha256="a" * 64,
    member="kr",
)
ROWS = (
    STEEL,
    replace(STEEL, period="2026", see_direct_t_per_t=Decimal("1.4")),
    replace(STEEL, rule_pack="eu-2025-2547", see_indirect_t_per_t=Decimal(0)),
    replace(STEEL, installation_id="WIRE-1", cn_code="76051900", country="ZA"),
    replace(STEEL, installation_id="OTHER-1"),
)
PRODUCT: dict[str, Any] = {
    "installationId": "MILL-1",
    "cnCode": "72081000",
    "tier": "summary",
    "created": "2027-02-01T00:00:00Z",
    "companyName": "Mill",
    "companyIds": ["urn:company:example:mill"],
    "productIds": ["urn:gtin:1234567890123"],
    "productNameCompany": "Coil",
    "productDescription": "Hot-rolled coil",
    "boundaryProcessesDescription": "The installation, its electricity and precursors; fuel supply as registered",
    "beyondSee": "0.1",
    "fossilCarbonContent": "0.0018",
    "ipccCharacterizationFactors": ["AR5"],
    "crossSectoralStandards": ["ISO14067"],
    "exemptedEmissionsPercent": "0",
    "primaryDataShare": "75",
    "packagingEmissionsIncluded": "false",
    "allocationRulesDescription": "By mass",
}
WIRE = {
    **PRODUCT,
    "installationId": "WIRE-1",
    "cnCode": "76051900",
    "tier": "full",
    "companyIds": ["urn:company:example:wire"],
    "productIds": ["urn:gtin:9999999999999"],
}


ADDENDUM = {"clientId": "summary", "quantityKg": "25000", "statement": "Heat 4711, all of it yours"}


def register(**changes: object) -> Register:
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    callback = {
        "url": "https://partner.invalid",
        "tokenUrl": "https://partner.invalid/auth/token",
        "clientId": "us",
        "clientSecret": "theirs",
    }
    clients = [
        {"clientId": "full", "secretSha256": digest, "tier": "full", "callback": callback},
        {"clientId": "summary", "secretSha256": digest, "tier": "summary"},
    ]
    return Register.model_validate({"tokenKey": TOKEN_KEY, "clients": clients, "products": [PRODUCT, WIRE], **changes})


class Partner:
    """The other side of callbacks: an HTTP server in memory that takes events, or fails so many times first."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.failures = 0
        self.blocked = False
        self.waited_s: list[float] = []

    async def wait(self, wait_s: float) -> None:
        self.waited_s.append(wait_s)
        if self.blocked:
            await asyncio.Event().wait()

    def handle(self, request: httpx.Request) -> httpx.Response:
        if self.failures:
            self.failures -= 1
            return httpx.Response(503)
        if request.url.path == "/auth/token":
            assert request.headers["authorization"] == f"Basic {base64.b64encode(b'us:theirs').decode()}"
            return httpx.Response(200, json={"access_token": "theirs-to-give"})
        assert request.headers["authorization"] == "Bearer theirs-to-give"
        assert request.headers["content-type"].startswith("application/cloudevents+json")
        self.events.append(httpx.Response(200, content=request.content).json())
        return httpx.Response(200)


@pytest.fixture
def partner() -> Partner:
    """The partner whom callbacks reach."""
    return Partner()


@pytest.fixture
def callbacks(partner: Partner) -> Callbacks:
    """Callbacks to the partner."""
    transport = httpx.MockTransport(partner.handle)
    return Callbacks(httpx.AsyncClient(transport=transport), sleep=partner.wait, most=MOST_ANSWERS)


class Clock:
    """The server's clock."""

    now = NOW


@pytest.fixture
def clock() -> Clock:
    """A clock that a test may move."""
    return Clock()


@pytest.fixture
def client(callbacks: Callbacks, clock: Clock) -> Iterator[TestClient]:
    """The endpoints over the rows, asked over https."""
    book = Book(all_packs(), defaults_of, ROWS)

    async def current() -> Book:
        return book

    server = PactServer(register(), current, callbacks, lambda: clock.now)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await callbacks.close()

    app = Starlette(routes=server.routes(), lifespan=lifespan)
    with TestClient(app, base_url="https://testserver") as running:
        yield running


def basic(client_id: str, secret: str = SECRET) -> dict[str, str]:
    """HTTP Basic as RFC 6749 wants it, form-encoded."""
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def bearer(client: TestClient, client_id: str = "full") -> dict[str, str]:
    """Headers of an authenticated request."""
    granted = client.post("/auth/token", data={"grant_type": "client_credentials"}, headers=basic(client_id))
    assert granted.status_code == 200, granted.text
    return {"Authorization": f"Bearer {granted.json()['access_token']}"}
