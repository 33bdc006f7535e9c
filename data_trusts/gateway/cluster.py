"""What the gateway needs of its own API server, and no more: watch policies, keep one Secret, publish one ConfigMap."""

import base64
import json
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_MANAGER = {"fieldManager": "commonweal-gateway", "force": "true"}
WATCH_S = 15  # a watch that ends in time proves that the API server is there


class ClusterError(Exception):
    """The API server did not do as asked; the message says what and why."""


class ExpiredError(ClusterError):
    """The watch's place in history is gone: list again."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """Objects by name, and the place in history from which a watch goes on."""

    objects: dict[str, dict[str, Any]]
    resource_version: str


class Cluster:
    """The API server, as the service account of the pod sees it in one namespace."""

    def __init__(self, *, url: str, namespace: str, token_file: Path, ca_file: Path) -> None:
        self.namespace = namespace
        self._token_file = token_file
        self._client = httpx.AsyncClient(
            base_url=f"{url}/api/v1/namespaces/{namespace}",
            verify=ssl.create_default_context(cafile=str(ca_file)),
            timeout=10,
            trust_env=False,
            auth=self._sign,
        )

    @classmethod
    def from_pod(cls) -> "Cluster":
        """The cluster in which this pod runs.

        Raises:
            ClusterError: this is no pod, or it has no service account.
        """
        host, port = (os.environ.get(f"KUBERNETES_SERVICE_{part}") for part in ("HOST", "PORT"))
        if not host or not (_ACCOUNT / "token").exists():
            raise ClusterError(
                "not in a pod with a service account; set COMMONWEAL_POLICY_DIR to run without a cluster"
            )
        return cls(
            url=f"https://{f'[{host}]' if ':' in host else host}:{port or 443}",
            namespace=(_ACCOUNT / "namespace").read_text().strip(),
            token_file=_ACCOUNT / "token",
            ca_file=_ACCOUNT / "ca.crt",
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def list_config_maps(self, label: str) -> Listed:
        """All ConfigMaps with a label.

        Raises:
            ClusterError: the API server refused or cannot be reached.
        """
        answer = await self._ask("GET", "/configmaps", params={"labelSelector": label})
        body = answer.json()
        return Listed(
            objects={item["metadata"]["name"]: item for item in body.get("items") or []},
            resource_version=body["metadata"]["resourceVersion"],
        )

    async def watch_config_maps(self, label: str, since: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Events after a place in history, as (type, object), until the server ends the watch in time.

        Raises:
            ExpiredError: the place in history is gone.
            ClusterError: the connection broke, or the server refused.
        """
        params = {
            "labelSelector": label,
            "resourceVersion": since,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_S),
        }
        try:
            async with self._client.stream("GET", "/configmaps", params=params, timeout=WATCH_S + 5) as answer:
                if answer.status_code == httpx.codes.GONE:
                    raise ExpiredError("the watch is too old")
                if answer.is_error:
                    raise ClusterError(f"watch of configmaps: HTTP {answer.status_code}; look at the gateway's rights")
                async for text in answer.aiter_lines():
                    event = json.loads(text)
                    if event["type"] == "ERROR":
                        raise ExpiredError(str(event["object"].get("message", "the watch ended with an error")))
                    yield event["type"], event["object"]
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise ClusterError(f"watch of configmaps: {error!r}; look at the API server") from error

    async def read_secret(self, name: str) -> dict[str, str] | None:
        """A Secret's values as text, or None where there is none."""
        answer = await self._ask("GET", f"/secrets/{name}", missing_ok=True)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return {key: base64.b64decode(value).decode() for key, value in (answer.json().get("data") or {}).items()}

    async def apply_secret(self, name: str, values: Mapping[str, str]) -> None:
        """Make a Secret what it should be."""
        await self._apply("secrets", {"kind": "Secret", "type": "Opaque", "stringData": dict(values)}, name)

    async def apply_config_map(self, name: str, values: Mapping[str, str]) -> None:
        """Make a ConfigMap what it should be."""
        await self._apply("configmaps", {"kind": "ConfigMap", "data": dict(values)}, name)

    async def _apply(self, resource: str, body: dict[str, Any], name: str) -> None:
        labels = {"app.kubernetes.io/managed-by": "commonweal"}
        metadata = {"name": name, "namespace": self.namespace, "labels": labels}
        await self._ask(
            "PATCH",
            f"/{resource}/{name}",
            params=_MANAGER,
            headers={"content-type": "application/apply-patch+yaml"},
            content=json.dumps({"apiVersion": "v1", **body, "metadata": metadata}),
        )

    async def _ask(self, method: str, path: str, *, missing_ok: bool = False, **more: Any) -> httpx.Response:  # noqa: ANN401 -- httpx's own keywords
        try:
            answer = await self._client.request(method, path, **more)
        except httpx.HTTPError as error:
            raise ClusterError(f"{method} {path}: {error!r}; look at the API server") from error
        if answer.is_error and not (missing_ok and answer.status_code == httpx.codes.NOT_FOUND):
            raise ClusterError(f"{method} {path}: HTTP {answer.status_code}; look at the gateway's rights")
        return answer

    def _sign(self, request: httpx.Request) -> httpx.Request:
        # Read for each request: the kubelet replaces the token before it runs out.
        request.headers["authorization"] = f"Bearer {self._token_file.read_text().strip()}"
        return request
