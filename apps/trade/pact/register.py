"""What the data owner writes down: what a disclosure does not say of a product, and who may ask for what.

The file is a secret: mount it. Nothing in it has a default, least of all a key or a client.
"""

import hashlib
import hmac
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AwareDatetime, ConfigDict, Field, SecretStr, ValidationError, model_validator

from apps.trade.goods import CnCode, InstallationId
from apps.trade.pact.decimals import NotNegative, Percent
from apps.trade.pact.footprint import Camel, Characterizations, DataQuality, Standards, Text, Urns
from apps.trade.rule_packs import load_exact


class RegisterError(ValueError):
    """The register cannot be used; the message names file, field and remedy."""


class Tier(StrEnum):
    """What may be seen: a summary, also what lets one infer how the plant works, or what only an addendum opens."""

    SUMMARY = "summary"
    FULL = "full"
    ADDENDUM = "addendum"

    def may_see(self, needed: "Tier") -> bool:
        """Whether this tier is at or above the one needed; no client has the last one, so none opens what it closes."""
        order = list(Tier)
        return order.index(self) >= order.index(needed)


class _Written(Camel):
    model_config = ConfigDict(extra="forbid")


class Callback(_Written):
    """Where answers to a client's requests go, and as whom we authenticate there."""

    url: Annotated[str, Field(pattern=r"^https://.+[^/]$")]
    token_url: Annotated[str, Field(pattern=r"^https://.+$")]
    client_id: Text
    client_secret: SecretStr


class Client(_Written):
    """A business partner. `secret_sha256` is of a secret that was drawn at random, not chosen."""

    client_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
    secret_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    tier: Literal[Tier.SUMMARY, Tier.FULL]
    callback: Callback | None = None


class Addendum(_Written):
    """What one client alone may know of a product: how much of it was its own, and what the owner states of that."""

    client_id: Text
    quantity_kg: NotNegative
    statement: Text


class Product(_Written):
    """One product: a good of an installation, and what its disclosure does not say. Amounts are per kg of product.

    `beyond_see` is the fossil emissions of the cradle-to-gate boundary that specific embedded emissions leave out
    (fuel supply, transport to the gate, precursors outside the scope); kg CO2e.
    """

    installation_id: InstallationId
    cn_code: CnCode
    tier: Tier
    created: AwareDatetime
    company_name: Text
    company_ids: Urns
    product_ids: Urns
    product_name_company: Text
    product_description: Text
    boundary_processes_description: Text
    beyond_see: NotNegative
    fossil_carbon_content: NotNegative
    ipcc_characterization_factors: Characterizations
    cross_sectoral_standards: Standards
    exempted_emissions_percent: Percent
    primary_data_share: Percent
    packaging_emissions_included: bool
    allocation_rules_description: Text | None = None
    dqi: DataQuality | None = None
    addenda: Annotated[tuple[Addendum, ...], Field(max_length=1000)] = ()


class Register(_Written):
    """The whole file. `token_key` signs access tokens: `openssl rand -hex 32`, the same for every replica."""

    token_key: SecretStr
    clients: Annotated[tuple[Client, ...], Field(max_length=10_000)]
    products: Annotated[tuple[Product, ...], Field(max_length=10_000)]

    @model_validator(mode="after")
    def _is_unambiguous(self) -> "Register":
        key = self.token_key.get_secret_value()
        if len(key) < 64:
            raise ValueError("tokenKey: shorter than 64 characters; make one with openssl rand -hex 32")
        ids = [client.client_id for client in self.clients]
        goods = [f"{product.installation_id} {product.cn_code}" for product in self.products]
        for name, values in (("clients", ids), ("products", goods)):
            repeated = sorted({value for value in values if values.count(value) > 1})
            if repeated:
                raise ValueError(f"{name}: {repeated[0]} occurs twice; remove one")
        for product in self.products:
            named = [each.client_id for each in product.addenda]
            for client in named:
                if client not in ids or named.count(client) > 1:
                    what = "is no client" if client not in ids else "has two addenda"
                    raise ValueError(f"products: {product.cn_code}: addenda: {client} {what}; correct clientId")
        return self

    def client(self, client_id: str) -> Client | None:
        """A client by its id."""
        return next((client for client in self.clients if client.client_id == client_id), None)

    def authenticated(self, client_id: str, secret: str) -> Client | None:
        """The client that gave this secret, or None; takes as long for an unknown client as for a wrong secret."""
        client = self.client(client_id)
        given = hashlib.sha256(secret.encode()).hexdigest()
        right = hmac.compare_digest(given, client.secret_sha256 if client is not None else "0" * 64)
        return client if right else None


def read_register(path: Path) -> Register:
    """Read the file.

    Raises:
        RegisterError: missing, not YAML, or a field is wrong; no secret is shown.

    """
    try:
        return Register.model_validate(load_exact(path.read_text("utf-8")))
    except OSError as error:
        raise RegisterError(f"{path}: {error.strerror}; mount the register or unset COMMONWEAL_PACT") from error
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RegisterError(f"{path}: {where}: {first['msg']}; see docs/trade.md") from error
    except (ValueError, yaml.YAMLError) as error:
        raise RegisterError(f"{path}: not YAML in UTF-8 ({type(error).__name__}); see docs/trade.md") from error
