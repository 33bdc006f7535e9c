"""The exporter's series, by name. Names and labels are frozen by a test: renaming one breaks other people's dashboards.

What could not be read is no series, and a `commonweal_gpu_unavailable` with the reason; it is never 0.
"""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from commonweal.attribution import Account, Share
from commonweal.metering import Scope
from infra.nvml_exporter.driver import Device
from infra.nvml_exporter.host import QUANTITY
from infra.nvml_exporter.register import Meter
from infra.nvml_exporter.sampler import Snapshot

Row = tuple[list[str], float | None]


class _Families(Collector):
    """Families made before; the registry that Prometheus renders takes collectors only."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


class Metrics:
    """Renders snapshots, each once: a scrape costs the age of the last one, and bytes that lie ready."""

    def __init__(self) -> None:
        self._rendered: tuple[Snapshot | None, bytes] = (None, b"")

    def page(self, snapshot: Snapshot | None, now_ms: int) -> bytes:
        """Return the exposition of a snapshot at an instant in UTC milliseconds; empty before the first."""
        if snapshot is None:
            return b""
        rendered = self._rendered
        if rendered[0] is not snapshot:
            rendered = self._rendered = (snapshot, _text(_families(snapshot)))
        age: list[Row] = [([], (now_ms - snapshot.poll.at_ms) / 1000)]
        name, help_ = "commonweal_gpu_last_sample_age_seconds", "Time since the driver was last asked."
        return _text([_gauge(name, help_, [], age)]) + rendered[1]


def _text(families: Iterable[Metric]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Families(families))
    return generate_latest(registry)


def _families(snapshot: Snapshot) -> Iterator[Metric]:
    yield _unavailable(snapshot)
    yield from _measured(snapshot)
    yield from _energy(snapshot)
    yield from _around(snapshot)
    yield _host(snapshot)
    yield from _attributed(snapshot)


def _gauge(name: str, help_: str, labels: list[str], rows: list[Row]) -> Metric:
    family = GaugeMetricFamily(name, help_, labels=labels)
    for values, value in rows:
        if value is not None:
            family.add_metric(values, value)
    return family


def _counter(name: str, help_: str, labels: list[str], rows: list[Row]) -> Metric:
    family = CounterMetricFamily(name, help_, labels=labels)
    for values, value in rows:
        if value is not None:
            family.add_metric(values, value)
    return family


def _unavailable(snapshot: Snapshot) -> Metric:
    poll, simulated = snapshot.poll, _bool(snapshot.poll.simulated)
    rows: list[Row] = [
        (["" if device.index < 0 else str(device.index), device.uuid or "", quantity, reason, simulated], 1)
        for device in poll.devices
        for quantity, reason in sorted(device.failures.items())
    ]
    rows += [(["", uuid, quantity, reason, simulated], 1) for uuid, quantity, reason in _view_failures(snapshot)]
    rows += [(["", "", QUANTITY, reason, simulated], 1) for reason in snapshot.host.failures]
    if poll.failure:
        rows.append((["", "", "driver", poll.failure, simulated], 1))
    return _gauge(
        "commonweal_gpu_unavailable",
        "1 for each quantity that could not be read, with NVML's reason.",
        ["gpu", "gpu_uuid", "quantity", "reason", "simulated"],
        rows,
    )


def _view_failures(snapshot: Snapshot) -> tuple[tuple[str, str, str], ...]:
    return snapshot.view.failures if snapshot.view else ()


def _measured(snapshot: Snapshot) -> Iterator[Metric]:
    simulated = _bool(snapshot.poll.simulated)
    known = [device for device in snapshot.poll.devices if device.uuid and device.scope.earns]

    def gauge(name: str, help_: str, value: Callable[[Device], float | None]) -> Metric:
        rows: list[Row] = [([str(device.uuid), simulated], value(device)) for device in known]
        return _gauge(name, help_, ["gpu_uuid", "simulated"], rows)

    yield _gauge(
        "commonweal_gpu_info",
        "What the device is; always 1.",
        ["gpu", "gpu_uuid", "name", "scope", "driver", "simulated"],
        [
            ([str(d.index), str(d.uuid), str(d.name), d.scope, str(snapshot.poll.driver_version), simulated], 1)
            for d in known
        ],
    )
    yield gauge("commonweal_gpu_power_watts", "Power as the driver reports it.", lambda d: _thousandth(d.power_mw))
    yield gauge("commonweal_gpu_power_limit_watts", "Enforced power limit.", lambda d: _thousandth(d.limit_mw))
    yield gauge(
        "commonweal_gpu_utilization_ratio",
        "Share of the last sample period in which a kernel ran.",
        lambda d: None if d.utilization_percent is None else d.utilization_percent / 100,
    )
    yield gauge("commonweal_gpu_memory_used_bytes", "Device memory in use.", lambda d: d.memory_used_bytes)
    yield gauge("commonweal_gpu_memory_total_bytes", "Device memory.", lambda d: d.memory_total_bytes)
    yield gauge("commonweal_gpu_poll_seconds", "Time that NVML took for the device.", lambda d: d.call_us / 1e6)
    yield gauge(
        "commonweal_gpu_driver_latency_seconds",
        "Latency of the energy query as the driver itself reports it.",
        lambda d: None if d.driver_latency_us is None else d.driver_latency_us / 1e6,
    )
    yield _gauge(
        "commonweal_gpu_sm_busy_ratio",
        "Share of multiprocessors busy since the last look, by GPM; of a MIG slice of its own, else of the board.",
        ["gpu_uuid", "gpu_instance", "simulated"],
        [
            ([str(d.uuid), "" if part is None else str(part), simulated], ppm / 1e6)
            for d in known
            for part, ppm in d.busy_ppm.items()
        ],
    )
    rows: list[Row] = [([str(d.uuid), str(d.name), "gpu"], _thousandth(d.power_mw)) for d in known]
    yield _gauge("hw_power_watts", "OpenTelemetry hw.power.", ["hw_id", "hw_name", "hw_type"], rows)


def _energy(snapshot: Snapshot) -> Iterator[Metric]:
    read = {d.uuid: d for d in snapshot.poll.devices if d.uuid and d.register_mj is not None}
    meters = [meter for uuid, meter in sorted(snapshot.meters.items()) if uuid in read]

    def counter(name: str, help_: str, value_mj: Callable[[Meter], int]) -> Metric:
        labels = ["gpu_uuid", "scope", "epoch", "simulated"]
        rows: list[Row] = [
            ([m.uuid, m.scope, str(m.epoch), _bool(m.simulated)], _thousandth(value_mj(m)))
            for m in meters
            if m.scope.earns
        ]
        return _counter(name, help_, labels, rows)

    yield counter(
        "commonweal_gpu_energy_joules",
        "The device's register; a reset begins a new epoch.",
        lambda m: m.last.register_mj,
    )
    yield counter(
        "commonweal_gpu_energy_unplaced_joules",
        "Drawn while nobody looked, across a period's end; credited to no period.",
        lambda m: m.unplaced_mj,
    )
    rows: list[Row] = [
        ([m.uuid, str(read[m.uuid].name), "gpu"], _thousandth(m.last.register_mj)) for m in meters if m.scope.earns
    ]
    yield _counter("hw_energy_joules", "OpenTelemetry hw.energy.", ["hw_id", "hw_name", "hw_type"], rows)


def _around(snapshot: Snapshot) -> Iterator[Metric]:
    """Render the meters around the devices under names of their own: a host must not be added to its parts."""
    read = {device.uuid for device in snapshot.poll.devices if device.register_mj is not None}
    meters = [meter for uuid, meter in sorted(snapshot.meters.items()) if uuid in read and not meter.scope.earns]
    yield _counter(
        "commonweal_meter_energy_joules",
        "The register of a meter around devices; a reset begins a new epoch.",
        ["meter", "scope", "epoch"],
        [([m.uuid, m.scope, str(m.epoch)], _thousandth(m.last.register_mj)) for m in meters],
    )
    yield _counter(
        "hw_host_energy_joules",
        "OpenTelemetry hw.host.energy.",
        ["hw_id"],
        [([m.uuid], _thousandth(m.last.register_mj)) for m in meters if m.scope is Scope.NODE],
    )


def _host(snapshot: Snapshot) -> Metric:
    """Render the host's zones; they lie within each other, and must not be added."""
    rows: list[Row] = [
        ([zone.source, zone.name], zone.total_uj / 1e6)
        for key, zone in sorted(snapshot.host.zones.items())
        if key in snapshot.host.seen
    ]
    help_ = "Counted by the kernel since the exporter's first look; zones overlap."
    return _counter("commonweal_host_energy_joules", help_, ["source", "zone"], rows)


def _attributed(snapshot: Snapshot) -> Iterator[Metric]:
    """Render the accounts: on each device, pods + departed + unattributed = metered."""
    simulated, accounts = _bool(snapshot.poll.simulated), sorted(snapshot.accounts.items())
    if snapshot.view is None:
        return

    def by_device(name: str, help_: str, value: Callable[[Account], Share]) -> Metric:
        rows: list[Row] = [([uuid, simulated], value(account).measured_mj / 1000) for uuid, account in accounts]
        return _counter(name, help_, ["gpu_uuid", "simulated"], rows)

    def by_pod(name: str, help_: str, value_mj: Callable[[Share], int | None]) -> Metric:
        rows: list[Row] = [
            ([*pod.split("/"), uuid, simulated], _thousandth(value_mj(share)))
            for uuid, account in accounts
            for pod, share in sorted(account.pods.items())
        ]
        return _counter(name, help_, ["namespace", "pod", "gpu_uuid", "simulated"], rows)

    yield by_device(
        "commonweal_gpu_energy_metered_joules", "Differences of the register, over resets.", lambda a: a.metered
    )
    yield by_device(
        "commonweal_gpu_energy_unattributed_joules",
        "Of it: reserved by no pod and used by none, or drawn while nobody looked.",
        lambda a: a.unattributed,
    )
    yield by_device("commonweal_gpu_energy_departed_joules", "Of it: of pods that left long ago.", lambda a: a.departed)
    yield by_pod(
        "commonweal_pod_gpu_energy_joules",
        "Of it: the pod's active energy, and the idle energy of what it reserves.",
        lambda share: share.measured_mj,
    )
    yield by_pod(
        "commonweal_pod_gpu_energy_estimated_joules",
        "Lost to a reset and estimated over at most one interval; not in the energy.",
        lambda share: share.estimated_mj or None,
    )
    idle: list[Row] = [([uuid, simulated], _thousandth(account.idle_mw)) for uuid, account in accounts]
    yield _gauge(
        "commonweal_gpu_idle_power_watts", "Lowest power seen with no process.", ["gpu_uuid", "simulated"], idle
    )


def _thousandth(value: int | None) -> float | None:
    return None if value is None else value / 1000


def _bool(value: bool) -> str:
    return "true" if value else "false"
