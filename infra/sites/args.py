"""What a member's site is made from: flat, frozen and checked, so that YAML and TypeScript programs can say it too.

A MemberSite holds a DataTrustSite and a MeteringSite, so its arguments are theirs and its own in one flat list.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from commonweal.kinds.consortium import ImageSource
from commonweal.kinds.member import Engine
from commonweal.kinds.meta import Country, GridZone, MemberName, Text

Image = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._/:-]*(:[\w.-]+|@sha256:[0-9a-f]{64})$", max_length=512)
]


def _split(value: object) -> object:
    return tuple(filter(None, value.split(","))) if isinstance(value, str) else value


# A configuration holds text only.
COMMAS = BeforeValidator(_split)
EMPTY_IS_UNSET = BeforeValidator(lambda value: None if value == "" else value)
HostPath = Annotated[str, StringConstraints(pattern=r"^/[^:]+$", max_length=255)]
BucketAddress = Annotated[
    str, StringConstraints(pattern=r"^(s3://[a-z0-9.-]+(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+)?$", max_length=512)
]

Args = TypeVar("Args")


class SiteError(Exception):
    """The site cannot be provisioned as asked; the message says what is wrong, where, and what to do."""


@dataclass(frozen=True, kw_only=True)
class SiteArgs:
    """What every part of a member's site is told: whose it is, our image, and whether to wait until its pods run."""

    __pydantic_config__ = ConfigDict(use_attribute_docstrings=True, extra="forbid", arbitrary_types_allowed=True)

    member: MemberName
    """The member's name, as ca."""
    image: Image
    """Our image, by digest."""
    wait_for_pods: bool = True
    """Whether to wait until the pods run."""


@dataclass(frozen=True, kw_only=True)
class MeteringSiteArgs(SiteArgs):
    """The arguments of a MeteringSite.

    The exporter's readings outlive its pod at `meter_host_path`, else only its container. The user id 65532 must own
    that path. `pod_resources_host_path`, the kubelet's (mostly /var/lib/kubelet/pod-resources), has the exporter tell
    energy by pod: it then runs as root, which alone may ask the kubelet, and root must own `meter_host_path`.
    `simulated_gpus` above 0 replaces the node's driver by a simulation that says so.
    """

    meter_host_path: HostPath | None = None
    """Folder of the node in which readings outlive the exporter's pod; the user id 65532 owns it."""
    pod_resources_host_path: HostPath | None = None
    """The kubelet's pod-resources folder, to tell energy by pod; the exporter then runs as root."""
    meter_period_s: Annotated[int, Field(ge=15, le=86_400)] = 3600
    """Seconds of an accounting period, as in the charter."""
    simulated_gpus: Annotated[int, Field(ge=0, le=16)] = 0
    """GPUs to simulate where the node has none; every reading says so."""


@dataclass(frozen=True, kw_only=True)
class DataTrustSiteArgs(SiteArgs):
    """The arguments of a DataTrustSite.

    Data lies either on the node at `data_host_path`, which the user id 65532 must own, or on a claim of
    `data_claim_mib` from the cluster's storage. `node_address` is where other members reach a node. `witnesses` are the
    audit log's, each as VKEY ADDRESS, on a port on which the site lets the gateway out (443). `warehouse` and what
    starts with `store_` go together: tables lie in a bucket, and the gateway is let out on its store's port.
    """

    node_address: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    """Where other members reach a node of this cluster."""
    gateway_node_port: Annotated[int, Field(ge=30000, le=32767)] = 30443
    """The node port of the gateway."""
    engine: Engine = Engine.TRINO
    """What answers questions."""
    trino_image: Image | None = None
    """Trino's image, by digest; needed where the engine is trino."""
    data_host_path: HostPath | None = None
    """Folder of the node that holds the data; the user id 65532 owns it."""
    data_claim_mib: Annotated[int, Field(ge=64)] | None = None
    """MiB of the claim that holds the data, in place of a folder."""
    witnesses: Annotated[str, StringConstraints(max_length=8192)] = ""
    """Witnesses of the audit log, each as VKEY ADDRESS, all separated by white space."""
    warehouse: BucketAddress = ""
    """Bucket that holds the tables, as s3://BUCKET/PREFIX; the data folder holds the rest, and all without it."""
    store_endpoint: Annotated[str, StringConstraints(pattern=r"^(https?://[^/@:]+(:\d+)?)?$", max_length=512)] = ""
    """Where the bucket's store answers, as https://HOST:PORT."""
    store_region: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]*$", max_length=63)] = ""
    """The store's region; many stores take us-east-1."""
    store_secret: Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]*$", max_length=253)] = ""
    """Secret in commonweal-data with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; the site never sees them."""

    def __post_init__(self) -> None:
        if (self.data_host_path is None) == (self.data_claim_mib is None):
            raise ValueError(
                "data_host_path, data_claim_mib: give one of the two, the place where the member's data lies"
            )
        if self.engine is Engine.TRINO and self.trino_image is None:
            raise ValueError("trino_image: the engine trino needs one; build it, or choose the engine duckdb")
        if self.engine is not Engine.TRINO and self.trino_image is not None:
            raise ValueError(f"trino_image: the engine {self.engine} runs without one; leave it out")
        told = (self.warehouse, self.store_endpoint, self.store_region, self.store_secret)
        if any(told) and not all(told):
            raise ValueError("warehouse, store_endpoint, store_region, store_secret: give all four, or none")

    @property
    def store_port(self) -> int | None:
        """The port of the bucket's store, or None where the tables lie in the data folder."""
        address = urlsplit(self.store_endpoint)
        return (address.port or {"http": 80, "https": 443}[address.scheme]) if self.warehouse else None

    @property
    def gateway_url(self) -> str:
        """Where other members' pods find this member's gateway."""
        return f"https://{self.node_address}:{self.gateway_node_port}"

    @property
    def images(self) -> tuple[str, ...]:
        """Every image that the site runs."""
        return (self.image,) if self.trino_image is None else (self.image, self.trino_image)


@dataclass(frozen=True, kw_only=True)
class MemberSiteArgs(DataTrustSiteArgs, MeteringSiteArgs):
    """The arguments of a MemberSite: those of its DataTrustSite and its MeteringSite, and what is its own.

    `hub_invitation` is the text of an invitation file; None once it has served.

    What starts with `allowed_` or `overhead_` is the charter's: empty lists allow every country and zone, no images by
    tag; None says that no charter was named. `grid_zone` is the zone of the electricity grid, as in the pledge.
    """

    display_name: Text
    """The member's name for people."""
    country: Country
    """ISO 3166-1 alpha-2 code of the jurisdiction."""
    pledge_cpu_millis: Annotated[int, Field(ge=0)]
    """Thousandths of a core that the member pledges."""
    pledge_memory_mib: Annotated[int, Field(ge=0)]
    """MiB of memory that the member pledges."""
    pledge_gpus: Annotated[int, Field(ge=0)]
    """GPUs that the member pledges."""
    grid_zone: GridZone | None = None
    """Zone of the electricity grid, as in the pledge."""
    allowed_countries: Annotated[tuple[Country, ...], COMMAS] = ()
    """Countries that the charter allows; empty allows every one."""
    allowed_grid_zones: Annotated[tuple[GridZone, ...], COMMAS] = ()
    """Grid zones that the charter allows; empty allows every one."""
    allowed_images: Annotated[tuple[ImageSource, ...] | None, COMMAS] = None
    """Registries whose tags the charter believes; empty believes none."""
    overhead_cpu_millis: Annotated[Annotated[int, Field(ge=0)] | None, EMPTY_IS_UNSET] = None
    """Thousandths of a core that the site's own pods may request, by the charter."""
    overhead_memory_mib: Annotated[Annotated[int, Field(ge=0)] | None, EMPTY_IS_UNSET] = None
    """MiB that the site's own pods may request, by the charter."""
    hub_invitation: Any = None
    """The text of an invitation; it serves once."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.overhead_cpu_millis is None) != (self.overhead_memory_mib is None):
            raise ValueError("overhead_cpu_millis, overhead_memory_mib: give both, as the charter does, or neither")


def site_args(values: Mapping[str, Any]) -> MemberSiteArgs:
    """Check `values`, as a stack's configuration holds them, and make the arguments.

    Raises:
        SiteError: A value is missing, unknown or out of its bounds; the message names each.
    """
    return read_args(MemberSiteArgs, values)


def read_args(kind: type[Args], values: Mapping[str, Any]) -> Args:
    """Arguments of any component from a stack's configuration.

    Raises:
        SiteError: A value is missing, unknown or out of its bounds; the message names each.
    """
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        raise SiteError(
            "; ".join(_complaint(part["loc"], part["msg"], part.get("input")) for part in error.errors())
        ) from None


def descriptions(kind: type[Any]) -> dict[str, str]:
    """What each argument means, by its name: the docstring beside it, also of those that a component's parts bring.

    Of a choice it lists what may be chosen.
    """
    found: dict[str, str] = {}
    for part in filter(is_dataclass, reversed(kind.__mro__)):
        schema = TypeAdapter(part).json_schema()
        for name, body in schema.get("properties", {}).items():
            if meaning := body.get("description"):
                choices = schema["$defs"][body["$ref"].rpartition("/")[2]]["enum"] if "$ref" in body else ()
                found[name] = f"{meaning} One of {', '.join(choices)}." if choices else meaning
    return found


def text_of(value: object) -> str:
    """An argument's value as a configuration holds it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _complaint(place: tuple[int | str, ...], message: str, given: object) -> str:
    text = re.sub(r"^Value error, ", "", message)
    if not place:
        return text
    where = ".".join(str(step) for step in place)
    return f"{where}: {text}" if isinstance(given, Mapping) or given is None else f"{where}: {text}, not {given!r}"
