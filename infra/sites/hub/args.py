"""What the hub's site is made from: flat, frozen and checked, as a member's."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from commonweal.kinds.consortium import ImageSource
from commonweal.kinds.meta import MemberName
from infra.sites.args import COMMAS, HostPath, Image

LOWEST_NODE_PORT = 30_000
HIGHEST_NODE_PORT = 32_767
SecretName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=63)]


class Exposure(StrEnum):
    """How the front door is reached from outside the cluster."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


@dataclass(frozen=True, kw_only=True)
class HubSiteArgs:
    """The arguments of a HubSite.

    The books (log, ledger, postings) lie either on a claim of `state_claim_mib` from the cluster's storage or on the
    one node at `state_host_path`, which the user id 65532 must own. `image` is the hub image, `front_door_image` holds
    HAProxy.

    Pilots are announced under `public_host` on the ports from `front_door_first_port` up, of which the front door opens
    `front_door_doors`. `front_door_tls_secret` is a Secret of type kubernetes.io/tls in `commonweal-system`; with it
    doors speak HTTPS. Without it the front door stays inside the cluster (ClusterIP), for a gateway of the hub's own
    that speaks HTTPS to the world.

    `allowed_images` is the charter's `spec.sites.imageSources`: registries whose tags are believed; empty believes
    none, None says that no charter was named.
    """

    __pydantic_config__ = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    hub: MemberName
    """The hub's name, as ch."""
    image: Image
    """The hub image, by digest."""
    front_door_image: Image
    """The image with HAProxy, by digest."""
    public_host: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$", max_length=253)]
    """Where the public finds the pilots."""
    front_door_exposure: Exposure = Exposure.CLUSTER_IP
    """How pilots are reached from outside the cluster."""
    front_door_first_port: Annotated[int, Field(ge=1026, le=65_000)] = 18_080
    """The port of the first pilot; each further pilot has the next."""
    front_door_doors: Annotated[int, Field(ge=1, le=64)] = 16
    """How many pilots the front door opens a port for."""
    front_door_replicas: Annotated[int, Field(ge=1, le=16)] = 2
    """How many front doors stand side by side."""
    front_door_tls_secret: SecretName | None = None
    """Secret of type kubernetes.io/tls with which doors speak HTTPS."""
    state_claim_mib: Annotated[int, Field(ge=64)] | None = None
    """MiB of the claim that holds the books."""
    state_host_path: HostPath | None = None
    """Folder of the one node that holds the books, in place of a claim; the user id 65532 owns it."""
    allowed_images: Annotated[tuple[ImageSource, ...] | None, COMMAS] = None
    """Registries whose tags the charter believes; empty believes none."""
    wait_for_pods: bool = True
    """Whether to wait until the pods run."""

    def __post_init__(self) -> None:
        if (self.state_host_path is None) == (self.state_claim_mib is None):
            raise ValueError("state_host_path, state_claim_mib: give one of the two, the place where the books lie")
        if self.front_door_exposure is not Exposure.CLUSTER_IP and self.front_door_tls_secret is None:
            raise ValueError(
                f"front_door_tls_secret: a front door by {self.front_door_exposure} is open to the outside and speaks "
                "HTTPS; name the Secret of its certificate, or keep it a ClusterIP behind a gateway that does"
            )
        in_range = self.front_door_first_port > LOWEST_NODE_PORT and self.last_port <= HIGHEST_NODE_PORT
        if self.front_door_exposure is Exposure.NODE_PORT and not in_range:
            raise ValueError(
                f"front_door_first_port: doors are node ports of the same number, from {LOWEST_NODE_PORT + 1} to "
                f"{HIGHEST_NODE_PORT}; choose one whose {self.front_door_doors} doors lie between"
            )

    @property
    def last_port(self) -> int:
        """The port of the last door that the front door opens."""
        return self.front_door_first_port + self.front_door_doors - 1

    @property
    def doors(self) -> range:
        """The port of every door."""
        return range(self.front_door_first_port, self.last_port + 1)

    @property
    def status_port(self) -> int:
        """Where the front door says that it is up."""
        return self.front_door_first_port - 1
