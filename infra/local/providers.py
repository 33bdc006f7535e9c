"""The three providers behind one interface: `local`, `kind` and `kubeconfig`."""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from infra.images import oci
from infra.local import topology
from infra.local.access import ClusterAccess, Provider
from infra.local.consortium import LocalProvider, build_images, short_names
from infra.local.machine import LocalError, Places, cache_dir, default_places, run
from infra.local.progress import step

CLUSTERS_FILE = "COMMONWEAL_CLUSTERS"
KIND_LIMIT_S = 600


@dataclass(frozen=True, kw_only=True)
class KindProvider:
    """Clusters as containers, where Docker runs: one `kind` cluster each."""

    places: Places
    hub: str = topology.HUB
    members: Sequence[str] = topology.MEMBERS

    def up(self) -> dict[str, str]:
        """Create the clusters that do not exist yet, and bring our images into the members."""
        require_kind()
        existing = set(run(["kind", "get", "clusters"]).split())
        for name in (self.hub, *self.members):
            if _kind_name(name) not in existing:
                config = self.places.kubeconfigs / f"{name}.yaml"
                config.parent.mkdir(parents=True, exist_ok=True)
                with step(f"create kind cluster {name}"):
                    create = ["kind", "create", "cluster", f"--name={_kind_name(name)}", f"--kubeconfig={config}"]
                    run([*create, "--wait=120s"], timeout_s=KIND_LIMIT_S)
        return self.load_images()

    def down(self) -> None:
        """Delete the clusters that we created."""
        require_kind()
        for name in (self.hub, *self.members):
            run(["kind", "delete", "cluster", f"--name={_kind_name(name)}"], timeout_s=KIND_LIMIT_S)
            (self.places.kubeconfigs / f"{name}.yaml").unlink(missing_ok=True)

    def clusters(self) -> dict[str, ClusterAccess]:
        """How to reach each cluster; members reach each other's addresses on Docker's network of kind."""
        require_kind()
        return {name: self._access(name) for name in (self.hub, *self.members)}

    def load_images(self) -> dict[str, str]:
        """Build our images and bring them into the members."""
        require_kind()
        with step("build images") as say:
            images = build_images(self.places.cache, say)[1:]  # kind has a pause image of its own
        for image in images:
            with tempfile.NamedTemporaryFile(suffix=".tar") as archive, step(f"load {image.reference}"):
                oci.write_archive(image, archive.file)
                archive.flush()
                for name in self.members:
                    load = ["kind", "load", "image-archive", archive.name, f"--name={_kind_name(name)}"]
                    run(load, timeout_s=KIND_LIMIT_S)
        return short_names(images)

    def _access(self, name: str) -> ClusterAccess:
        container = f"{_kind_name(name)}-control-plane"
        template = "{{.NetworkSettings.Networks.kind.IPAddress}}"
        address = run(["docker", "inspect", f"--format={template}", container]).strip()
        return ClusterAccess(
            name=name,
            kubeconfig=self.places.kubeconfigs / f"{name}.yaml",
            is_hub=name == self.hub,
            server=f"https://{address}:6443",
            node_address=None if name == self.hub else address,
        )


class ClusterEntry(BaseModel):
    """One cluster of a clusters file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kubeconfig: Path
    hub: bool = False
    server: str
    node_address: str | None = None


class ClustersFile(BaseModel):
    """A clusters file: clusters that exist, and references under which they find our images."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    clusters: dict[str, ClusterEntry]
    images: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class KubeconfigProvider:
    """Clusters that exist; this is production. Nothing is created and nothing removed."""

    file: Path

    def up(self) -> dict[str, str]:
        """Check the file, and that each kubeconfig that it names is there."""
        self.clusters()
        return self.load_images()

    def down(self) -> None:
        """Nothing: what we did not bring up we do not take down."""

    def clusters(self) -> dict[str, ClusterAccess]:
        """How to reach each cluster, as the file says."""
        read = read_clusters_file(self.file)
        return {
            name: ClusterAccess(
                name=name,
                kubeconfig=entry.kubeconfig,
                is_hub=entry.hub,
                server=entry.server,
                node_address=entry.node_address,
            )
            for name, entry in read.clusters.items()
        }

    def load_images(self) -> dict[str, str]:
        """The references that the file gives; whoever runs the clusters has pushed the images there."""
        return read_clusters_file(self.file).images


def read_clusters_file(file: Path) -> ClustersFile:
    """Read and check a clusters file; kubeconfig paths in it are relative to it.

    Raises:
        LocalError: It is missing or wrong, with the field.
    """
    try:
        read = ClustersFile.model_validate(yaml.safe_load(file.read_text()))
    except FileNotFoundError as error:
        raise LocalError(f"{file} does not exist; write it as docs say, or set {CLUSTERS_FILE} to its path") from error
    except yaml.YAMLError as error:
        raise LocalError(f"{file} is no YAML: {error}; correct it") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise LocalError(f"{file}: {where}: {first['msg']}; correct it") from error
    hubs = [name for name, entry in read.clusters.items() if entry.hub]
    if len(hubs) != 1:
        raise LocalError(f"{file}: clusters: {len(hubs)} are marked `hub: true`; mark exactly one")
    placed = {name: _placed(file, name, entry) for name, entry in read.clusters.items()}
    return read.model_copy(update={"clusters": placed})


def _placed(file: Path, name: str, entry: ClusterEntry) -> ClusterEntry:
    path = file.parent / entry.kubeconfig.expanduser()
    if not path.exists():
        raise LocalError(f"{file}: clusters.{name}.kubeconfig: {path} does not exist; correct the path")
    return entry.model_copy(update={"kubeconfig": path})


def require_kind(which: Callable[[str], str | None] = shutil.which) -> None:
    """Raise `LocalError` unless docker and kind are installed."""
    for program in ("docker", "kind"):
        if which(program) is None:
            raise LocalError(f"the kind provider needs {program}, which is not installed; install it or use local")


def provider(name: str, environ: Mapping[str, str] = os.environ) -> Provider:
    """The provider of that name.

    Raises:
        LocalError: There is none, or what it needs is not said.
    """
    if name == "local":
        return LocalProvider(places=default_places(environ))
    if name == "kind":
        state = Path(environ.get("COMMONWEAL_STATE") or cache_dir(environ) / "kind")
        return KindProvider(places=Places(state=state, run=state, cache=cache_dir(environ)))
    if name == "kubeconfig":
        if CLUSTERS_FILE not in environ:
            raise LocalError(f"the kubeconfig provider needs {CLUSTERS_FILE}, the path of a clusters file; set it")
        return KubeconfigProvider(file=Path(environ[CLUSTERS_FILE]))
    raise LocalError(f"there is no provider {name}; use local, kind or kubeconfig")


def _kind_name(name: str) -> str:
    return f"commonweal-{name}"
