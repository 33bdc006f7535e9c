import pytest

from infra.sites.args import SiteError
from infra.sites.programs import (
    PROVIDER_VERSION,
    SDK_VERSIONS,
    cli_version,
    installed_sdks,
    kubernetes_provider,
    require_matching,
)


def test_the_installed_packages_are_those_that_were_tried_together() -> None:
    require_matching(installed_sdks(), cli_version())


@pytest.mark.parametrize("name", SDK_VERSIONS)
def test_another_version_of_a_package_is_refused_by_name(name: str) -> None:
    with pytest.raises(SiteError, match=rf"^{name} 4\.34\.2 is installed .* needs {SDK_VERSIONS[name]}; run `uv sync`"):
        require_matching({**SDK_VERSIONS, name: "4.34.2"}, cli_version())


def test_another_cli_is_refused() -> None:
    with pytest.raises(SiteError, match=r"CLI is v3\.1\.0 and the site needs v3\."):
        require_matching(SDK_VERSIONS, "v3.1.0")


def test_the_provider_is_built_as_the_version_of_its_sdk() -> None:
    program = kubernetes_provider()
    assert PROVIDER_VERSION in program.variables.values()
    assert f"provider/v4 {PROVIDER_VERSION}\n" in (program.folder / "main.go").read_text()
