"""The one loop that talks to the driver: polls, advances the meters, makes them durable, and leaves a snapshot.

Scrapes read the snapshot and never wait for the driver. What a scrape may show is durable before: a counter that a
crash set back would be taken for a reset, and its joules counted twice.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from threading import Event

from commonweal.attribution import Account
from commonweal.metering import Measurement
from infra.nvml_exporter.accounts import book_all
from infra.nvml_exporter.driver import Device, Driver, Poll
from infra.nvml_exporter.host import Host, Zone
from infra.nvml_exporter.pods import Pods, View
from infra.nvml_exporter.register import Meter, Rule, Sample, advance, begin, close_overdue, is_clock_shift, resumed
from infra.nvml_exporter.store import Store

Around = Callable[[], tuple[Device, ...]]  # reads the meters around the devices
HostLook = Callable[[Mapping[str, Zone]], Host]  # reads the host's zones, given the last look at them
SYNC_MS = 10_000  # a power cut loses at most so much of "the device was there"; joules are in the register


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The last round: what driver and host showed, the meters after it, and, where pods are told apart, accounts."""

    poll: Poll
    meters: dict[str, Meter]
    accounts: dict[str, Account] = field(default_factory=dict)
    view: View | None = None
    host: Host = field(default_factory=Host)


def advance_all(meters: dict[str, Meter], poll: Poll, rule: Rule) -> tuple[dict[str, Meter], list[Measurement]]:
    """Take one poll into all meters; return them and the periods that it closed."""
    after = dict(meters)
    closed: list[Measurement] = []
    for device in poll.devices:
        if device.uuid is None or device.register_mj is None:
            continue
        sample = Sample(at_ms=device.at_ms, register_mj=device.register_mj, power_mw=device.power_mw)
        if device.uuid in after:
            after[device.uuid], done = advance(after[device.uuid], sample, rule)
            closed += done
        else:
            after[device.uuid] = begin(
                device.uuid, scope=device.scope, simulated=poll.simulated, sample=sample, rule=rule
            )
    for uuid, meter in after.items():
        after[uuid], done = close_overdue(meter, poll.at_ms, rule)
        closed += done
    return after, closed


def with_clock_failures(poll: Poll, meters: dict[str, Meter]) -> Poll:
    """Name the devices whose samples are dated before what is already counted: their meters stand still."""

    def named(device: Device) -> Device:
        meter = meters.get(device.uuid or "")
        if meter is None or device.register_mj is None:
            return device
        sample = Sample(at_ms=device.at_ms, register_mj=device.register_mj, power_mw=None)
        shifted = {"meter": "clock-shift"} if is_clock_shift(meter, sample) else {}
        return replace(device, failures=device.failures | shifted)

    return replace(poll, devices=tuple(named(device) for device in poll.devices))


def _nothing() -> tuple[Device, ...]:
    return ()


def _no_host(_: Mapping[str, Zone]) -> Host:
    return Host()


class Sampler:
    """Runs in the process's main thread, so that what it cannot handle ends the process."""

    def __init__(
        self,
        *,
        driver: Driver,
        store: Store,
        rule: Rule,
        pods: Pods | None = None,
        around: Around = _nothing,
        host: HostLook = _no_host,
    ) -> None:
        self._driver, self._store, self._rule, self._pods, self._around = driver, store, rule, pods, around
        self._look_at_host, self._host = host, Host(zones=store.zones())
        self._accounts = store.accounts() if pods else {}
        self._meters = {uuid: resumed(meter, rule) for uuid, meter in store.meters().items()}
        self._synced_ms = 0
        self.snapshot: Snapshot | None = None

    def step(self) -> Snapshot:
        """Poll once."""
        poll = self._driver.poll()
        poll = with_clock_failures(replace(poll, devices=poll.devices + self._around()), self._meters)
        meters, closed = advance_all(self._meters, poll, self._rule)
        view = self._pods.view(poll) if self._pods else None
        if view is not None:
            self._accounts = book_all(self._accounts, self._meters, poll, view, self._rule)
        self._meters, self._host = meters, self._look_at_host(self._host.zones)
        synced = bool(closed) or abs(poll.at_ms - self._synced_ms) >= SYNC_MS
        self._save(closed, synced=synced)
        self._synced_ms = poll.at_ms if synced else self._synced_ms
        self.snapshot = Snapshot(poll=poll, meters=meters, accounts=self._accounts, view=view, host=self._host)
        return self.snapshot

    def run(self, *, every_s: float, stop: Event, monotonic_s: Callable[[], float]) -> None:
        """Poll at a fixed rate until told to stop; a slow driver skips beats instead of piling them up."""
        due_s = monotonic_s()
        while not stop.is_set():
            self.step()
            due_s = max(due_s + every_s, monotonic_s())
            stop.wait(due_s - monotonic_s())
        self._save((), synced=True)
        self._driver.close()

    def _save(self, closed: Iterable[Measurement], *, synced: bool) -> None:
        self._store.save(self._meters.values(), closed, self._accounts, zones=self._host.zones, synced=synced)
