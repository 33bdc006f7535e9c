"""Everything that pages and data routes read, cached for the whole process; the only module here with a clock."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import streamlit as st

from dashboards import gateways, hub, pilots, probes
from dashboards.figures import Standing, View
from dashboards.hub import HubError, Seen, Snapshot
from dashboards.kubeconfig import KubeconfigError, read_access
from dashboards.public_document import PublicDocument, document
from dashboards.settings import SettingsError, read_settings
from dashboards.views import equity, overview, public, service_levels, trade

HUB_TTL_SECONDS = 4
REPORT_TTL_SECONDS = 10  # gateways make a new report no more often
PILOT_TTL_SECONDS = 20  # a question costs every member that holds rows
QUESTIONS = {
    "overview": overview.QUESTION,
    "service-levels": service_levels.QUESTION,
    "trade": trade.QUESTION,
    "equity": equity.QUESTION,
    "public": public.QUESTION,
}


@dataclass
class _Memory:
    """What was seen last; outlives every refresh."""

    seen: Seen


@st.cache_resource(show_spinner=False)
def _memory() -> _Memory:
    return _Memory(Seen())


@st.cache_resource(ttl=HUB_TTL_SECONDS, show_spinner=False)
def seen_hub() -> Seen:
    """Return what is known of the hub, at most HUB_TTL_SECONDS old, or older and marked so."""
    memory = _memory()
    try:
        settings = read_settings(sys.argv[1:], os.environ)
        # Read again at every refresh: the reader's certificate rotates.
        with hub.connect(read_access(settings.kubeconfig)) as client:
            memory.seen = memory.seen.renewed(hub.take_snapshot(client, datetime.now(UTC)))
    except (SettingsError, KubeconfigError, HubError) as error:
        memory.seen = memory.seen.failed(str(error))
    return memory.seen


@st.cache_resource(ttl=PILOT_TTL_SECONDS, max_entries=4, show_spinner="Asking the pilot…")
def _answers(address: str) -> pilots.Answers:
    with pilots.connect(address) as client:
        return pilots.ask(client, datetime.now(UTC))


@st.cache_resource(ttl=REPORT_TTL_SECONDS, show_spinner="Asking the members…")
def _reports() -> gateways.Reports:
    snapshot = seen_hub().snapshot
    return gateways.ask(snapshot.members if snapshot else ())


def public_document() -> PublicDocument | None:
    """Return what everyone may know; None before the hub has answered once."""
    snapshot = seen_hub().snapshot
    return document(snapshot, _reports()) if snapshot else None


def view_of(page: str, parameters: Mapping[str, str]) -> View:
    """Build a page from what is known now.

    Raises:
        KeyError: there is no such page.
    """
    snapshot = seen_hub().snapshot
    question = QUESTIONS[page]
    if snapshot is None:
        return View(question=question, standing=Standing.UNKNOWN, answer="Unknown: the hub has not answered yet.")
    match page:
        case "overview":
            return overview.view(snapshot)
        case "service-levels":
            return service_levels.view(snapshot, _measured())
        case "trade":
            return _trade(snapshot)
        case "public":
            return public.view(snapshot, document(snapshot, _reports()))
        case _:
            return equity.view(snapshot, parameters.get("period", equity.LATEST))


def _measured() -> probes.Measured:
    return probes.read(read_settings(sys.argv[1:], os.environ).probe_file)


def _trade(snapshot: Snapshot) -> View:
    address = trade.address(snapshot)
    return trade.view(snapshot, _answers(address)) if address else trade.why_unasked(snapshot)
