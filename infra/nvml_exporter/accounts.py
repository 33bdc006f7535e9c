"""Books what each register counted between two samples to the pods that held and used the device."""

from collections.abc import Mapping

from commonweal.attribution import Account, booked
from infra.nvml_exporter.driver import Poll
from infra.nvml_exporter.pods import View
from infra.nvml_exporter.register import Meter, Rule, Sample, interval_of, is_clock_shift


def book_all(
    accounts: Mapping[str, Account], meters: Mapping[str, Meter], poll: Poll, view: View, rule: Rule
) -> dict[str, Account]:
    """Return every account after a poll, given the meters before it; a device's first sample opens its account."""
    after = dict(accounts)
    for device in poll.devices:
        if device.uuid is None or device.register_mj is None or not device.scope.earns:
            continue
        account = after.setdefault(device.uuid, Account())
        meter = meters.get(device.uuid)
        sample = Sample(at_ms=device.at_ms, register_mj=device.register_mj, power_mw=device.power_mw)
        if meter is None or is_clock_shift(meter, sample):
            continue
        after[device.uuid] = booked(
            account,
            interval_of(meter, sample, rule),
            view.looks.get(device.uuid),
            power_mw=device.power_mw,
            at_ms=device.at_ms,
        )
    return after
