"""The two kinds of sites, a member's and the hub's: all that they differ in for whoever provisions one is data here."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from commonweal.site_policy import Facts
from infra.sites import cluster
from infra.sites.args import MemberSiteArgs
from infra.sites.hub import manifests as hub_site
from infra.sites.hub import program as hub_program
from infra.sites.hub import release as hub_release
from infra.sites.hub.args import HubSiteArgs
from infra.sites.manifests import facts_of, site_manifests
from infra.sites.objects import Manifest
from infra.sites.pinned import KUBECONFIG
from infra.sites.program import CONFIG_KEYS, INVITATION, PROJECT, SITE_KEYS, checked, member_site
from infra.sites.release import BREAKS, require_member_released
from operators.kube import Kube

VERBS = {
    "up": "bring the site to what its configuration says",
    "preview": "show what `up` would do",
    "plan": "print what the site would get, without engine or cluster",
    "rules": "print the consortium's rules that hold for the site, as JSON",
    "check": "judge the objects of a file by them, as the site's API server will",
    "refresh": "read the cluster's drift into the state",
    "outputs": "print the outputs of the last `up` as JSON",
    "forget": "drop the state of a site whose cluster is gone for good",
}
MEMBER_VERBS = {
    "drift": "say what of the site others changed, here and to the hub, and change nothing",
    "destroy": "take the site away, except data on a claim, once the hub has let the member go",
    "rotate-identity": "give the member a new identity, once the hub has let the old one go",
}
HUB_VERBS = {
    "drift": "say what of the site others changed, and change nothing",
    "destroy": "take the site away, except its records and its books, once every member was let go",
}


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What a configuration says of a site: its objects, and the facts by which the rules judge them."""

    manifests: tuple[Manifest, ...]
    facts: Facts


@dataclass(frozen=True, kw_only=True)
class SiteKind:
    """One kind of site.

    Attributes:
        noun: Its flag on the command line is named so.
        module: What `python -m` runs.
        folder: Where the stacks of this kind lie, below the state folder.
        args: The component's arguments; `arguments` are their names by configuration key.
        keys: Of its configuration, which also names `files`.
        declared: Reads a configuration; raises SiteError where it is wrong.
        program: Declares the site to Pulumi.
        release: Raises SiteError while somebody may still count on the site.
        breaks: What goes wrong when `destroy` does not ask.
        kept: What it is that `destroy` leaves.
        clear: Removes what the site's pods wrote beside what is kept; returns the names.
        tell: Leaves what `drift` found where the hub hears of it.
    """

    noun: str
    module: str
    project: str
    folder: str
    verbs: Mapping[str, str]
    args: type[Any]
    arguments: Mapping[str, str]
    keys: tuple[str, ...]
    files: tuple[str, ...]
    declared: Callable[[str, Mapping[str, str]], Declared]
    program: Callable[[str, Mapping[str, str]], object]
    release: Callable[[Kube, str], Awaitable[None]]
    breaks: str
    kept: str
    clear: Callable[[Kube], Awaitable[list[str]]] | None = None
    tell: Callable[[Kube, Sequence[str], datetime], Awaitable[None]] | None = None


def _member(name: str, config: Mapping[str, str]) -> Declared:
    args = checked(name, config)
    return Declared(manifests=site_manifests(args), facts=facts_of(args))


def _hub(name: str, config: Mapping[str, str]) -> Declared:
    args = hub_program.checked(name, config)
    return Declared(manifests=hub_site.hub_manifests(args), facts=hub_site.facts_of(args))


MEMBER = SiteKind(
    noun="member",
    module="infra.sites",
    project=PROJECT,
    folder="sites",
    verbs=VERBS | MEMBER_VERBS,
    args=MemberSiteArgs,
    arguments=SITE_KEYS,
    keys=CONFIG_KEYS,
    files=(KUBECONFIG, INVITATION),
    declared=_member,
    program=member_site,
    release=require_member_released,
    breaks=BREAKS,
    kept="the member's data",
    clear=cluster.clear_beside_data,
    tell=cluster.report_drift,
)
HUB = SiteKind(
    noun="hub",
    module="infra.sites.hub",
    project=hub_program.PROJECT,
    folder="hub-sites",
    verbs=VERBS | HUB_VERBS,
    args=HubSiteArgs,
    arguments=hub_program.SITE_KEYS,
    keys=hub_program.CONFIG_KEYS,
    files=(KUBECONFIG,),
    declared=_hub,
    program=hub_program.hub_site,
    release=hub_release.require_members_released,
    breaks=hub_release.BREAKS,
    kept="the consortium's records",
)
KINDS = {kind.project: kind for kind in (MEMBER, HUB)}
