from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from commonweal.site_policy import ObjectRule, rules, violations
from infra.sites.__main__ import main
from infra.sites.args import MemberSiteArgs, SiteError, site_args
from infra.sites.flags import flag
from infra.sites.manifests import declaration_text, facts_of, site_declaration, site_manifests
from infra.sites.plan import Registration
from infra.sites.policy import charter_arguments, charter_config, lawful_manifests, read_charter
from infra.sites.program import SITE_KEYS
from tests.unit.site_policy.examples import EXAMPLES, FACTS, ORACLE
from tests.unit.sites.plans import CONFIG, plan_of

CHARTER = Path(__file__).parents[3] / "examples" / "10-charter.yaml"
Plan = tuple[Registration, ...]


def arguments(**changes: object) -> MemberSiteArgs:
    values = {SITE_KEYS[key]: value for key, value in CONFIG.items()}
    return site_args({"member": "ca", **values, "data_claim_mib": 64, "grid_zone": "CA-QC", **changes})


def charter_with(folder: Path, sites: Mapping[str, Any] | None) -> Path:
    body = yaml.safe_load(CHARTER.read_text())
    del body["spec"]["sites"]
    path = folder / "charter.yaml"
    path.write_text(yaml.safe_dump({**body, "spec": {**body["spec"], **({"sites": sites} if sites else {})}}))
    return path


def flags(folder: Path) -> list[str]:
    kubeconfig = folder / "kubeconfig"
    kubeconfig.touch()
    settings = {**CONFIG, "dataClaimMib": "64", "kubeconfig": str(kubeconfig)}
    site = [word for key, value in settings.items() for word in (flag(key), value)]
    return ["--member", "ca", "--state", str(folder), *site]


def oracle_flags() -> list[str]:
    return [word for name, value in ORACLE["site"].items() for word in (f"--{name}", value)]


def test_the_site_of_the_demo_keeps_the_charter_of_the_demo() -> None:
    args = arguments(**charter_arguments(read_charter(CHARTER)))
    assert len(rules(facts_of(args))) == 11
    assert lawful_manifests(args) == site_manifests(args)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"country": "DE"}, "Namespace commonweal-system: DE as commonweal.dev/country is no country of the charter"),
        ({"grid_zone": None}, "Namespace commonweal-apps: nothing as commonweal.dev/grid-zone is no grid zone"),
        ({"image": "ghcr.io/example/site:1"}, r"DaemonSet commonweal-system/exporter: container exporter \(ghcr.io/"),
        ({"overhead_cpu_millis": 219}, "cpu requested in sum may not be above the overhead"),
    ],
)
def test_a_site_that_breaks_the_charter_is_refused_before_anything_is_registered(
    changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(SiteError, match=says):
        lawful_manifests(arguments(**{**charter_arguments(read_charter(CHARTER)), **changes}))


def test_a_site_whose_country_leaves_the_charter_is_refused_in_its_plan(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="place the site in KR"):
        plan_of(tmp_path, dataClaimMib="64", allowedCountries="KR")


def test_every_rule_about_one_object_is_declared_to_the_sites_own_api_server(on_claim: Plan) -> None:
    declared = [item.inputs for item in on_claim if item.type.endswith(":ValidatingAdmissionPolicy")]
    told = {each["message"] for item in declared for each in item["spec"]["validations"]}
    facts = facts_of(arguments())
    assert told == {rule.title for rule in rules(facts) if isinstance(rule, ObjectRule)}


def test_a_site_says_where_it_stands() -> None:
    labels = [body["metadata"]["labels"] for body in site_manifests(arguments()) if body["kind"] == "Namespace"]
    assert {each["commonweal.dev/country"] for each in labels} == {"CA"}
    assert {each["commonweal.dev/grid-zone"] for each in labels} == {"CA-QC"}


def test_what_the_charter_does_not_bound_any_more_is_forgotten(tmp_path: Path) -> None:
    bounded = charter_config(read_charter(CHARTER))
    free = charter_config(read_charter(charter_with(tmp_path, None)))
    assert bounded.keys() == free.keys()
    assert set(free.values()) == {""}
    assert bounded["allowedGridZones"] == "CA-QC,KE,KR"
    assert bounded["overheadCpuMillis"] == "500"


@pytest.mark.parametrize(
    ("sites", "why"),
    [
        ({"countries": ["Canada"]}, r"spec.sites.countries.0: "),
        ({"imageSources": ["ghcr.io/x:"]}, r"spec.sites.imageSources.0: "),
        ({"zones": ["KE"]}, r"spec.sites.zones: "),
    ],
)
def test_a_charter_that_is_none_is_refused_by_its_field(tmp_path: Path, sites: dict[str, Any], why: str) -> None:
    with pytest.raises(SiteError, match=rf"--charter: .* is no Consortium \({why}"):
        read_charter(charter_with(tmp_path, sites))


def test_a_charter_on_the_command_line_is_carried_into_the_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *flags(tmp_path), "--grid-zone", "CA-QC", "--charter", str(CHARTER)]) == 0
    captured = capsys.readouterr()
    assert "localhost/commonweal" in captured.out
    assert "no charter named" not in captured.err
    assert main(["plan", *flags(tmp_path), "--charter", str(CHARTER)]) == 1
    assert "place the site in CA-QC, KE or KR" in capsys.readouterr().err


def test_a_plan_without_a_charter_says_what_is_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *flags(tmp_path)]) == 0
    assert "no charter named: countries, grid zones, images" in capsys.readouterr().err


def test_the_flags_of_the_examples_are_their_facts() -> None:
    values = {name.replace("-", "_"): value for name, value in ORACLE["site"].items()}
    assert facts_of(arguments(**values)) == FACTS


def test_check_says_of_a_file_what_the_rules_say_of_each_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [example["bad"] for example in EXAMPLES]
    file = tmp_path / "objects.yaml"
    file.write_text(yaml.safe_dump_all([{"kind": "List", "items": bad[:2]}, *bad[2:]]))
    command = ["check", *flags(tmp_path), *oracle_flags(), "--file", str(file)]
    assert main(command) == 1
    assert capsys.readouterr().out.splitlines() == [each.sentence for each in violations(bad, FACTS)]
    file.write_text(yaml.safe_dump_all([EXAMPLES[0]["good"]]))
    assert main(command) == 0
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "cannot be read"),
        ("[]", "document 1 has no kind or metadata.name"),
        ("kind: Pod\nmetadata: {name: x, namespace: commonweal-apps}", "Pod commonweal-apps/x: cannot be judged by"),
    ],
)
def test_a_file_of_no_objects_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, why: str
) -> None:
    file = tmp_path / "objects.yaml"
    file.write_text(text)
    assert main(["check", *flags(tmp_path), "--file", str(file)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: --file: ")
    assert why in said


def test_rules_are_printed_with_clause_and_fix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", *flags(tmp_path), *oracle_flags()]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert [each["id"] for each in printed] == [rule.id for rule in rules(FACTS)]
    assert all(each["clause"] and each["fix"] for each in printed)


def test_the_page_on_sites_names_every_rule_with_its_clause() -> None:
    page = (Path(__file__).parents[3] / "docs" / "sites.md").read_text()
    rows = {line.split("|")[1].strip(): line.split("|")[2].strip() for line in page.splitlines() if "|" in line[:1]}
    assert {f"`{rule.id}`": rule.clause for rule in rules(FACTS)}.items() <= {
        name: clause.strip("`") for name, clause in rows.items()
    }.items()


PINNED = {
    "image": f"localhost/commonweal/site@sha256:{'a' * 64}",
    "trino_image": f"localhost/commonweal/trino@sha256:{'b' * 64}",
}


def test_our_own_images_by_digest_need_no_word_of_the_charter() -> None:
    lawful_manifests(arguments(**PINNED, allowed_images=()))
    with pytest.raises(SiteError, match="may run only an image that is named by digest"):
        lawful_manifests(arguments(allowed_images=()))


def test_a_declaration_says_what_was_asked_for_and_changes_with_every_object() -> None:
    args = arguments(**PINNED)
    declared = site_declaration(args)
    assert (declared.country, declared.engine, declared.gateway_url) == (args.country, args.engine, args.gateway_url)
    assert declared.images == (PINNED["image"], PINNED["trino_image"])
    assert declared == site_declaration(arguments(**PINNED))
    assert declared.digest != site_declaration(arguments(**PINNED, meter_period_s=60)).digest


def test_a_spent_invitation_changes_no_declaration() -> None:
    assert site_declaration(arguments(hub_invitation="x")) == site_declaration(arguments())


def test_what_is_declared_is_what_the_cluster_is_given() -> None:
    found = [body for body in site_manifests(arguments()) if body["metadata"]["name"] == "site-declaration"]
    assert [body["data"]["declaration.json"] for body in found] == [declaration_text(arguments())]
    assert site_declaration(arguments()).objects == len(site_manifests(arguments())) - 1
