"""What the agent is told by its environment, checked once at the start."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from commonweal.kinds.member import Engine
from commonweal.kinds.meta import Country, MemberName, Text, Url

PREFIX = "COMMONWEAL_"


class SettingsError(Exception):
    """A variable is missing or wrong; the message names each."""


class Settings(BaseModel):
    """Every field is the variable of its name in capitals after `COMMONWEAL_`, as COMMONWEAL_MEMBER.

    `kubeconfig` is for an agent outside its member's cluster; inside, the pod's own service account serves.
    """

    model_config = ConfigDict(
        frozen=True,
        alias_generator=AliasGenerator(validation_alias=lambda name: PREFIX + name.upper()),
        populate_by_name=True,
    )

    member: MemberName
    display_name: Text
    country: Country
    node_address: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    gateway_url: Url | None = None
    engine: Engine | None = None
    exporter_url: Url | None = None
    heartbeat_s: Annotated[int, Field(ge=1, le=300)] = 10
    health_port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    kubeconfig: str | None = None


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings; an empty variable counts as absent.

    Raises:
        SettingsError: one sentence for each variable that is missing or wrong.
    """
    present = {name: value for name, value in environment.items() if name.startswith(PREFIX) and value}
    try:
        return Settings.model_validate(present)
    except ValidationError as error:
        parts = [f"{part['loc'][0]}: {part['msg']}" for part in error.errors(include_url=False)]
        raise SettingsError("; ".join(parts) + "; set it in the agent's Deployment") from None
