"""The components as programs in other languages see them."""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pydantic.alias_generators import to_camel

from infra.sites.args import MemberSiteArgs
from infra.sites.components import Components, Offered, offered, package_schema
from infra.sites.member import SITE_TYPE
from infra.sites.plan import HIDDEN, Registration, planned

SITES = Path(__file__).parents[3] / "infra" / "sites"
EXAMPLE = yaml.safe_load((SITES / "examples" / "yaml" / "Pulumi.yaml").read_text())
INPUTS: dict[str, Any] = {**EXAMPLE["resources"]["ca"]["properties"], "image": "localhost/commonweal/site:abc"}
TYPES = {"string": str, "integer": int, "boolean": bool, "array": list}


def construct(token: str = SITE_TYPE, **changes: object) -> tuple[Registration, ...]:
    inputs = {key: value for key, value in {**INPUTS, **changes}.items() if value is not None}
    return planned("ca", "yaml", lambda: Components().construct("ca", token, inputs))


@pytest.mark.parametrize(("token", "each"), offered().items())
def test_every_argument_is_an_input_and_every_output_is_a_property(token: str, each: Offered) -> None:
    resource = package_schema()["resources"][token]
    assert resource["isComponent"]
    assert resource["inputProperties"].keys() == {to_camel(item.name) for item in fields(each.args)}
    assert set(resource["requiredInputs"]) <= resource["inputProperties"].keys()
    assert resource["properties"].keys() == set(resource["required"])


HUB = {
    "hub": "ch",
    "image": "localhost/commonweal/hub:abc",
    "frontDoorImage": "localhost/commonweal/front-door:abc",
    "publicHost": "pilots.example.org",
    "stateClaimMib": 1024,
}


@pytest.mark.parametrize(("token", "each"), offered().items())
def test_what_a_component_answers_is_what_the_schema_promises(token: str, each: Offered) -> None:
    known = {to_camel(item.name) for item in fields(each.args)}
    inputs = {key: value for key, value in {**INPUTS, **HUB}.items() if key in known}
    answered: list[set[str]] = []
    planned("ca", "yaml", lambda: answered.append(set(Components().construct("ca", token, inputs).state)))
    assert answered == [set(each.outputs)]


@pytest.mark.parametrize("token", offered())
def test_every_input_is_flat(token: str) -> None:
    for name, body in package_schema()["resources"][token]["inputProperties"].items():
        assert body["type"] in TYPES, name
        assert body.get("items", {"type": "string"})["type"] == "string", name
        assert body.get("plain") != body.get("secret"), name


def test_the_example_gives_what_the_schema_asks_for_and_nothing_else() -> None:
    resource = package_schema()["resources"][EXAMPLE["resources"]["ca"]["type"]]
    assert set(resource["requiredInputs"]) <= INPUTS.keys() <= resource["inputProperties"].keys()
    for name, value in INPUTS.items():
        assert isinstance(value, TYPES[resource["inputProperties"][name]["type"]]), name
    for wanted in EXAMPLE["outputs"].values():
        assert re.fullmatch(r"\$\{ca\.(\w+)\}", wanted)[1] in resource["properties"]  # type: ignore[index]


def test_defaults_are_those_of_the_arguments() -> None:
    inputs = package_schema()["resources"][SITE_TYPE]["inputProperties"]
    told = {name: body["default"] for name, body in inputs.items() if "default" in body}
    own = {to_camel(item.name): item.default for item in fields(MemberSiteArgs)}
    assert told == {name: value for name, value in own.items() if isinstance(value, str | int | bool)}


def test_the_schema_is_json() -> None:
    assert json.loads(Components().schema or "") == package_schema()


def test_a_component_is_the_same_in_every_language() -> None:
    made = {item.name for item in construct()}
    assert {"ca/commonweal-system/agent", "ca/commonweal-data/gateway", "ca/commonweal-system/exporter"} <= made


def test_an_invitation_stays_a_secret() -> None:
    def program() -> None:
        invitation = pulumi.Output.secret("the-invitation-token")
        Components().construct("ca", SITE_TYPE, {**INPUTS, "hubInvitation": invitation})

    found = planned("ca", "yaml", program)
    (secret,) = (item for item in found if item.type.endswith(":Secret"))
    assert secret.inputs["stringData"] == HIDDEN
    assert "the-invitation-token" not in repr(found)


@pytest.mark.parametrize(
    ("token", "changes", "said"),
    [
        (SITE_TYPE, {"country": None}, "country: Field required"),
        (SITE_TYPE, {"colour": "red"}, "colour: "),
        (SITE_TYPE, {"dataClaimMib": 1}, "data_claim_mib: .*greater than or equal to 64, not 1"),
        (SITE_TYPE, {"allowedCountries": ["KE"]}, "CA as commonweal.dev/country is no country of the charter"),
        ("commonweal:site:Castle", {}, "commonweal:site:Castle: unknown; there are commonweal:site:MemberSite"),
    ],
)
def test_a_wrong_input_is_refused_in_one_sentence(token: str, changes: dict[str, object], said: str) -> None:
    with pytest.raises(pulumi.InputPropertiesError, match=said):
        construct(token, **changes)


def test_an_input_that_decides_the_objects_must_be_known_beforehand() -> None:
    def program() -> None:
        Components().construct("ca", SITE_TYPE, {**INPUTS, "country": pulumi.Output.from_input("CA")})

    with pytest.raises(pulumi.InputPropertiesError, match="country: is known only while the program runs"):
        planned("ca", "yaml", program)


def test_the_file_that_pulumi_starts_serves_this_package() -> None:
    program = SITES / "component_provider" / "pulumi-resource-commonweal"
    assert program.stat().st_mode & 0o111
    assert "-m infra.sites.components " in program.read_text()
    named = [each for each in EXAMPLE["plugins"]["providers"] if each["name"] == "commonweal"]
    assert [(SITES / "examples" / "yaml" / each["path"]).resolve() for each in named] == [program.parent]
