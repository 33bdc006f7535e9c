"""The local provider: brings the whole consortium of this machine up, and takes it down without a trace.

Every step may be repeated: `up` after any failure goes on where it stopped, and a second `up` changes nothing.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from infra.images import oci, pause_image, site_image, trino_image
from infra.local import engines, image_store, machine, network, sysctls, teardown, topology
from infra.local.access import ClusterAccess
from infra.local.cache import prune
from infra.local.control_plane import ControlPlanes, bind_kubelet_client, link_tools
from infra.local.images import Store
from infra.local.machine import Places
from infra.local.node import Node
from infra.local.progress import step
from infra.local.supervisor import Process, State, Supervisor

DISK_BYTES = 12_000_000_000  # engines 1, images and what makes them 6, three nodes 2, data and logs 3


@dataclass(frozen=True, kw_only=True)
class LocalProvider:
    """Real clusters from published modules, without Docker; Linux, root."""

    places: Places
    hub: str = topology.HUB
    members: Sequence[str] = topology.MEMBERS

    def up(self) -> dict[str, str]:
        """Bring everything up; ready when it returns the images, short name -> reference.

        Raises:
            LocalError: With what is wrong, where and what to do; then `up` may simply be run again.
        """
        machine.require_linux_root()
        with machine.exclusive(self._lock, "another up or down", wait_s=5):
            machine.require_disk(self.places.cache, DISK_BYTES, "the local consortium")
            machine.install_missing_packages(print)
            teardown.claim(self.places)
            planes = self._planes()
            images = self._images()
            with step("unpack images for the nodes"):
                store = image_store.ensure(self.places.cache, images)
            sysctls.save(self.places.state / "sysctls.json")
            sysctls.raise_limits()
            self._start_control_planes(planes)
            self._start_nodes(planes, images, store)
            return short_names(images)

    def down(self) -> None:
        """Take everything down; see `teardown.down`."""
        machine.require_linux_root()
        with machine.exclusive(self._lock, "another up or down", wait_s=5), step("take the consortium down"):
            teardown.down(self.places)

    def clusters(self) -> dict[str, ClusterAccess]:
        """How to reach each cluster; the files exist once it was brought up."""
        plan = self._topology()
        return {
            place.name: ClusterAccess(
                name=place.name,
                kubeconfig=self.places.kubeconfigs / f"{place.name}.yaml",
                is_hub=place.name == self.hub,
                server=place.server,
                node_address=place.node.address if place.node else None,
            )
            for place in plan.clusters
        }

    def load_images(self) -> dict[str, str]:
        """Build the images of the tree as it is now and bring them into every node: short name -> reference."""
        images = self._images()
        nodes = self._nodes(self._planes())
        with step("bring images into the nodes"), ThreadPoolExecutor() as pool:
            list(pool.map(lambda node: load(Store(node.socket), images), nodes))
        return short_names(images)

    def states(self) -> list[State]:
        """Every process of ours and whether it runs."""
        planes = self._planes()
        supervisor = Supervisor(self.places.run)
        of_nodes = [
            process for node in self._nodes(planes) for process in [node.namespaces(), *node.processes(supervisor)]
        ]
        return supervisor.states([*planes.processes(), *of_nodes])

    def process(self, name: str) -> tuple[Supervisor, Process]:
        """One process of ours, for drills that stop and start it.

        Raises:
            LocalError: There is none of that name.
        """
        planes = self._planes()
        supervisor = Supervisor(self.places.run)
        every = [*planes.processes(), *(p for node in self._nodes(planes) for p in node.processes(supervisor))]
        found = next((process for process in every if process.name == name), None)
        if found is None:
            raise machine.LocalError(f"there is no process {name}; there are {', '.join(p.name for p in every)}")
        return supervisor, found

    @property
    def _lock(self) -> Path:
        return self.places.cache / "local.lock"

    def _topology(self) -> topology.Topology:
        return topology.with_nodes(self.hub, self.members, topology.subnet_from())

    def _planes(self) -> ControlPlanes:
        binaries = engines.build(engines.kubernetes(), self.places.cache).parent
        return ControlPlanes(places=self.places, topology=self._topology(), binaries=binaries)

    def _nodes(self, planes: ControlPlanes) -> list[Node]:
        init = pause_image.program(self.places.cache)
        return [Node(planes=planes, place=planes.topology[name], init=init) for name in self.members]

    def _images(self) -> list[oci.Image]:
        with step("build images") as say:
            return build_images(self.places.cache, say)

    def _start_control_planes(self, planes: ControlPlanes) -> None:
        network.ensure_bridge(planes.topology)
        clusters = planes.prepare(datetime.now(UTC))
        link_tools(planes.binaries, self.places)
        with step("start control planes") as say:
            Supervisor(self.places.run).start(planes.processes(), say)
            for name in self.members:
                bind_kubelet_client(planes.binary("kubectl"), clusters[name].kubeconfig)

    def _start_nodes(self, planes: ControlPlanes, images: Sequence[oci.Image], store: Path) -> None:
        now = datetime.now(UTC)
        supervisor = Supervisor(self.places.run)

        def start(node: Node) -> None:
            image_store.seed(store, node.state / "containerd")
            node.make(supervisor, now)
            processes = node.processes(supervisor)
            supervisor.start(processes[:1])
            load(Store(node.socket), images)
            supervisor.start(processes, say)

        with step("start nodes") as say, ThreadPoolExecutor() as pool:
            list(pool.map(start, self._nodes(planes)))


def build_images(cache: Path, say: machine.Say) -> list[oci.Image]:
    """All images of the tree as it is now, from the cache where their content is there."""
    say("pause")
    pause = pause_image.build(cache)
    say("site: Debian base, packages, our code")
    site = site_image.build(cache)
    say("trino: the server, its plugins, its class archive")
    trino = trino_image.build(cache)
    prune(cache / "images", datetime.now(UTC))
    return [pause, site, trino]


def load(store: Store, images: Sequence[oci.Image]) -> None:
    """Bring images into a node; the site's also under its version, by which examples/ name it."""
    store.load(images)
    (site,) = (image for image in images if image.name == site_image.NAME)
    store.name(site.reference, site_image.RELEASE)


def short_names(images: Sequence[oci.Image]) -> dict[str, str]:
    """Short name (`pause`, `site`, `trino`) -> reference by digest."""
    return {image.name.rpartition("/")[2]: image.pinned for image in images}
