"""What a rule about a member's site is, and the one sentence that it says in Python and in CEL."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from commonweal.kinds.consortium import Overhead
from commonweal.kinds.meta import Resources

Manifest = Mapping[str, Any]

SYSTEM, DATA, APPS = "commonweal-system", "commonweal-data", "commonweal-apps"
NAMESPACES = (SYSTEM, DATA, APPS)
OURS_PREFIX = "commonweal-"
MANAGED_BY, OURS = "app.kubernetes.io/managed-by", "commonweal"


class Severity(StrEnum):
    """How bad a breach is. Every breach is refused; this says what to mend first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the rules know beside the manifest: the member's pledge, and what the charter says of sites.

    Empty `countries` and `grid_zones` allow all. What is None is not known, and not judged: `pledge` before the site
    has said it, `image_sources` and `overhead` where no charter was named.
    """

    pledge: Resources | None = None
    countries: tuple[str, ...] = ()
    grid_zones: tuple[str, ...] = ()
    image_sources: tuple[str, ...] | None = None
    overhead: Overhead | None = None


@dataclass(frozen=True, kw_only=True)
class Target:
    """Kinds that are judged alike: `resources` maps a kind to its API group and plural; `variables` are CEL.

    Namespaced objects are judged in the site's namespaces. `cluster_scoped` says that there are others, which are
    judged where they are ours.
    """

    name: str
    resources: Mapping[str, tuple[str, str]]
    subresources: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    cluster_scoped: bool = False


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule: `wrong` is said of what it finds, `clause` is where the charter says it, `fix` is what to do."""

    id: str
    title: str
    clause: str
    wrong: str
    fix: str
    severity: Severity

    @property
    def complaint(self) -> str:
        """What follows the offenders in the sentence."""
        return f"{self.wrong} (charter, {self.clause}); {self.fix}"

    def sentence(self, where: str, offenders: Sequence[str]) -> str:
        """The whole message: where, what, which clause, what to do."""
        return f"{where}: {', '.join(offenders)} {self.complaint}"


@dataclass(frozen=True, kw_only=True)
class ObjectRule(Rule):
    """A rule about one object. `offenders` names what breaks it there, none if nothing does; `cel` yields the same."""

    target: Target
    offenders: Callable[[Manifest], tuple[str, ...]]
    cel: str

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds it looks at."""
        return tuple(self.target.resources)


@dataclass(frozen=True, kw_only=True)
class SiteRule(Rule):
    """A rule about all objects of a site together, which no API server sees at once; `where` names them."""

    where: str
    offenders: Callable[[Sequence[Manifest]], tuple[str, ...]]


def where_of(manifest: Manifest) -> str:
    """An object as the sentences name it: `Role commonweal-apps/reader`."""
    metadata = manifest["metadata"]
    space = metadata.get("namespace")
    return f"{manifest['kind']} {f'{space}/' if space else ''}{metadata['name']}"


WHERE_CEL = (
    "object.kind + ' ' + (has(object.metadata.namespace) ? object.metadata.namespace + '/' : '') + object.metadata.name"
)


def cel_text(text: str) -> str:
    """A CEL string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


def cel_list(texts: Sequence[str]) -> str:
    """A CEL list of string literals."""
    return f"[{', '.join(map(cel_text, texts))}]"
