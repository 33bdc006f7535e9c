"""The Pulumi program of a member's site, from the stack's configuration.

`pulumi up` in this folder runs it as Pulumi.yaml says; `python -m infra.sites` runs the same function inline.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

import pulumi
import pulumi_kubernetes as kubernetes
from pydantic.alias_generators import to_camel

from infra.sites.args import MemberSiteArgs, SiteError, site_args
from infra.sites.member import MemberSite
from infra.sites.programs import PROVIDER_VERSION

PROJECT = "member-site"
SITE_KEYS = {
    to_camel(item.name): item.name for item in fields(MemberSiteArgs) if item.name not in {"member", "hub_invitation"}
}
KUBECONFIG = "kubeconfig"
INVITATION = "hubInvitationFile"
CLUSTER_UID = "clusterUid"
CLUSTER = "cluster"  # the name under which kube-system is read
CONFIG_KEYS = (*SITE_KEYS, CLUSTER_UID, INVITATION, KUBECONFIG)


def checked(member: str, config: Mapping[str, str]) -> MemberSiteArgs:
    """The arguments of the member's site from its stack's configuration, without the invitation.

    Raises:
        SiteError: A value is missing, unknown or out of its bounds.
    """
    if unknown := sorted(set(config) - set(CONFIG_KEYS)):
        raise SiteError(f"{unknown[0]}: unknown; a site takes {', '.join(sorted(CONFIG_KEYS))}")
    if KUBECONFIG not in config:
        raise SiteError(f"{KUBECONFIG}: missing; name the file that leads to the cluster of {member}")
    return site_args({"member": member, **{SITE_KEYS[key]: value for key, value in config.items() if key in SITE_KEYS}})


def member_site(member: str, config: Mapping[str, str]) -> MemberSite:
    """Declare the member's site and export its outputs.

    The provider is given the kubeconfig's path, so that no credential enters the state, and the member's name as the
    cluster's identity, so that renewed credentials or a moved API server replace nothing.

    Raises:
        SiteError: The configuration lacks something or holds something that it should not, or breaks a rule.
    """
    args = checked(member, config)
    # An invitation serves once: when its file is gone, the Secret goes as well.
    if INVITATION in config and (path := Path(config[INVITATION])).exists():
        args = replace(args, hub_invitation=pulumi.Output.secret(path.read_text()))
    uid = cluster_uid(member, config)
    # Known only once the cluster has shown who it is: so nothing of another cluster is touched, not even by a later
    # `destroy`, which speaks through the provider that the state remembers.
    provider = _provider(member, uid.apply(lambda _: config[KUBECONFIG]), cluster_identifier=member)
    site = MemberSite(member, args, pulumi.ResourceOptions(provider=provider))
    for name, value in {**site.summary(), CLUSTER_UID: uid}.items():
        pulumi.export(name, value)
    return site


def cluster_uid(member: str, config: Mapping[str, str]) -> pulumi.Output[str]:
    """The uid of kube-system where the kubeconfig leads: as old as the cluster, and never changed.

    A run fails when the configuration remembers another.
    """
    expected = config.get(CLUSTER_UID)
    probe = _provider(f"{member}-{CLUSTER}", config[KUBECONFIG], cluster_identifier=member)
    options = pulumi.ResourceOptions(provider=probe)
    system = kubernetes.core.v1.Namespace.get(f"{member}/{CLUSTER}", "kube-system", opts=options)

    def same(found: str) -> str:
        if expected not in {None, found}:
            raise pulumi.RunError(
                f"the kubeconfig leads to cluster {found} and the site of {member} stands on {expected}; give "
                f"the right one, or, if the old cluster is gone, run `python -m infra.sites forget --member {member}`"
            )
        return found

    identity: pulumi.Output[str] = system.metadata.apply(lambda metadata: same(metadata.uid))
    return identity


def _provider(name: str, kubeconfig: pulumi.Input[str], *, cluster_identifier: str) -> kubernetes.Provider:
    return kubernetes.Provider(
        name,
        kubeconfig=kubeconfig,
        cluster_identifier=cluster_identifier,
        enable_server_side_apply=True,
        # An unreachable cluster is an error to be repaired, not a reason to forget what stands there.
        delete_unreachable=False,
        opts=pulumi.ResourceOptions(version=PROVIDER_VERSION),
    )


def main() -> None:
    """The program as Pulumi runs it: the stack bears the member's name, its configuration says the rest."""
    config = pulumi.Config(PROJECT)
    values = {key: value for key in CONFIG_KEYS if (value := config.get(key)) is not None}
    try:
        member_site(pulumi.get_stack(), values)
    except SiteError as error:
        raise pulumi.RunError(str(error)) from None  # which Pulumi shows without a trace


if __name__ == "__main__":
    main()
