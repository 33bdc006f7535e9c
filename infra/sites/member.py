"""MemberSite, a member's whole site as one Pulumi component, and the two parts of it that are components themselves."""

from typing import Any

import pulumi
from pydantic import TypeAdapter

from commonweal.site_policy import Facts
from infra.sites.args import DataTrustSiteArgs, MemberSiteArgs, MeteringSiteArgs
from infra.sites.manifests import (
    data_trust_manifests,
    declaration_text,
    facts_of,
    frame_manifests,
    metering_manifests,
)
from infra.sites.objects import Manifest
from infra.sites.policy import NO_CHARTER, lawful, lawful_manifests
from infra.sites.rbac import APPS, DATA, SYSTEM
from infra.sites.registration import register, unbound

SITE_TYPE = "commonweal:site:MemberSite"
DATA_TRUST_TYPE = "commonweal:site:DataTrustSite"
METERING_TYPE = "commonweal:site:MeteringSite"
FACTS = "facts"
METER_IN_POD = (
    "meterHostPath: not named, so an upgrade loses the open accounting period and every reading that the agent has not "
    "fetched; name a folder of the node"
)


class DataTrustSite(pulumi.ComponentResource):
    """The gateway of one member's data, its engine, and the claim that the data lies on.

    It needs the namespace `commonweal-data`, which a MemberSite makes, and the agent's policies in it.
    Outputs: `gateway_url` and `engine`.

    Raises:
        SiteError: An object breaks a rule of the consortium that needs no charter; none has been registered.
    """

    gateway_url: pulumi.Output[str]
    engine: pulumi.Output[str]

    def __init__(self, name: str, args: DataTrustSiteArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        manifests = lawful(data_trust_manifests(args), Facts())
        super().__init__(DATA_TRUST_TYPE, name, {}, unbound(opts))
        kept = "PersistentVolumeClaim"
        register(self, name, manifests, kept=lambda each: each["kind"] == kept, opts=opts, former=_site_around(opts))
        self.gateway_url = pulumi.Output.from_input(args.gateway_url)
        self.engine = pulumi.Output.from_input(args.engine.value)
        self.register_outputs(self.summary())

    def summary(self) -> dict[str, pulumi.Output[Any]]:
        """The outputs under the names that other programs know."""
        return {"gatewayUrl": self.gateway_url, "engine": self.engine}


class MeteringSite(pulumi.ComponentResource):
    """The exporter on every node of one member, which reads the energy registers of its GPUs.

    It needs the namespace `commonweal-system`, which a MemberSite makes, and an agent that signs the readings.
    Output: `simulated`, whether the readings are of no real device.

    Raises:
        SiteError: An object breaks a rule of the consortium that needs no charter; none has been registered.
    """

    simulated: pulumi.Output[bool]

    def __init__(self, name: str, args: MeteringSiteArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        manifests = lawful(metering_manifests(args), Facts())
        super().__init__(METERING_TYPE, name, {}, unbound(opts))
        if args.meter_host_path is None:
            pulumi.warn(METER_IN_POD, self)
        register(self, name, manifests, opts=opts, former=_site_around(opts))
        self.simulated = pulumi.Output.from_input(args.simulated_gpus > 0)
        self.register_outputs(self.summary())

    def summary(self) -> dict[str, pulumi.Output[Any]]:
        """The outputs under the names that other programs know."""
        return {"simulated": self.simulated}


class MemberSite(pulumi.ComponentResource):
    """Namespaces, rights, quota and agent of one member, in its own cluster; its data trust and its metering in them.

    Outputs: `member`, `namespaces`, `gateway_url`, `engine`, `images`, and `declaration`, the text of what the site is
    declared as, which the agent signs and the hub verifies.

    Raises:
        SiteError: An object breaks a rule of the consortium; none has been registered.
    """

    member: pulumi.Output[str]
    namespaces: pulumi.Output[list[str]]
    gateway_url: pulumi.Output[str]
    engine: pulumi.Output[str]
    images: pulumi.Output[list[str]]
    declaration: pulumi.Output[str]

    def __init__(self, name: str, args: MemberSiteArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        lawful_manifests(args)
        # The facts go along for Pulumi's policy packs, which see inputs and nothing else.
        super().__init__(SITE_TYPE, name, {FACTS: TypeAdapter(Facts).dump_python(facts_of(args), mode="json")}, opts)
        if args.allowed_images is None:
            pulumi.warn(NO_CHARTER, self)
        frame = register(self, name, frame_manifests(args), kept=lambda each: _around_data(args, each), opts=opts)
        inside = pulumi.ResourceOptions(parent=self, depends_on=frame)
        data_trust = DataTrustSite(name, args, inside)
        MeteringSite(name, args, inside)
        self.member = pulumi.Output.from_input(args.member)
        self.namespaces = pulumi.Output.from_input([SYSTEM, DATA, APPS])
        self.gateway_url = data_trust.gateway_url
        self.engine = data_trust.engine
        self.images = pulumi.Output.from_input(list(args.images))
        self.declaration = pulumi.Output.from_input(declaration_text(args))
        self.register_outputs(self.summary())

    def summary(self) -> dict[str, pulumi.Output[Any]]:
        """The outputs under the names that a stack exports."""
        return {
            "member": self.member,
            "namespaces": self.namespaces,
            "gatewayUrl": self.gateway_url,
            "engine": self.engine,
            "images": self.images,
            "declaration": self.declaration,
        }


def _around_data(args: DataTrustSiteArgs, manifest: Manifest) -> bool:
    """Whether an object of the frame is the namespace around data on a claim, which nothing of ours may delete."""
    return args.data_claim_mib is not None and manifest["kind"] == "Namespace" and manifest["metadata"]["name"] == DATA


def _site_around(opts: pulumi.ResourceOptions | None) -> pulumi.Resource | None:
    """The MemberSite that a part of it stands in, and that once registered what is the part's now."""
    return opts.parent if opts and isinstance(opts.parent, MemberSite) else None
