"""Who holds and who uses the node's GPUs: the kubelet's podresources API, and whose a process is by its control group.

No right on the API server is needed: the kubelet answers on a socket of the node, and the names behind the pods' UIDs
are folders of the node. All of it is asked anew for each sample; nothing is remembered, so nothing is stale.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import grpc

from commonweal.attribution import UNATTRIBUTED, Look, busy_by_slice, reservations
from infra.nvml_exporter.driver import Device, Poll

SOCKET = "kubelet.sock"
RESOURCE_PREFIX = "nvidia.com/"
CLAIM_DRIVER = "gpu.nvidia.com"  # of dynamic resource allocation
TIMEOUT_S = 0.5  # a kubelet that hangs delays a sample by so much, which is below the gap that a meter bridges
_OPTIONS = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000))  # not two minutes
_SERVICE = "/v1.PodResourcesLister/"
_UID = re.compile(r"pod([0-9a-f]{8}(?:[-_]?[0-9a-f]{4}){3}[-_]?[0-9a-f]{12})")  # systemd's slices write _ for -


@dataclass(frozen=True, kw_only=True)
class View:
    """Each board's look by UUID, and why there is none, by board (empty: the whole node) and quantity."""

    looks: Mapping[str, Look]
    failures: tuple[tuple[str, str, str], ...] = ()


class Pods:
    """The node's pods as its kubelet and its process table show them."""

    def __init__(self, folder: Path, *, proc: Path, pod_logs: Path) -> None:
        """Name the folder of the kubelet's socket, which outlives a kubelet, the process table and the pods' folders.

        Raises:
            OSError: no such folder; the message names the setting.
        """
        if not folder.is_dir():
            raise OSError(f"COMMONWEAL_POD_RESOURCES: {folder}: no such folder; mount the kubelet's pod-resources")
        self._proc, self._pod_logs = proc, pod_logs
        channel = grpc.insecure_channel(f"unix:{folder.absolute() / SOCKET}", options=_OPTIONS)
        self._list = channel.unary_unary(f"{_SERVICE}List")
        self._allocatable = channel.unary_unary(f"{_SERVICE}GetAllocatableResources")

    def view(self, poll: Poll) -> View:
        """Say of each board of a poll who holds and who uses it; the kubelet's silence is a reason, and no holder."""
        devices = [device for device in poll.devices if device.uuid]
        try:
            held = held_ids(self._list(b"", timeout=TIMEOUT_S, wait_for_ready=False))
            allocatable = set(_device_ids(self._allocatable(b"", timeout=TIMEOUT_S), 1))
        except grpc.RpcError as error:
            reason = f"kubelet-{error.code().name.lower().replace('_', '-')}"
            return View(looks={}, failures=(("", "pods", reason),))
        except ValueError:
            return View(looks={}, failures=(("", "pods", "kubelet-unreadable"),))
        found = reservations(held, allocatable, [device.board for device in devices if device.board])
        names = dict(pod_names(self._pod_logs))
        failures = [("", "pods", f"unknown-device {device_id}") for device_id in found.unknown]
        looks = {}
        for device in devices:
            uuid = str(device.uuid)
            if device.board is not None:
                seen, reasons = self._look(device, found.of[uuid], names)
                by_slice = busy_by_slice(device.board, device.busy_ppm, found.parts.get(uuid, {}))
                looks[uuid] = seen if by_slice is None else replace(seen, busy=by_slice)
                failures += [(uuid, "process-owner", reason) for reason in reasons]
        return View(looks=looks, failures=tuple(failures))

    def _look(
        self, device: Device, reserved: Mapping[str, Fraction], names: Mapping[str, str]
    ) -> tuple[Look, tuple[str, ...]]:
        seen = device.processes
        pids = (seen.running or frozenset()) | (seen.busy or {}).keys() if seen else frozenset()
        uids = {pid: uid for pid in pids if (uid := pod_uid(self._proc, pid)) is not None}
        told = seen is not None and (seen.running, seen.busy) != (None, None)
        hidden = not uids and told and bool(pids or device.utilization_percent)
        if seen is None or hidden:
            # Outside the node's process namespace NVML shows no process, or one that has no owner here. Then use is
            # unknown, which is not unused: a board at work must neither look idle nor teach what idle power is.
            return Look(reserved=reserved), (("pid-not-visible",) if hidden else ())
        owners = {pid: names.get(uid, UNATTRIBUTED) for pid, uid in uids.items()}
        busy: Counter[str] = Counter()
        for pid, percent in (seen.busy or {}).items():
            busy[owners.get(pid, UNATTRIBUTED)] += percent
        running = None if seen.running is None else frozenset(owners.get(pid, UNATTRIBUTED) for pid in seen.running)
        unnamed = ("pod-not-named",) if {uid for uid in uids.values() if uid} - names.keys() else ()
        return Look(reserved=reserved, busy=None if seen.busy is None else busy, running=running), unnamed


def pod_uid(proc: Path, pid: int) -> str | None:
    """Return the UID of a process's pod, empty where it is in none, None where there is no such process."""
    try:
        match = _UID.search((proc / str(pid) / "cgroup").read_text())
    except OSError:
        return None
    return match[1].replace("_", "-") if match else ""


def pod_names(pod_logs: Path) -> Iterator[tuple[str, str]]:
    """Yield each pod's UID and `namespace/name`, from the folders that the kubelet names NAMESPACE_NAME_UID."""
    if not pod_logs.is_dir():
        return
    for folder in pod_logs.iterdir():
        if folder.name.count("_") == 2:
            namespace, name, uid = folder.name.split("_")
            yield uid, f"{namespace}/{name}"


def held_ids(answer: bytes) -> dict[str, tuple[str, ...]]:
    """Return the NVIDIA device ids that each pod holds or claims, by `namespace/name`, from a ListPodResourcesResponse.

    Raises:
        ValueError: the bytes are no such message.
    """
    held: dict[str, tuple[str, ...]] = {}
    for pod in _messages(answer, 1):
        name, namespace = (b"".join(_messages(pod, number)).decode() for number in (1, 2))
        ids = tuple(
            device_id
            for container in _messages(pod, 3)
            for device_id in (*_device_ids(container, 2), *_claimed(container, 5))
        )
        if ids:
            held[f"{namespace}/{name}"] = ids
    return held


def _device_ids(message: bytes, number: int) -> Iterator[str]:
    """Device ids of the ContainerDevices in a field: field 1 is the resource's name, field 2 are its ids."""
    for devices in _messages(message, number):
        if b"".join(_messages(devices, 1)).decode().startswith(RESOURCE_PREFIX):
            yield from (device_id.decode() for device_id in _messages(devices, 2))


def _claimed(message: bytes, number: int) -> Iterator[str]:
    """Device names of the DynamicResources in a field: field 4 of each are claims, of a driver 2 and a device 4."""
    for resource in _messages(message, number):
        for claim in _messages(resource, 4):
            if b"".join(_messages(claim, 2)).decode() == CLAIM_DRIVER:
                yield from (name.decode() for name in _messages(claim, 4))


def _messages(message: bytes, number: int) -> Iterable[bytes]:
    """Yield the contents of every length-delimited field of a number (protobuf encoding, wire type 2).

    A few messages of the kubelet's are all that is read, so this replaces a code generator and its runtime.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            _, at = _varint(message, at)
        elif kind == 2:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise ValueError("a field is longer than its message")
            if key >> 3 == number:
                yield message[at : at + length]
            at += length
        else:
            raise ValueError(f"wire type {kind} is in none of the kubelet's messages")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message):
        byte = message[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at
    raise ValueError("a number ends with its message")
