"""What each identity of a member's site may do in the member's own cluster: the whole of it, as data.

Rights on the hub are bound by the hub and are not here. `tests/unit/sites` keeps the readable form of this file as a
golden file, so that a widened right shows in review.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from commonweal.site_policy.rule import APPS, DATA, SYSTEM

__all__ = ["AGENT", "APPS", "DATA", "EXPORTER", "GATEWAY", "IDENTITIES", "SYSTEM", "Identity", "Rule"]

READ = ("get", "list", "watch")
MANAGE = (*READ, "create", "patch", "delete")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One grant: `verbs` on `resources` of one API `group`, or on `urls`; in one namespace, or everywhere if None."""

    why: str
    verbs: tuple[str, ...]
    namespace: str | None
    group: str = ""
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if "*" in "".join((*self.verbs, self.group, *self.resources, *self.names, *self.urls)):
            raise ValueError(f"{self.why}: a rule names what it grants; replace the * by the verbs or resources meant")
        if self.urls and self.namespace is not None:
            raise ValueError(f"{self.why}: URLs belong to the whole cluster; leave the namespace None")

    def manifest(self) -> dict[str, list[str]]:
        """The rule as rbac.authorization.k8s.io/v1 writes it."""
        if self.urls:
            return {"nonResourceURLs": list(self.urls), "verbs": list(self.verbs)}
        names = {"resourceNames": list(self.names)} if self.names else {}
        return {"apiGroups": [self.group], "resources": list(self.resources), "verbs": list(self.verbs), **names}

    def sentences(self, identity: str) -> Iterator[str]:
        """One line for each thing this rule lets `identity` do."""
        where = self.namespace or "the whole cluster"
        for verb in self.verbs:
            for url in self.urls:
                yield f"{identity} may {verb} {url}"
            for resource in self.resources:
                kind = f"{resource}.{self.group}" if self.group else resource
                for name in self.names or ("",):
                    yield f"{identity} may {verb} {kind}{f' {name}' if name else ''} in {where}"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A ServiceAccount of the site and all its rights."""

    name: str
    namespace: str
    rules: tuple[Rule, ...]

    def scopes(self) -> tuple[str | None, ...]:
        """The namespaces in which it has rights, None for the whole cluster; each once, in order of first mention."""
        return tuple(dict.fromkeys(rule.namespace for rule in self.rules))

    def sentences(self) -> tuple[str, ...]:
        """All that the identity may do, one line each, sorted."""
        return tuple(sorted({line for rule in self.rules for line in rule.sentences(self.name)}))


AGENT = Identity(
    name="agent",
    namespace=SYSTEM,
    rules=(
        Rule(
            why="Assignments hold these",
            namespace=APPS,
            resources=("configmaps", "serviceaccounts", "services"),
            verbs=MANAGE,
        ),
        Rule(why="Assignments hold these", namespace=APPS, group="apps", resources=("deployments",), verbs=MANAGE),
        Rule(why="it reports why a pod is not ready", namespace=APPS, resources=("pods",), verbs=READ),
        Rule(
            why="it reports no more capacity than the pledge",
            namespace=APPS,
            resources=("resourcequotas",),
            names=("pledge",),
            verbs=("get",),
        ),
        Rule(
            why="Assignments hold the gateway's policies; the gateway publishes its certificate there",
            namespace=DATA,
            resources=("configmaps",),
            verbs=MANAGE,
        ),
        Rule(
            why="it makes its identity and stores the hub's certificate; creation cannot be limited by name",
            namespace=SYSTEM,
            resources=("secrets",),
            verbs=("create",),
        ),
        Rule(
            why="it keeps its own two secrets",
            namespace=SYSTEM,
            resources=("secrets",),
            names=("hub-credentials", "member-identity"),
            verbs=("get", "patch"),
        ),
        Rule(
            why="it joins with the invitation that the site was given",
            namespace=SYSTEM,
            resources=("secrets",),
            names=("hub-invitation",),
            verbs=("get",),
        ),
        Rule(
            why="the site document carries what the site is declared as, and what it differs in",
            namespace=SYSTEM,
            resources=("configmaps",),
            names=("site-declaration", "site-drift"),
            verbs=("get",),
        ),
        Rule(why="it finds the exporters, whose readings it signs", namespace=SYSTEM, resources=("pods",), verbs=READ),
        Rule(why="it reports allocatable capacity", namespace=None, resources=("nodes",), verbs=READ),
        Rule(
            why="the site document carries the issuer and its keys",
            namespace=None,
            urls=("/.well-known/openid-configuration", "/openid/v1/jwks"),
            verbs=("get",),
        ),
    ),
)

GATEWAY = Identity(
    name="gateway",
    namespace=DATA,
    rules=(
        Rule(why="policies and grants come as ConfigMaps", namespace=DATA, resources=("configmaps",), verbs=READ),
        Rule(
            why="it publishes its address and certificate; creation cannot be limited by name",
            namespace=DATA,
            resources=("configmaps", "secrets"),
            verbs=("create",),
        ),
        Rule(
            why="it publishes its address and certificate",
            namespace=DATA,
            resources=("configmaps",),
            names=("gateway-site",),
            verbs=("patch",),
        ),
        Rule(
            why="it makes and renews its certificate",
            namespace=DATA,
            resources=("secrets",),
            names=("gateway-tls",),
            verbs=("get", "patch"),
        ),
    ),
)

# It reads a device and serves what it read; it needs nothing of the API server, not even a token.
EXPORTER = Identity(name="exporter", namespace=SYSTEM, rules=())

IDENTITIES = (AGENT, EXPORTER, GATEWAY)
