"""The consortium's rules, applied to a member's site before any of it is sent, and carried into its API server."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from commonweal.kinds.consortium import Consortium
from commonweal.site_policy import Facts, violations
from infra.sites.args import MemberSiteArgs, SiteError, text_of
from infra.sites.manifests import facts_of, site_manifests
from infra.sites.objects import Manifest

NO_CHARTER = (
    "no charter named: countries, grid zones, images and the site's own requests are not judged; name it with --charter"
)


def lawful_manifests(args: MemberSiteArgs) -> tuple[Manifest, ...]:
    """Every object of the site.

    Raises:
        SiteError: One or more of them break a rule; a sentence for each breach.
    """
    return lawful(site_manifests(args), facts_of(args))


def lawful(manifests: tuple[Manifest, ...], facts: Facts) -> tuple[Manifest, ...]:
    """`manifests`, once they are judged together.

    Raises:
        SiteError: One or more of them break a rule; a sentence for each breach.
    """
    if found := violations(manifests, facts):
        raise SiteError("; ".join(each.sentence for each in found))
    return manifests


def read_charter(path: Path) -> Consortium:
    """The charter in a file.

    Raises:
        SiteError: The file holds none.
    """
    try:
        return Consortium.read(yaml.safe_load(path.read_text()))
    except ValidationError as error:
        first = error.errors()[0]
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
    raise SiteError(f"--charter: {path} is no Consortium ({why}); give the charter that the hub published")


def charter_arguments(charter: Consortium) -> dict[str, Any]:
    """What a charter says of sites, as arguments of a MemberSite; every one, also where it bounds nothing."""
    sites, overhead = charter.spec.sites, charter.spec.sites.overhead
    return {
        "allowed_countries": sites.countries,
        "allowed_grid_zones": sites.grid_zones,
        "allowed_images": sites.image_sources,
        "overhead_cpu_millis": None if overhead is None else overhead.cpu_millis,
        "overhead_memory_mib": None if overhead is None else overhead.memory_mib,
    }


def charter_config(charter: Consortium) -> dict[str, str]:
    """The same as a stack's configuration, so that a later run needs no file, and forgets what is bounded no more."""
    arguments = charter_arguments(charter)
    return {to_camel(name): "" if value is None else text_of(value) for name, value in arguments.items()}


def read_manifests(path: Path) -> list[Manifest]:
    """The objects of a YAML file, lists of objects taken apart.

    Raises:
        SiteError: It cannot be read, or holds something that is no Kubernetes object.
    """
    try:
        documents = [body for body in yaml.safe_load_all(path.read_text()) if body is not None]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SiteError(f"--file: {path} cannot be read ({' '.join(str(error).split())}); give YAML") from None
    found = []
    for number, body in enumerate(documents, start=1):
        items = body["items"] if isinstance(body, dict) and isinstance(body.get("items"), list) else [body]
        for item in items:
            named = isinstance(item, dict) and isinstance(item.get("metadata"), dict) and item["metadata"].get("name")
            if not named or not item.get("kind"):
                raise SiteError(f"--file: {path}: document {number} has no kind or metadata.name; give whole objects")
            found.append(item)
    return found
