"""The Pulumi program of the hub's site, from the stack's configuration: `pulumi up` in this folder."""

from collections.abc import Mapping
from dataclasses import fields

import pulumi
from pydantic.alias_generators import to_camel

from infra.sites.args import SiteError, read_args
from infra.sites.hub.args import HubSiteArgs
from infra.sites.hub.component import HubSite
from infra.sites.pinned import CLUSTER_UID, KUBECONFIG, run_program, site_provider

PROJECT = "hub-site"
SITE_KEYS = {to_camel(item.name): item.name for item in fields(HubSiteArgs) if item.name != "hub"}
CONFIG_KEYS = (*SITE_KEYS, CLUSTER_UID, KUBECONFIG)


def hub_site(hub: str, config: Mapping[str, str]) -> HubSite:
    """Declare the hub's site and export its outputs.

    Raises:
        SiteError: The configuration lacks something or holds something that it should not, or breaks a rule.
    """
    if KUBECONFIG not in config:
        raise SiteError(f"{KUBECONFIG}: missing; name the file that leads to the cluster of the hub {hub}")
    values = {SITE_KEYS[key]: value for key, value in config.items() if key in SITE_KEYS}
    args = read_args(HubSiteArgs, {"hub": hub, **values})
    gone = f"begin another stack; the books of {hub} are needed to go on where it ended"
    provider, uid = site_provider(hub, config, gone=gone)
    site = HubSite(hub, args, pulumi.ResourceOptions(provider=provider))
    for name, value in {**site.summary(), CLUSTER_UID: uid}.items():
        pulumi.export(name, value)
    return site


def main() -> None:
    """The program as Pulumi runs it; the stack bears the hub's name."""
    run_program(PROJECT, CONFIG_KEYS, hub_site)


if __name__ == "__main__":
    main()
