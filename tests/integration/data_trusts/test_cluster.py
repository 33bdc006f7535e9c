"""Against a real API server: policies arrive by watch, with no more rights than the site gives the gateway."""

import asyncio
import base64
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from commonweal.grants import MAX_GRANTS, POLICY_KEY, POLICY_LABEL
from commonweal.policy_parcels import PACKED_BYTES, PACKED_KEY, pack
from data_trusts.gateway.__main__ import SITE_CONFIG_MAP, Settings, keep_identity
from data_trusts.gateway.certificates import TLS_SECRET, make_identity
from data_trusts.gateway.cluster import Cluster, ClusterError
from data_trusts.gateway.policies import PolicyBook
from data_trusts.gateway.sources import ClusterSource
from infra.local.control_plane import Cluster as LocalCluster
from infra.local.trino import free_port
from infra.sites import rbac
from operators.frame import Apply
from tests.unit.grants.samples import NOON, grant, policy
from tests.unit.grants.test_policy_parcels import with_grants
from tests.unit.hub.test_trusts import planned

NAMESPACE = "commonweal-data"
Kubectl = Callable[..., str]


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def admin(hub: LocalCluster, kubectl_binary: Path) -> Kubectl:
    def run(*arguments: str, stdin: object = None) -> str:
        command = [str(kubectl_binary), "--kubeconfig", str(hub.kubeconfig), *arguments]
        text = None if stdin is None else json.dumps(stdin)
        return subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=60).stdout

    return run


@pytest.fixture(scope="module")
def cluster_of(hub: LocalCluster, admin: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Cluster]:
    """The API server as the gateway's service account sees it, with the rights that the site component binds."""
    for item in account_with_rights():
        admin("apply", "-f", "-", stdin=item)
    token = tmp_path_factory.mktemp("account") / "token"
    token.write_text(admin("-n", NAMESPACE, "create", "token", "gateway"))
    return lambda: Cluster(url=hub.server, namespace=NAMESPACE, token_file=token, ca_file=hub.ca)


def account_with_rights() -> list[dict[str, object]]:
    rules = [
        {"apiGroups": [""], "resources": list(rule.resources), "verbs": list(rule.verbs)}
        | ({"resourceNames": list(rule.names)} if rule.names else {})
        for rule in rbac.GATEWAY.rules
    ]
    metadata = {"name": "gateway", "namespace": NAMESPACE}
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "gateway"},
            "subjects": [{"kind": "ServiceAccount", **metadata}],
        },
    ]


def config_map(text: str) -> dict[str, object]:
    metadata = {"name": "policy-trade", "namespace": NAMESPACE, "labels": {POLICY_LABEL: "true"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {POLICY_KEY: text}}


def packed_map(values: dict[str, dict[str, str]]) -> dict[str, object]:
    return {key: value for key, value in config_map("").items() if key != "data"} | values


def apply(admin: Kubectl, body: object) -> None:
    """As an agent does: server-side, without the copy in an annotation."""
    admin("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=body)


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(1500):
        if holds():
            return
        await asyncio.sleep(0.02)
    pytest.fail("did not come about within 30 s")


async def test_a_policy_is_obeyed_when_it_comes_changes_and_goes(
    admin: Kubectl, cluster_of: Callable[[], Cluster]
) -> None:
    cluster, book = cluster_of(), PolicyBook("ca")
    following = asyncio.create_task(ClusterSource(cluster, now).follow(book))

    def grants() -> list[str] | None:
        current = book.current(now()).by_trust.get("trade")
        return None if current is None else [live.name for live in current.grants]

    try:
        await until(lambda: not book.current(now()).problems)
        assert grants() is None
        live = grant({"expiresAt": NOON + timedelta(days=3650)})
        await asyncio.to_thread(admin, "apply", "-f", "-", stdin=config_map(policy("ca", live).render()))
        await until(lambda: grants() == ["steel"])
        revoked = policy("ca", grant({"revoked": True})).render()
        await asyncio.to_thread(admin, "apply", "-f", "-", stdin=config_map(revoked))
        await until(lambda: grants() == [])
        await asyncio.to_thread(admin, "apply", "-f", "-", stdin=config_map("{}"))
        await until(lambda: "policy-trade" in book.current(now()).problems)
        await asyncio.to_thread(admin, "-n", NAMESPACE, "delete", "configmap", "policy-trade")
        await until(lambda: not book.current(now()).problems and grants() is None)
    finally:
        following.cancel()
        await cluster.close()


async def test_ten_thousand_grants_reach_the_gateway_and_one_that_is_revoked_is_gone(
    admin: Kubectl, cluster_of: Callable[[], Cluster]
) -> None:
    cluster, book = cluster_of(), PolicyBook("ca")
    following = asyncio.create_task(ClusterSource(cluster, now).follow(book))
    full, fewer = with_grants(MAX_GRANTS, name_chars=63), with_grants(MAX_GRANTS - 1, name_chars=63)

    def lives(count: int) -> bool:
        current = book.current(now()).by_trust.get("trade")
        return current is not None and len(current.grants) == count

    try:
        for sent, count in ((full, MAX_GRANTS), (fewer, MAX_GRANTS - 1)):
            await asyncio.to_thread(apply, admin, packed_map(pack(sent)))
            await until(partial(lives, count))
        damaged = base64.b64decode(pack(fewer)["binaryData"][PACKED_KEY])[:-1]
        values = {"binaryData": {PACKED_KEY: base64.b64encode(damaged).decode()}}
        await asyncio.to_thread(apply, admin, packed_map(values))
        await until(lambda: "policy-trade" in book.current(now()).problems)
        assert "trade" not in book.current(now()).by_trust
        await asyncio.to_thread(apply, admin, packed_map({"data": {POLICY_KEY: policy("ca").render()}}))
        await until(partial(lives, 1))
    finally:
        following.cancel()
        await cluster.close()
        await asyncio.to_thread(admin, "-n", NAMESPACE, "delete", "configmap", "policy-trade")


def test_the_largest_policy_fits_into_an_assignment_and_into_a_config_map(admin: Kubectl, kubectl: object) -> None:
    assert kubectl, "the CRDs are there"
    largest = {"binaryData": {PACKED_KEY: base64.b64encode(os.urandom(PACKED_BYTES)).decode()}}
    made = planned((grant(),)).writes[0]
    assert isinstance(made, Apply)
    config_map = {key: value for key, value in made.body["spec"]["objects"][0].items() if key != "data"} | largest
    spec = {**made.body["spec"], "objects": [config_map]}
    body = {**made.body, "apiVersion": "commonweal.dev/v1alpha1", "kind": "Assignment", "spec": spec}
    body["metadata"] = {**body["metadata"], "namespace": NAMESPACE}
    apply(admin, body)
    apply(admin, {**config_map, "metadata": {**config_map["metadata"], "name": "policy-largest", "labels": {}}})
    for kind, name in (("assignment.commonweal.dev", made.body["metadata"]["name"]), ("configmap", "policy-largest")):
        admin("-n", NAMESPACE, "delete", kind, name)


async def test_the_certificate_is_made_once_published_and_kept(
    admin: Kubectl, cluster_of: Callable[[], Cluster]
) -> None:
    settings = Settings.read({"COMMONWEAL_MEMBER": "ca", "COMMONWEAL_GATEWAY_URL": "https://10.1.2.3:30443"})
    cluster = cluster_of()
    try:
        first = await keep_identity(settings, ["10.1.2.3"], cluster)
        again = await keep_identity(settings, ["10.1.2.3"], cluster)
        moved = await keep_identity(settings, ["10.9.9.9"], cluster)
    finally:
        await cluster.close()
    assert first == again
    assert moved.certificate_pem != first.certificate_pem
    site = json.loads(admin("-n", NAMESPACE, "get", "configmap", SITE_CONFIG_MAP, "-o", "json"))["data"]
    assert site == {"certificate.pem": moved.certificate_pem, "url": "https://10.1.2.3:30443", "engine": "duckdb"}
    secret = json.loads(admin("-n", NAMESPACE, "get", "secret", TLS_SECRET, "-o", "json"))["data"]
    assert sorted(secret) == ["tls.crt", "tls.key"]


async def test_the_gateways_account_reads_no_other_secret(admin: Kubectl, cluster_of: Callable[[], Cluster]) -> None:
    admin("-n", NAMESPACE, "create", "secret", "generic", "other", "--from-literal=a=b")
    cluster = cluster_of()
    try:
        with pytest.raises(ClusterError, match="HTTP 403; look at the gateway's rights"):
            await cluster.read_secret("other")
    finally:
        await cluster.close()


class Script:
    """An API server that misbehaves as told: each watch takes the next act, and then keeps still."""

    def __init__(self, *acts: Callable[[], Response]) -> None:
        self.acts = list(acts)
        self.lists = 0

    async def answer(self, request: Request) -> Response:
        if request.query_params.get("watch"):
            return self.acts.pop(0)() if self.acts else StreamingResponse(still(), media_type="application/json")
        self.lists += 1
        item = config_map(policy("ca").render())
        if self.lists > 1:
            item["data"] = {POLICY_KEY: policy("ca", grant({"revoked": True})).render()}
        return JSONResponse({"metadata": {"resourceVersion": str(self.lists)}, "items": [item]})


async def still() -> AsyncIterator[bytes]:
    await asyncio.sleep(60)
    yield b""


async def broken_off() -> AsyncIterator[bytes]:
    yield b'{"type":"MODIFIED","obj'


def gone_in_stream() -> Response:
    return JSONResponse({"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}})


@pytest.mark.parametrize(
    "act",
    [
        lambda: Response(status_code=410),
        gone_in_stream,
        lambda: StreamingResponse(broken_off()),
        lambda: Response(status_code=500),
        lambda: Response(status_code=429),
    ],
    ids=["410", "410 in the stream", "cut line", "500", "429"],
)
async def test_whatever_breaks_a_watch_a_revocation_is_not_missed(act: Callable[[], Response], tmp_path: Path) -> None:
    script, book = Script(act), PolicyBook("ca")
    app = Starlette(routes=[Route(f"/api/v1/namespaces/{NAMESPACE}/configmaps", script.answer)])
    server = uvicorn.Server(
        uvicorn.Config(app, port=(port := free_port()), log_level="error", timeout_graceful_shutdown=1)
    )
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    (tmp_path / "token").write_text("token")
    (tmp_path / "ca.pem").write_text(make_identity("ca", ["127.0.0.1"], now()).certificate_pem)
    cluster = Cluster(
        url=f"http://127.0.0.1:{port}", namespace=NAMESPACE, token_file=tmp_path / "token", ca_file=tmp_path / "ca.pem"
    )
    following = asyncio.create_task(ClusterSource(cluster, now).follow(book))
    try:
        await until(lambda: script.lists == 2 and "trade" in book.current(now()).by_trust)
        await until(lambda: book.current(now()).by_trust["trade"].grants == ())
    finally:
        following.cancel()
        await cluster.close()
        server.should_exit = True
        await serving
