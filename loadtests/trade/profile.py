"""Locust file: customs officers who arrive at a rate, whether or not the server keeps up.

python -m locust -f loadtests/trade/profile.py --headless --users 1 --host http://127.0.0.1:8080 \
    --arrivals-per-s 50 --seconds 20 --service-class examples/10-charter.yaml --pilot examples/50-trade-pilot.yaml

One Locust user drives all arrivals: each is spawned when it is due and timed from then, so a server that stalls pays
for every request that it kept waiting. The exit code is 0 only where the gate passes. With --probe-file the run is also
written down for the dashboard.
"""

import argparse
import json
import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import gevent
from gevent.pool import Pool
from locust import FastHttpUser, events, task
from locust.env import Environment

from loadtests.trade.arrivals import Model, due_times_s
from loadtests.trade.gate import Arrival, Run, ServiceClass, judge, measurement, read_pilot, read_service_class

LOG = logging.getLogger("loadtests.trade")
MOST_IN_FLIGHT = 2_000  # above, an arrival is not sent and counts against the run
ANSWER_WITHIN_S = 30.0
CONSIGNMENTS = (
    {"cn_code": "72081000", "country": "KR", "installation_id": "EC-EXAMPLE-2", "net_mass_kg": "25000"},
    {"cn_code": "72081000", "country": "CN", "net_mass_kg": "18000.5"},
    {"cn_code": "73041100", "country": "KR", "installation_id": "EC-EXAMPLE-3", "net_mass_kg": "4000"},
    {"cn_code": "72142000", "country": "VN", "net_mass_kg": "60000"},
)
TOTALS_EVERY = 20  # one request in twenty asks for a heading's year


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this profile, beside Locust's own."""
    parser.add_argument("--arrivals-per-s", type=float, default=20.0, help="intended rate")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long requests arrive")
    parser.add_argument("--arrival-model", choices=[str(model) for model in Model], default=str(Model.POISSON))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--service-class", type=Path, required=True, help="YAML or JSON: a class, or a Consortium")
    parser.add_argument("--class-name", default=None, help="which class of the Consortium")
    parser.add_argument("--pilot", type=Path, default=None, help="PilotApp that names its class")
    parser.add_argument("--probe-file", type=Path, default=None, help="append what was measured, for the dashboard")
    parser.add_argument("--import-year", type=int, default=2026)


# Locust leaves its hooks untyped.
_listen: Callable[[Callable[[argparse.ArgumentParser], None]], object] = events.init_command_line_parser.add_listener
_listen(add_options)


class CustomsOffice(FastHttpUser):
    """Drives every arrival of the run."""

    concurrency = MOST_IN_FLIGHT
    network_timeout = ANSWER_WITHIN_S
    connection_timeout = ANSWER_WITHIN_S
    insecure = False

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._arrivals: list[Arrival] = []
        # Locust leaves the options out only where it is used as a library, which this file is not.
        self._options = environment.parsed_options or argparse.Namespace()
        self._choice = random.Random(self._options.seed)

    @task
    def drive(self) -> None:
        """Read the gate, send each request when it is due, wait for the last answer, judge, and end the run."""
        try:
            pilot, promised = read_class(self._options)
        except (OSError, ValueError) as error:
            LOG.warning("--service-class, --pilot: %s", error)
            self._end(2)
            return
        start = datetime.now(UTC)
        run = self._run()
        if pilot is not None and self._options.probe_file is not None:
            _append(self._options.probe_file, measurement(run, pilot, start, datetime.now(UTC)))
        self._end(_report(run, promised))

    def _run(self) -> Run:
        options = self._options
        due = list(due_times_s(Model(options.arrival_model), options.arrivals_per_s, options.seconds, options.seed))
        in_flight = Pool(MOST_IN_FLIGHT)
        cpu_s, start_s = time.process_time(), time.monotonic()
        for due_s in due:
            gevent.sleep(max(0.0, start_s + due_s - time.monotonic()))
            if in_flight.free_count() > 0:
                in_flight.spawn(self.arrive, start_s + due_s)
        in_flight.join(timeout=ANSWER_WITHIN_S)
        used = (time.process_time() - cpu_s) / (time.monotonic() - start_s)
        return Run(intended=len(due), arrivals=tuple(self._arrivals), generator_cpu_share=used)

    def _end(self, exit_code: int) -> None:
        self.environment.process_exit_code = exit_code
        if self.environment.runner is not None:
            self.environment.runner.quit()

    def arrive(self, due_at_s: float) -> None:
        """One request, timed from when it was due."""
        if self._choice.randrange(TOTALS_EVERY) == 0:
            year = self._options.import_year
            answer = self.client.get(f"/v1/totals?cn_prefix=7208&year={year}", name="totals")
        else:
            consignment = self._choice.choice(CONSIGNMENTS)
            asked = {**consignment, "import_year": self._options.import_year}
            answer = self.client.post("/v1/assessments", json=asked, name="assess")
        status = answer.status_code or 0
        self._arrivals.append(
            Arrival(
                latency_ms=(time.monotonic() - due_at_s) * 1000,
                answered=0 < status < 500,
                right=status == 200 and b"tonnes_counted" in (answer.content or b""),
            )
        )


def read_class(options: argparse.Namespace) -> tuple[str | None, ServiceClass]:
    """The pilot's name, if one is given, and the service class that the options name.

    Raises:
        ValueError: a file lacks what is read from it, or a file of measurements is named without a pilot.

    """
    pilot, name = None, options.class_name
    if options.pilot is not None:
        pilot, name = read_pilot(options.pilot.read_text("utf-8"))
    elif options.probe_file is not None:
        raise ValueError("--probe-file needs --pilot, whose measurement it is")
    return pilot, read_service_class(options.service_class.read_text("utf-8"), name)


def _append(path: Path, line: dict[str, object]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _report(run: Run, promised: ServiceClass) -> int:
    checks = judge(run, promised)
    for check in checks:
        LOG.info("%-14s %8d %s  want %-9s %s", check.name, check.got, check.unit, check.want, _word(check.passed))
    LOG.info("gate %s", json.dumps({check.name: check.got for check in checks}))
    return 0 if all(check.passed for check in checks) else 1


def _word(passed: bool) -> str:
    return "pass" if passed else "FAIL"
