"""A simulated kubelet: the podresources API on a socket, with a process table and pods' folders, where no node is.

It answers over the kubelet's own protocol, so that what asks it is tested and measured with nothing put in its place.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc


@dataclass
class Kubelet:
    """A node's pods; all of it lies in one folder and may change while the server runs."""

    folder: Path
    held: dict[str, list[str]] = field(default_factory=dict)
    allocatable: list[str] = field(default_factory=list)

    @property
    def proc(self) -> Path:
        """The process table."""
        return self.folder / "proc"

    @property
    def pod_logs(self) -> Path:
        """The folders that name pods."""
        return self.folder / "logs"

    def start(self) -> grpc.Server:
        """Serve on `kubelet.sock` in the folder until the returned server is stopped."""
        answers = {
            "List": lambda *_: listing(self.held),
            "GetAllocatableResources": lambda *_: message(1, devices(self.allocatable)),
        }
        server = grpc.server(ThreadPoolExecutor(2))
        handlers = {name: grpc.unary_unary_rpc_method_handler(answer) for name, answer in answers.items()}
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("v1.PodResourcesLister", handlers)])
        server.add_insecure_port(f"unix:{self.folder}/kubelet.sock")
        server.start()
        return server

    def process(self, pid: int, pod: str | None) -> None:
        """Let a process run in a pod, `namespace/name`, or in none; its control group is as systemd names it."""
        uid = f"{pid:08x}-0000-4000-8000-000000000000"
        slice_name = f"kubepods-burstable-pod{uid.replace('-', '_')}.slice" if pod else "system.slice"
        (self.proc / str(pid)).mkdir(parents=True)
        (self.proc / str(pid) / "cgroup").write_text(f"0::/kubepods.slice/{slice_name}/cri-containerd-0.scope\n")
        if pod:
            (self.pod_logs / f"{pod.replace('/', '_')}_{uid}").mkdir(parents=True)


def listing(held: Mapping[str, Iterable[str]]) -> bytes:
    """Encode a ListPodResourcesResponse: pods by `namespace/name` with the NVIDIA devices that each holds.

    A name as `gpu-0` is a device that a claim allocated; all others are a plugin's.
    """
    answer = b""
    for pod, ids in held.items():
        namespace, name = pod.split("/")
        claimed = [each for each in ids if each.startswith("gpu-")]
        container = message(1, "main") + message(2, devices(each for each in ids if each not in claimed))
        container += b"".join(message(5, claim(each)) for each in claimed)
        answer += message(1, message(1, name) + message(2, namespace) + message(3, container))
    return answer


def devices(ids: Iterable[str]) -> bytes:
    """Encode a ContainerDevices of the resource nvidia.com/gpu."""
    return message(1, "nvidia.com/gpu") + b"".join(message(2, each) for each in ids)


def claim(device: str) -> bytes:
    """Encode a DynamicResource: a claim that NVIDIA's driver met with one device of the node's pool."""
    resource = message(1, message(1, f"k8s.gpu.nvidia.com/claim={device}"))
    resource += message(2, "gpu.nvidia.com") + message(3, "node") + message(4, device)
    return message(2, "claim") + message(3, "default") + message(4, resource)


def message(number: int, content: bytes | str) -> bytes:
    """Encode a length-delimited field (protobuf encoding, wire type 2)."""
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """Encode a number of 0 or more, seven bits a byte, lowest first."""
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)
