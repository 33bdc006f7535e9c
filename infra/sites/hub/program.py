"""The Pulumi program of the hub's site, from the stack's configuration: `pulumi up` in this folder."""

from collections.abc import Mapping
from dataclasses import fields

import pulumi
from pydantic.alias_generators import to_camel

from infra.sites.args import read_args
from infra.sites.hub.args import HubSiteArgs
from infra.sites.hub.component import HubSite
from infra.sites.pinned import CLUSTER_UID, KUBECONFIG, require_keys, run_program, site_provider

PROJECT = "hub-site"
SITE_KEYS = {to_camel(item.name): item.name for item in fields(HubSiteArgs) if item.name != "hub"}
CONFIG_KEYS = (*SITE_KEYS, CLUSTER_UID, KUBECONFIG)


def checked(hub: str, config: Mapping[str, str]) -> HubSiteArgs:
    """The arguments of the hub's site from its stack's configuration.

    Raises:
        SiteError: A value is missing, unknown or out of its bounds.
    """
    require_keys(config, CONFIG_KEYS, f"the hub {hub}")
    return read_args(HubSiteArgs, {"hub": hub, **{SITE_KEYS[key]: config[key] for key in config if key in SITE_KEYS}})


def hub_site(hub: str, config: Mapping[str, str]) -> HubSite:
    """Declare the hub's site and export its outputs.

    Raises:
        SiteError: The configuration lacks something or holds something that it should not, or breaks a rule.
    """
    args = checked(hub, config)
    gone = f"run `python -m infra.sites.hub forget --hub {hub}`; its books are needed to go on where it ended"
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
