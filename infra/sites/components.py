"""The components as a Pulumi provider, so that programs in YAML, TypeScript, Go, C# and Java use them too.

`infra/sites/component_provider` is the plugin's folder. The package's schema is derived from the arguments' types and
is never written by hand. https://www.pulumi.com/docs/iac/guides/building-extending/packages/schema/
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from inspect import getdoc
from typing import Any

import pulumi
from pulumi import provider
from pydantic import TypeAdapter
from pydantic.alias_generators import to_camel

from commonweal import __version__
from infra.sites.args import SiteError, descriptions, read_args
from infra.sites.hub.component import HUB_TYPE, HubSite
from infra.sites.member import DATA_TRUST_TYPE, METERING_TYPE, SITE_TYPE, DataTrustSite, MemberSite, MeteringSite
from infra.sites.programs import PROVIDER_VERSION, installed_sdks, require_matching_sdks

PACKAGE = "commonweal"
# What may be known only while a program runs, and is a secret; all else decides which objects there are.
SECRETS = ("hub_invitation",)
Json = dict[str, Any]
TEXT, NUMBER, TRUTH = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
TEXTS: Json = {"type": "array", "items": TEXT}
NUMBERS: Json = {"type": "array", "items": NUMBER}


@dataclass(frozen=True, kw_only=True)
class Offered:
    """A component as others see it: `outputs` by name."""

    component: Any
    args: type[Any]
    outputs: Mapping[str, Json]


@cache
def offered() -> Mapping[str, Offered]:
    """Each component by its type."""
    data_trust: Mapping[str, Json] = {"gatewayUrl": TEXT, "engine": TEXT}
    member: Mapping[str, Json] = {
        **data_trust,
        "member": TEXT,
        "namespaces": TEXTS,
        "images": TEXTS,
        "declaration": TEXT,
    }
    hub: Mapping[str, Json] = {"hub": TEXT, "namespace": TEXT, "images": TEXTS, "frontDoorPorts": NUMBERS}
    return {
        SITE_TYPE: _offered(MemberSite, member),
        DATA_TRUST_TYPE: _offered(DataTrustSite, data_trust),
        METERING_TYPE: _offered(MeteringSite, {"simulated": TRUTH}),
        HUB_TYPE: _offered(HubSite, hub),
    }


def _offered(component: Any, outputs: Mapping[str, Json]) -> Offered:  # noqa: ANN401  # any component, called as one
    return Offered(component=component, args=component.__init__.__annotations__["args"], outputs=outputs)


def package_schema() -> Json:
    """The package as Pulumi's package schema describes it."""
    return {
        "name": PACKAGE,
        "displayName": "Commonweal",
        "description": "Sites of an AI consortium: a member's, its parts, and the hub's",
        "version": __version__,
        "license": "Apache-2.0",
        "resources": {token: _resource(each) for token, each in offered().items()},
        "language": {
            "nodejs": {"dependencies": {"@pulumi/kubernetes": PROVIDER_VERSION}, "respectSchemaVersion": True},
            "python": {"respectSchemaVersion": True},
        },
    }


def _resource(each: Offered) -> Json:
    known = TypeAdapter(each.args).json_schema()
    definitions = known.get("$defs", {})
    means = descriptions(each.args)
    inputs = {
        to_camel(name): {"description": means[name], **_input(name, body, definitions)}
        for name, body in known["properties"].items()
    }
    return {
        "isComponent": True,
        "description": f"{getdoc(each.component)}\n\n{getdoc(each.args)}",
        "inputProperties": inputs,
        "requiredInputs": sorted(map(to_camel, known["required"])),
        "properties": dict(each.outputs),
        "required": sorted(each.outputs),
    }


def _input(name: str, body: Json, definitions: Mapping[str, Json]) -> Json:
    if name in SECRETS:
        return {**TEXT, "secret": True}
    shape = _shape(body, definitions)
    default = {"default": body["default"]} if isinstance(body.get("default"), str | int | bool) else {}
    return {**shape, "plain": True, **default}


def _shape(body: Json, definitions: Mapping[str, Json]) -> Json:
    """A field's type in Pulumi's words; a choice is a text."""
    if reference := body.get("$ref"):
        body = definitions[reference.rpartition("/")[2]]
    if choices := [each for each in body.get("anyOf", ()) if each.get("type") != "null"]:
        return _shape(choices[0], definitions)
    if body["type"] == "array":
        return {"type": "array", "items": {**_shape(body["items"], definitions), "plain": True}}
    return {"type": body["type"]}


class Components(provider.Provider):
    """Makes a component for whoever asks."""

    def __init__(self) -> None:
        super().__init__(__version__, json.dumps(package_schema()))

    def construct(
        self, name: str, resource_type: str, inputs: pulumi.Inputs, options: pulumi.ResourceOptions | None = None
    ) -> provider.ConstructResult:
        """Register the component and its children.

        Raises:
            InputPropertiesError: An input is wrong, or an object breaks a rule; the engine shows the message alone.
        """
        try:
            require_matching_sdks(installed_sdks())
            made = _made(name, resource_type, inputs, options)
        except SiteError as error:
            raise pulumi.InputPropertiesError(str(error), []) from None  # without a list the SDK sends no message
        return provider.ConstructResult(urn=made.urn, state=made.summary())


def _made(name: str, resource_type: str, inputs: pulumi.Inputs, options: pulumi.ResourceOptions | None) -> Any:  # noqa: ANN401
    each = offered().get(resource_type)
    if each is None:
        raise SiteError(f"{resource_type}: unknown; there are {', '.join(offered())}")
    return each.component(name, read_args(each.args, values_of(each.args, inputs)), options)


def values_of(args: type[Any], inputs: Mapping[str, Any]) -> Json:
    """The inputs under the names that Python knows.

    Raises:
        SiteError: An input that decides which objects there are is known only while the program runs.
    """
    names = {to_camel(item.name): item.name for item in fields(args)}
    values = {names.get(key, key): value for key, value in inputs.items() if value is not None}
    for name, value in values.items():
        if isinstance(value, pulumi.Output) and name not in SECRETS:
            raise SiteError(f"{to_camel(name)}: is known only while the program runs; give a plain value")
    return values


if __name__ == "__main__":
    provider.main(Components(), sys.argv[1:])
