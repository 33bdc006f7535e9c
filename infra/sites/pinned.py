"""The provider of a site's cluster, pinned to the cluster that the site stands on."""

from collections.abc import Callable, Collection, Mapping

import pulumi
import pulumi_kubernetes as kubernetes

from infra.sites.args import SiteError
from infra.sites.programs import PROVIDER_VERSION, installed_sdks, require_matching_sdks

KUBECONFIG = "kubeconfig"
CLUSTER_UID = "clusterUid"
CLUSTER = "cluster"  # the name under which kube-system is read


def require_keys(config: Mapping[str, str], keys: Collection[str], whose: str) -> None:
    """Refuse a configuration with a key that nobody reads, or that leads to no cluster.

    Raises:
        SiteError: It does; the message names the key.
    """
    if unknown := sorted(set(config) - set(keys)):
        raise SiteError(f"{unknown[0]}: unknown; a site takes {', '.join(sorted(keys))}")
    if KUBECONFIG not in config:
        raise SiteError(f"{KUBECONFIG}: missing; name the file that leads to the cluster of {whose}")


def run_program(project: str, keys: Collection[str], declare: Callable[[str, Mapping[str, str]], object]) -> None:
    """A program as Pulumi runs it: the stack bears the site's name, its configuration says the rest."""
    config = pulumi.Config(project)
    values = {key: value for key in keys if (value := config.get(key)) is not None}
    try:
        require_matching_sdks(installed_sdks())
        declare(pulumi.get_stack(), values)
    except SiteError as error:
        raise pulumi.RunError(str(error)) from None  # which Pulumi shows without a trace


def site_provider(name: str, config: Mapping[str, str], *, gone: str) -> tuple[kubernetes.Provider, pulumi.Output[str]]:
    """The provider for the site `name`, and the uid of its cluster.

    It is given the kubeconfig's path, so that no credential enters the state, and the site's name as the cluster's
    identity, so that renewed credentials or a moved API server replace nothing. A run fails when the configuration
    remembers another uid; `gone` says what to do where the old cluster is no more.
    """
    uid = _cluster_uid(name, config, gone)
    # Known only once the cluster has shown who it is: so nothing of another cluster is touched, not even by a later
    # `destroy`, which speaks through the provider that the state remembers.
    return _provider(name, uid.apply(lambda _: config[KUBECONFIG]), cluster_identifier=name), uid


def _cluster_uid(name: str, config: Mapping[str, str], gone: str) -> pulumi.Output[str]:
    """The uid of kube-system where the kubeconfig leads: as old as the cluster, and never changed."""
    expected = config.get(CLUSTER_UID)
    probe = _provider(f"{name}-{CLUSTER}", config[KUBECONFIG], cluster_identifier=name)
    options = pulumi.ResourceOptions(provider=probe)
    system = kubernetes.core.v1.Namespace.get(f"{name}/{CLUSTER}", "kube-system", opts=options)

    def same(found: str) -> str:
        if expected not in {None, found}:
            raise pulumi.RunError(
                f"the kubeconfig leads to cluster {found} and the site of {name} stands on {expected}; give "
                f"the right one, or, if the old cluster is gone, {gone}"
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
        # Else one that changes is deleted first, and its reader finds none for a while.
        enable_config_map_mutable=True,
        opts=pulumi.ResourceOptions(version=PROVIDER_VERSION),
    )
