"""Reads what every member's gateway tells everyone (`/v1/public`): signed, and without an account."""

import ssl
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx

from commonweal.kinds.member import Member
from commonweal.public_reports import Report, ReportError, read_report

TIMEOUT_SECONDS = 5.0  # for each wait, and for the answer as a whole: one that trickles would hold the page
MAX_BYTES = 8 * 1024 * 1024  # twenty thousand hours of use, and room for the notes
AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Reports:
    """What gateways told, by member; `silent` says why one told nothing that can be believed."""

    told: Mapping[str, Report] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)


class _SilentError(Exception):
    """A gateway told nothing; the message says why."""


def ask(members: Iterable[Member], transport: httpx.BaseTransport | None = None) -> Reports:
    """Ask AT_ONCE members at a time; none is waited for much longer than TIMEOUT_SECONDS.

    Args:
        members: with their sites, as the hub verified them.
        transport: what carries the requests; the network unless given.
    """
    told: dict[str, Report] = {}
    silent: dict[str, str] = {}
    listed = tuple(members)
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        for member, answer in zip(listed, pool.map(lambda each: _asked(each, transport), listed), strict=True):
            if isinstance(answer, Report):
                told[member.metadata.name] = answer
            else:
                silent[member.metadata.name] = answer
    return Reports(told=told, silent=silent)


def _asked(member: Member, transport: httpx.BaseTransport | None) -> Report | str:
    """The report, or why there is none."""
    site = member.status.site if member.status else None
    if site is None or site.gateway_url is None or site.gateway_certificate_pem is None:
        return "the member has reported no gateway"
    try:
        content = _fetched(site.gateway_url, site.gateway_certificate_pem, transport)
        return read_report(content, member.metadata.name, site.gateway_certificate_pem)
    except (_SilentError, ReportError) as error:
        return str(error)


def _fetched(url: str, certificate_pem: str, transport: httpx.BaseTransport | None) -> bytes:
    content = bytearray()
    deadline_s = time.monotonic() + TIMEOUT_SECONDS
    try:
        context = ssl.create_default_context(cadata=certificate_pem)
        with (
            httpx.Client(verify=context, timeout=TIMEOUT_SECONDS, trust_env=False, transport=transport) as client,
            client.stream("GET", f"{url}/v1/public") as answer,
        ):
            answer.raise_for_status()
            for part in answer.iter_bytes():
                content += part
                if len(content) > MAX_BYTES:
                    raise _SilentError(f"its gateway told more than {MAX_BYTES} bytes")
                if time.monotonic() > deadline_s:
                    raise _SilentError(f"its gateway was not done telling after {TIMEOUT_SECONDS:g} s")
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
        raise _SilentError(f"its gateway does not answer: {str(error) or type(error).__name__}") from error
    return bytes(content)
