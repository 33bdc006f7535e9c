"""The only door to the Kubernetes API: raw objects in, raw objects out, one tree of errors.

Configuration, TLS and identity come from kubernetes_asyncio; its generated models are not used, because building them
costs more than the request. Objects are plain dictionaries as the API server speaks them. The errors are drawn in
operators/kube_errors.py; callers import everything from here.
"""

import asyncio
import json
import random
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import (
    ConfigException,
    load_incluster_config,
    load_kube_config,
    load_kube_config_from_dict,
)

from operators.kube_errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    KubeError,
    NotFound,
    Throttled,
    Unauthorized,
    Unreachable,
    error_of,
)
from operators.kube_resources import (
    CONFIG_MAPS,
    CSRS,
    DEPLOYMENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    ApiResource,
    custom,
)

__all__ = [
    "CONFIG_MAPS",
    "CSRS",
    "DEPLOYMENTS",
    "LEASES",
    "NAMESPACES",
    "NODES",
    "PODS",
    "SECRETS",
    "SERVICES",
    "SERVICE_ACCOUNTS",
    "AlreadyExists",
    "ApiResource",
    "Call",
    "Conflict",
    "Credentials",
    "Event",
    "Forbidden",
    "Gone",
    "Invalid",
    "Json",
    "Kube",
    "KubeError",
    "Listing",
    "NotFound",
    "Retry",
    "Throttled",
    "Unauthorized",
    "Unreachable",
    "custom",
]

Json = dict[str, Any]
Phase = Literal["before", "after"]

MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
PAGE = 500  # objects a list request returns; the API server's own clients use the same


@dataclass(frozen=True, slots=True)
class Retry:
    """How long a call is tried. Waits double from `first_s` to `cap_s`, with up to half of each as jitter."""

    attempts: int = 5
    first_s: float = 0.1
    cap_s: float = 3.0

    def wait_s(self, attempt: int, wished_s: float = 0.0) -> float:
        """Seconds before the next try: the server's wish is the minimum."""
        backoff_s: float = min(self.cap_s, self.first_s * 2**attempt)
        return max(wished_s, backoff_s * (0.5 + random.random() / 2))  # noqa: S311 - jitter, no secret


@dataclass(frozen=True, slots=True)
class Call:
    """One request as the request hook sees it: `before` it leaves, or `after` the server has acted."""

    method: str
    path: str
    phase: Phase


@dataclass(frozen=True, slots=True)
class Listing:
    """A complete list and the resourceVersion to watch from."""

    items: tuple[Json, ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a watch: ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Json


@dataclass(frozen=True, slots=True)
class Credentials:
    """What another client (Kopf) needs to speak to the same server as the same identity."""

    server: str
    ca_path: str | None
    certificate_path: str | None
    key_path: str | None
    token: str | None


@dataclass(eq=False)
class Kube:
    """A connection to one API server. Use `async with`, or call `close`.

    `on_request` is called around every call; whatever it raises ends the call, which lets tests stop a process at any
    point.
    """

    configuration: Configuration
    retry: Retry = field(default_factory=Retry)
    on_request: Callable[[Call], None] | None = None
    timeout_s: float = 30.0
    _session: aiohttp.ClientSession | None = field(default=None, init=False)
    _kinds: dict[tuple[str, str], ApiResource] = field(default_factory=dict, init=False)

    @classmethod
    async def from_kubeconfig(cls, path: str | Path, *, context: str | None = None) -> Self:
        """Read a kubeconfig file.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is not a kubeconfig, or its context is incomplete.
        """
        if not await asyncio.to_thread(Path(path).is_file):
            raise FileNotFoundError(f"kubeconfig {path} does not exist; give --kubeconfig or set KUBECONFIG")
        configuration = Configuration()
        try:
            await load_kube_config(
                config_file=str(path), context=context, client_configuration=configuration, persist_config=False
            )
        except ConfigException as error:
            raise ValueError(f"kubeconfig {path}: {error}; write it again or name another") from error
        return cls(configuration)

    @classmethod
    async def from_kubeconfig_dict(cls, config: Mapping[str, Any]) -> Self:
        """Use a kubeconfig that is already in memory."""
        configuration = Configuration()
        await load_kube_config_from_dict(dict(config), client_configuration=configuration)
        return cls(configuration)

    @classmethod
    async def in_cluster(cls) -> Self:
        """Use the service account of the pod this runs in; its token is read again as it rotates.

        Raises:
            FileNotFoundError: this does not run in a pod, or the pod has no token.
        """
        configuration = Configuration()
        try:
            load_incluster_config(client_configuration=configuration)
        except ConfigException as error:
            raise FileNotFoundError(f"not inside a cluster ({error}); name a kubeconfig") from error
        return cls(configuration)

    @property
    def server(self) -> str:
        """The server's address."""
        return str(self.configuration.host)

    async def credentials(self) -> Credentials:
        """The same identity for another client."""
        header = await self._authorization()
        return Credentials(
            server=self.server,
            ca_path=self.configuration.ssl_ca_cert,
            certificate_path=self.configuration.cert_file,
            key_path=self.configuration.key_file,
            token=header.partition(" ")[2] if header else None,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    # -- objects ------------------------------------------------------------------------------------------------

    async def get(self, resource: ApiResource, name: str, namespace: str | None = None) -> Json:
        """One object."""
        return await self.request("GET", resource.path(namespace, name))

    async def list(
        self, resource: ApiResource, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> Listing:
        """All objects, page by page; each carries apiVersion and kind, which lists leave out."""
        while True:
            try:
                return await self._list_pages(resource, namespace, _selectors(labels, fields))
            except Gone:  # the continue token expired between two pages
                continue

    async def create(self, resource: ApiResource, body: Json, namespace: str | None = None) -> Json:
        """Create; unknown fields are refused.

        Raises:
            AlreadyExists: also where an earlier try of this call arrived although its answer was lost.
        """
        return await self.request("POST", resource.path(namespace), {"fieldValidation": "Strict"}, body)

    async def apply(
        self,
        resource: ApiResource,
        body: Json,
        *,
        field_manager: str,
        force: bool = True,
        subresource: str | None = None,
    ) -> Json:
        """Server-side apply of the fields in `body`, which must carry apiVersion, kind and metadata.name."""
        metadata = body["metadata"]
        query = {"fieldManager": field_manager, "force": str(force).lower(), "fieldValidation": "Strict"}
        path = resource.path(metadata.get("namespace"), metadata["name"], subresource)
        return await self.request("PATCH", path, query, body, content_type=APPLY_PATCH)

    async def patch(
        self,
        resource: ApiResource,
        name: str,
        body: Json,
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        field_manager: str | None = None,
    ) -> Json:
        """JSON merge patch; with metadata.uid and metadata.resourceVersion in it, only if they still hold."""
        query = {"fieldManager": field_manager} if field_manager else {}
        path = resource.path(namespace, name, subresource)
        return await self.request("PATCH", path, query, body, content_type=MERGE_PATCH)

    async def replace(self, resource: ApiResource, body: Json) -> Json:
        """Write the whole object; Conflict if it is not at the resourceVersion in `body` any more."""
        metadata = body["metadata"]
        return await self.request("PUT", resource.path(metadata.get("namespace"), metadata["name"]), body=body)

    async def delete(
        self,
        resource: ApiResource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] = "Background",
    ) -> bool:
        """Delete; True if it existed.

        Raises:
            Conflict: an object of this name exists but has another uid.
        """
        options: Json = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            await self.request("DELETE", resource.path(namespace, name), body=options)
        except NotFound:
            return False
        return True

    async def watch(
        self,
        resource: ApiResource,
        namespace: str | None = None,
        *,
        resource_version: str,
        labels: str = "",
        fields: str = "",
        timeout_s: int = 300,
    ) -> AsyncIterator[Event]:
        """Events after `resource_version` until the server ends the stream; the caller resumes from the last one.

        Raises:
            Gone: list again.
            Unreachable: the stream broke or stayed silent for longer than bookmarks allow.
        """
        query = _selectors(labels, fields) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(timeout_s),
        }
        url = f"{self.server}{resource.path(namespace)}?{urlencode(query)}"
        silent = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=90)  # bookmarks come about every minute
        try:
            async with self._open().get(url, headers=await self._headers(None), timeout=silent) as response:
                if response.status != 200:
                    raise error_of("GET", url, response.status, await response.read(), response.headers)
                async for line in _lines(response):
                    yield _event(url, json.loads(line))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"watch {url}: {error or type(error).__name__}") from error

    # -- special calls ------------------------------------------------------------------------------------------

    async def request_token(
        self, namespace: str, service_account: str, *, audiences: tuple[str, ...] = (), expires_in_s: int = 3600
    ) -> str:
        """A bound token of a service account; `audiences` empty means the API server itself."""
        spec: Json = {"expirationSeconds": expires_in_s} | ({"audiences": list(audiences)} if audiences else {})
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = await self.request("POST", SERVICE_ACCOUNTS.path(namespace, service_account, "token"), body=body)
        return str(answer["status"]["token"])

    async def decide_csr(self, csr: Json, *, approve: bool, reason: str, message: str) -> Json:
        """Approve or deny a certificate request; Conflict if it changed since `csr` was read."""
        condition = {
            "type": "Approved" if approve else "Denied",
            "status": "True",
            "reason": reason,
            "message": message,
        }
        kept = csr.get("status", {}).get("conditions", [])
        body = csr | {"apiVersion": CSRS.api_version, "kind": CSRS.kind}
        body["status"] = csr.get("status", {}) | {"conditions": [*kept, condition]}
        return await self.request("PUT", CSRS.path(name=csr["metadata"]["name"], subresource="approval"), body=body)

    async def resource_of(self, api_version: str, kind: str) -> ApiResource:
        """Ask the server how it serves a kind; answers are remembered.

        Raises:
            NotFound: the server has no such kind.
        """
        if found := self._kinds.get((api_version, kind)):
            return found
        root = "/apis" if "/" in api_version else "/api"
        for entry in (await self.request("GET", f"{root}/{api_version}"))["resources"]:
            if "/" not in entry["name"]:
                resource = ApiResource(api_version, entry["kind"], entry["name"], entry["namespaced"])
                self._kinds[api_version, entry["kind"]] = resource
        if found := self._kinds.get((api_version, kind)):
            return found
        raise NotFound(f"{self.server} serves no {kind} in {api_version}; apply its definition first", status=404)

    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json, application/jwk-set+json;q=0.9",
    ) -> Json:
        """Any call, with retries on 429, 5xx and lost connections; a POST whose answer was lost is not repeated."""
        url = f"{self.server}{path}" + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        self._hook(method, path, "before")
        for attempt in range(self.retry.attempts):
            try:
                answer = await self._once(method, url, data, content_type, accept)
                break
            except (Unreachable, Throttled) as error:
                if attempt + 1 == self.retry.attempts or not _repeatable(method, error):
                    raise
                await asyncio.sleep(self.retry.wait_s(attempt, getattr(error, "retry_after_s", 0.0)))
        self._hook(method, path, "after")
        return answer

    # -- inside -------------------------------------------------------------------------------------------------

    async def _once(self, method: str, url: str, data: bytes | None, content_type: str, accept: str) -> Json:
        headers = await self._headers(content_type if data is not None else None, accept)
        try:
            async with self._open().request(method, url, data=data, headers=headers) as response:
                raw = await response.read()
                if response.status >= 300:
                    raise error_of(method, url, response.status, raw, response.headers)
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(f"{method} {url}: {error}", reason="NotSent") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{method} {url}: {error or type(error).__name__}") from error
        answer = json.loads(raw)
        if not isinstance(answer, dict):
            raise Unreachable(f"{method} {url}: the answer is not a JSON object; is this a Kubernetes API server?")
        return answer

    async def _list_pages(self, resource: ApiResource, namespace: str | None, query: dict[str, str]) -> Listing:
        items: list[Json] = []
        query = query | {"limit": str(PAGE)}
        while True:
            page = await self.request("GET", resource.path(namespace), query)
            items += [item | {"apiVersion": resource.api_version, "kind": resource.kind} for item in page["items"]]
            if not (token := page["metadata"].get("continue")):
                return Listing(tuple(items), page["metadata"]["resourceVersion"])
            query["continue"] = token

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=64, ssl=_tls(self.configuration))
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=self.timeout_s, sock_connect=10),
                auto_decompress=True,
                skip_auto_headers=("User-Agent",),
            )
        return self._session

    async def _authorization(self) -> str | None:
        header: str | None = await self.configuration.get_api_key_with_prefix("BearerToken")
        return header

    async def _headers(self, content_type: str | None, accept: str = "application/json") -> dict[str, str]:
        headers = {"Accept": accept, "User-Agent": "commonweal"}
        if content_type is not None:
            headers["Content-Type"] = content_type
        if header := await self._authorization():
            headers["Authorization"] = header
        return headers

    def _hook(self, method: str, path: str, phase: Phase) -> None:
        if self.on_request is not None:
            self.on_request(Call(method, path, phase))


def _selectors(labels: str, fields: str) -> dict[str, str]:
    return ({"labelSelector": labels} if labels else {}) | ({"fieldSelector": fields} if fields else {})


def _tls(configuration: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _repeatable(method: str, error: KubeError) -> bool:
    """A create may have happened although no answer came; only what surely was not done is sent again."""
    return method != "POST" or isinstance(error, Throttled) or error.reason == "NotSent"


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Lines of any length; aiohttp's own reader refuses long ones."""
    rest = b""
    async for chunk in response.content.iter_any():
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            yield line


def _event(url: str, line: Json) -> Event:
    body = line["object"]
    if line["type"] == "ERROR":
        raise error_of("GET", url, int(body.get("code", 500)), json.dumps(body).encode(), {})
    return Event(line["type"], body)
