"""What the pod is told by its environment: under which grants it may ask, and where the gateways are."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

DEFAULT_GRANTS = Path("/etc/commonweal/grants.json")
DEFAULT_TOKEN = Path("/var/run/secrets/commonweal/token")


class SettingsError(ValueError):
    """The pod's environment is not as the hub promises; the message names the file and the remedy."""


class _Data(BaseModel):
    # The hub may say more than this pilot reads.
    model_config = ConfigDict(extra="ignore", frozen=True)


class GrantedDataset(_Data):
    """A dataset that a grant covers, and the members that hold it."""

    name: str
    members: tuple[str, ...]


class Grant(_Data):
    """A grant of this pilot."""

    name: str
    trust: str
    purpose: str
    datasets: tuple[GrantedDataset, ...]


class GatewayAddress(_Data):
    """Where a member's gateway is, and the certificate that it must show."""

    member: str
    url: str
    ca_pem: str


class Grants(_Data):
    """The mounted file grants.json."""

    grants: Annotated[tuple[Grant, ...], Field(max_length=64)]
    gateways: Annotated[tuple[GatewayAddress, ...], Field(max_length=64)]

    def covering(self, dataset: str) -> Grant | None:
        """The first grant that covers a dataset."""
        return next((grant for grant in self.grants if any(each.name == dataset for each in grant.datasets)), None)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Paths of the files that the hub mounts."""

    grants: Path
    token: Path
    signing_key: Path | None = None
    pact: Path | None = None

    def read_grants(self) -> Grants:
        """Read grants.json as it is now.

        Raises:
            SettingsError: missing, not JSON, or not of the agreed form.

        """
        try:
            return Grants.model_validate(json.loads(self.grants.read_bytes()))
        except OSError as error:
            raise SettingsError(
                f"{self.grants}: {error.strerror}; set COMMONWEAL_GRANTS or wait for the hub"
            ) from error
        except ValidationError as error:
            first = error.errors()[0]
            path = ".".join(str(part) for part in first["loc"])
            raise SettingsError(f"{self.grants}: {path}: {first['msg']}; the hub writes this file") from error
        except ValueError as error:
            raise SettingsError(f"{self.grants}: not JSON ({error}); the hub writes this file") from error

    def read_token(self) -> str:
        """Read the pod's projected token as it is now; it rotates.

        Raises:
            SettingsError: the file cannot be read.

        """
        try:
            return self.token.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{self.token}: cannot be read ({error}); set COMMONWEAL_TOKEN") from error


def _path(environment: Mapping[str, str], name: str) -> Path | None:
    """A path that has no default: a key or a secret that nobody chose is none."""
    return Path(environment[name]) if environment.get(name) else None


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings of this process."""
    return Settings(
        grants=Path(environment.get("COMMONWEAL_GRANTS", DEFAULT_GRANTS)),
        token=Path(environment.get("COMMONWEAL_TOKEN", DEFAULT_TOKEN)),
        signing_key=_path(environment, "COMMONWEAL_SIGNING_KEY"),
        pact=_path(environment, "COMMONWEAL_PACT"),
    )
