"""HubSite: the neutral hub's whole site as one Pulumi component."""

from typing import Any

import pulumi

from infra.sites.hub.args import HubSiteArgs
from infra.sites.hub.manifests import is_kept, lawful_manifests
from infra.sites.policy import NO_CHARTER
from infra.sites.rbac import SYSTEM
from infra.sites.registration import register

HUB_TYPE = "commonweal:site:HubSite"


class HubSite(pulumi.ComponentResource):
    """The kinds, rights and fences of a hub, its operator, its front door and its dashboard, in the hub's own cluster.

    The kinds, the namespace and a claim of the books are never deleted.
    Outputs: `hub`, `namespace`, `images` and `front_door_ports`.

    Raises:
        SiteError: An object breaks a rule of the consortium; none has been registered.
    """

    hub: pulumi.Output[str]
    namespace: pulumi.Output[str]
    images: pulumi.Output[list[str]]
    front_door_ports: pulumi.Output[list[int]]

    def __init__(self, name: str, args: HubSiteArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        manifests = lawful_manifests(args)
        super().__init__(HUB_TYPE, name, {}, opts)
        if args.allowed_images is None:
            pulumi.warn(NO_CHARTER, self)
        register(self, name, manifests, kept=is_kept, opts=opts)
        self.hub = pulumi.Output.from_input(args.hub)
        self.namespace = pulumi.Output.from_input(SYSTEM)
        self.images = pulumi.Output.from_input([args.image, args.front_door_image])
        self.front_door_ports = pulumi.Output.from_input(list(args.doors))
        self.register_outputs(self.summary())

    def summary(self) -> dict[str, pulumi.Output[Any]]:
        """The outputs under the names that a stack exports."""
        return {
            "hub": self.hub,
            "namespace": self.namespace,
            "images": self.images,
            "frontDoorPorts": self.front_door_ports,
        }
