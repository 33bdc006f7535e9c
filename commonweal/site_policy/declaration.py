"""Whether what a member's program declares of its site agrees with the charter, the Member, and what its agent sees.

The hub cannot look into a member's cluster. It holds the declaration, signed by the member's identity, against what it
does know, so that a member that says two things is seen to.
"""

from collections.abc import Iterator

from commonweal.kinds.consortium import SiteRules
from commonweal.kinds.member import Site, SiteDeclaration
from commonweal.site_policy.table import DIGEST


def contradictions(declared: SiteDeclaration, seen: Site, country: str, charter: SiteRules) -> tuple[str, ...]:
    """One sentence for each thing that disagrees, the charter's first; none if all agrees.

    `seen` is the site as the agent found it, `country` is the Member's. A charter that lists nothing bounds nothing.
    """
    return (*_with_charter(declared, charter), *_with_member(declared, seen, country))


def _with_charter(declared: SiteDeclaration, charter: SiteRules) -> Iterator[str]:
    if charter.countries and declared.country not in charter.countries:
        yield f"country: {declared.country} is none of the charter's (spec.sites.countries)"
    if charter.grid_zones and declared.grid_zone not in charter.grid_zones:
        yield f"gridZone: {declared.grid_zone or 'nothing'} is none of the charter's (spec.sites.gridZones)"
    for image in declared.images:
        if not DIGEST.search(image) and not any(image.startswith(f"{source}/") for source in charter.image_sources):
            yield f"images: {image} is named neither by digest nor from the charter's spec.sites.imageSources"


def _with_member(declared: SiteDeclaration, seen: Site, country: str) -> Iterator[str]:
    if declared.country != country:
        yield f"country: the declaration says {declared.country} and the Member {country}"
    if declared.engine != seen.engine:
        yield f"engine: the declaration says {declared.engine} and the agent {seen.engine or 'nothing'}"
    if declared.gateway_url != seen.gateway_url:
        yield f"gatewayUrl: the declaration says {declared.gateway_url} and the agent {seen.gateway_url or 'nothing'}"
