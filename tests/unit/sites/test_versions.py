import pytest

from infra.local.engines import GoProgram, required_version
from infra.sites.args import SiteError
from infra.sites.programs import (
    PROVIDER_VERSION,
    SDK_VERSIONS,
    cli_version,
    installed_sdks,
    kubernetes_provider,
    language_host,
    pulumi_cli,
    require_matching,
    require_matching_sdks,
    yaml_host,
)

MODULE = "github.com/pulumi/pulumi/sdk/v3"


def test_the_installed_packages_are_those_that_were_tried_together() -> None:
    require_matching(installed_sdks(), cli_version())


@pytest.mark.parametrize("name", SDK_VERSIONS)
def test_another_version_of_a_package_is_refused_by_name(name: str) -> None:
    with pytest.raises(SiteError, match=rf"^{name} 4\.34\.2 is installed .* needs {SDK_VERSIONS[name]}; run `uv sync`"):
        require_matching({**SDK_VERSIONS, name: "4.34.2"}, cli_version())


def test_another_cli_is_refused() -> None:
    with pytest.raises(SiteError, match=r"CLI is v3\.1\.0 and the site needs v3\."):
        require_matching(SDK_VERSIONS, "v3.1.0")


def test_our_own_language_host_speaks_the_protocol_of_the_cli_and_yamls_none_that_is_newer() -> None:
    def sdk(program: GoProgram) -> tuple[int, ...]:
        return tuple(map(int, required_version(program.folder, MODULE).removeprefix("v").split(".")))

    assert sdk(yaml_host()) <= sdk(pulumi_cli()) == sdk(language_host())


def test_our_own_language_host_calls_itself_by_the_version_of_the_cli() -> None:
    source = (language_host().folder / "main.go").read_text()
    assert f'PluginInfo{{Version: "{cli_version().removeprefix("v")}"}}' in source


def test_a_plain_pulumi_up_is_refused_with_another_sdk_too() -> None:
    with pytest.raises(SiteError, match=r"pulumi 3\.1\.0 is installed .*; run `uv sync`"):
        require_matching_sdks({**SDK_VERSIONS, "pulumi": "3.1.0"})


def test_the_provider_is_built_as_the_version_of_its_sdk() -> None:
    program = kubernetes_provider()
    assert PROVIDER_VERSION in program.variables.values()
    assert f"provider/v4 {PROVIDER_VERSION}\n" in (program.folder / "main.go").read_text()
