"""The Pulumi program of a member's site, from the stack's configuration.

`pulumi up` in this folder runs it as Pulumi.yaml says; `python -m infra.sites` runs the same function inline.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

import pulumi
from pydantic.alias_generators import to_camel

from infra.sites.args import MemberSiteArgs, site_args
from infra.sites.member import MemberSite
from infra.sites.pinned import CLUSTER_UID, KUBECONFIG, require_keys, run_program, site_provider

PROJECT = "member-site"
SITE_KEYS = {
    to_camel(item.name): item.name for item in fields(MemberSiteArgs) if item.name not in {"member", "hub_invitation"}
}
INVITATION = "hubInvitationFile"
CONFIG_KEYS = (*SITE_KEYS, CLUSTER_UID, INVITATION, KUBECONFIG)


def checked(member: str, config: Mapping[str, str]) -> MemberSiteArgs:
    """The arguments of the member's site from its stack's configuration, without the invitation.

    Raises:
        SiteError: A value is missing, unknown or out of its bounds.
    """
    require_keys(config, CONFIG_KEYS, member)
    return site_args({"member": member, **{SITE_KEYS[key]: value for key, value in config.items() if key in SITE_KEYS}})


def member_site(member: str, config: Mapping[str, str]) -> MemberSite:
    """Declare the member's site and export its outputs.

    Raises:
        SiteError: The configuration lacks something or holds something that it should not, or breaks a rule.
    """
    args = checked(member, config)
    # An invitation serves once: when its file is gone, the Secret goes as well.
    if INVITATION in config and (path := Path(config[INVITATION])).exists():
        args = replace(args, hub_invitation=pulumi.Output.secret(path.read_text()))
    provider, uid = site_provider(member, config, gone=f"run `python -m infra.sites forget --member {member}`")
    site = MemberSite(member, args, pulumi.ResourceOptions(provider=provider))
    for name, value in {**site.summary(), CLUSTER_UID: uid}.items():
        pulumi.export(name, value)
    return site


def main() -> None:
    """The program as Pulumi runs it; the stack bears the member's name."""
    run_program(PROJECT, CONFIG_KEYS, member_site)


if __name__ == "__main__":
    main()
