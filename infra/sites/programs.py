"""The Pulumi CLI and its Kubernetes provider as programs for `infra.local.engines`; and that all versions agree.

The provider's module has no release tag: its commit is that of release 4.25.0, and the SDK for Python must be the same
release, because a newer SDK runs against it while its newer inputs are ignored in silence.
"""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from infra.local.engines import GoProgram, build, required_version
from infra.sites.args import SiteError

PROVIDER_VERSION = "4.25.0"
SDK_VERSIONS = {"pulumi": "3.272.0", "pulumi-kubernetes": PROVIDER_VERSION}
PROVIDER_MODULE = "github.com/pulumi/pulumi-kubernetes/provider/v4"
HERE = Path(__file__).parent


def cli_version() -> str:
    """The version of the CLI that infra/sites/cli names, as `v3.274.1`."""
    return required_version(HERE / "cli", "github.com/pulumi/pulumi/pkg/v3")


def pulumi_cli() -> GoProgram:
    """The `pulumi` command."""
    return GoProgram(
        name="pulumi",
        folder=HERE / "cli",
        package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
        variables={"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version": cli_version()},
    )


def kubernetes_provider() -> GoProgram:
    """The plugin through which `pulumi` speaks to Kubernetes."""
    return GoProgram(
        name="pulumi-resource-kubernetes",
        folder=HERE / "provider",
        variables={f"{PROVIDER_MODULE}/pkg/version.Version": PROVIDER_VERSION},
        generate=True,
    )


def language_host() -> GoProgram:
    """What lets a plain `pulumi up` run a Python program; `python -m infra.sites` needs none."""
    return GoProgram(name="pulumi-language-python", folder=HERE / "language", variables={}, generate=True)


def yaml_host() -> GoProgram:
    """What lets `pulumi up` run a program in YAML, which uses the components through their provider."""
    module = "github.com/pulumi/pulumi-yaml"
    folder = HERE / "yaml_language"
    return GoProgram(
        name="pulumi-language-yaml",
        folder=folder,
        package=f"{module}/cmd/pulumi-language-yaml",
        variables={f"{module}/pkg/version.Version": required_version(folder, module)},
    )


def built() -> tuple[Path, Path]:
    """The paths of the CLI and the provider, which are built first unless the cache has them.

    Raises:
        LocalError: One cannot be built.
    """
    return build(pulumi_cli()), build(kubernetes_provider())


def installed_sdks() -> dict[str, str]:
    """The versions of Pulumi's Python packages in this environment."""
    return {name: version(name) for name in SDK_VERSIONS}


def require_matching_sdks(sdks: Mapping[str, str]) -> None:
    """Refuse to start unless Pulumi's Python packages are the versions that the provider is of.

    Raises:
        SiteError: One differs; the message names it, what was found and what to install.
    """
    for name, wanted in SDK_VERSIONS.items():
        if sdks[name] != wanted:
            raise SiteError(f"{name} {sdks[name]} is installed and the site needs {wanted}; run `uv sync`")


def require_matching(sdks: Mapping[str, str], cli: str) -> None:
    """Refuse to start unless CLI, provider and SDK are the versions that were tried together.

    Raises:
        SiteError: One differs; the message names it, what was found and what to install.
    """
    require_matching_sdks(sdks)
    if cli != cli_version():
        raise SiteError(
            f"the pulumi CLI is {cli} and the site needs {cli_version()}; delete its cached build and run again"
        )
