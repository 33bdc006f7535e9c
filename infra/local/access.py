"""What callers know of a cluster, whoever provides it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class ClusterAccess:
    """How to reach one cluster.

    Attributes:
        kubeconfig: Of an administrator.
        server: The API server's address as the other clusters reach it.
        node_address: Where NodePorts answer, or None where the cluster has no node.
    """

    name: str
    kubeconfig: Path
    is_hub: bool
    server: str
    node_address: str | None


class Provider(Protocol):
    """Where clusters come from. Nothing above knows which one it is."""

    def up(self) -> dict[str, str]:
        """Bring the clusters up, or check that they are there, with our images; harmless to repeat.

        Returns the images as `load_images` does.
        """

    def down(self) -> None:
        """Take down what `up` brought up, and nothing else."""

    def clusters(self) -> dict[str, ClusterAccess]:
        """How to reach each cluster, by name."""

    def load_images(self) -> dict[str, str]:
        """Bring our images to every member: short name (`site`, `trino`) -> reference."""
