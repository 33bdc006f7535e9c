"""The fences of admission.yaml hold without any operator: who may accept, join under a name, approve, report."""

import pytest
import yaml

from operators.hub.resources import CONTRIBUTIONS, DATA_GRANTS, MEMBERS
from operators.kube import CONFIG_MAPS, Forbidden, Invalid, Json, Kube
from tests.integration.hub.world import EXAMPLES, Agent, Hub, eventually, manifest

GRANT: Json = yaml.safe_load((EXAMPLES / "40-grant.yaml").read_text())


@pytest.fixture
async def agents(hub: Hub) -> dict[str, Agent]:
    """Two members that joined while an operator ran; none runs any more."""
    async with hub.operator():
        made = {name: await hub.joined(name, name.upper()) for name in ("ca", "kr")}
        await hub.example("30-trust.yaml")
    return made


def connection(agent: Agent) -> Kube:
    assert agent.kube is not None
    return agent.kube


async def test_an_invitation_cannot_accept_itself(hub: Hub) -> None:
    invitation = await hub.invite("ke")
    agent = Agent(hub, "ke", "KE")
    async with await agent.connect({"token": invitation.token}) as invited:
        spec = {"displayName": "Kenya", "country": "KE", "identityKey": "A" * 43 + "=", "hubAccepts": True}

        async def refused() -> str | None:
            try:
                await invited.create(MEMBERS, manifest("Member", "ke", spec))
            except Forbidden as error:
                return error.message
            await hub.admin.delete(MEMBERS, "ke")  # the API server takes a moment to learn a policy
            return None

        assert "only a hub administrator accepts a member" in await eventually(refused)


async def test_an_invitation_is_for_one_name(hub: Hub) -> None:
    invitation = await hub.invite("ke")
    agent = Agent(hub, "ke", "KE")
    async with await agent.connect({"token": invitation.token}) as invited:
        spec = {"displayName": "Kenya", "country": "KE", "identityKey": "A" * 43 + "="}
        with pytest.raises(Forbidden, match="this invitation is not for tz"):
            await invited.create(MEMBERS, manifest("Member", "tz", spec))


async def test_an_identity_cannot_be_changed(hub: Hub, agents: dict[str, Agent]) -> None:
    assert agents
    with pytest.raises(Invalid, match="a new identity joins under a new name"):
        await hub.admin.patch(MEMBERS, "ca", {"spec": {"identityKey": "A" * 43 + "="}})


async def test_a_trustee_approves_for_itself_only_and_only_what_the_hub_shows(
    hub: Hub, agents: dict[str, Agent]
) -> None:
    async with hub.operator():
        await hub.apply(GRANT | {"spec": GRANT["spec"] | {"approvals": []}})
        await hub.ready("datagrants", "trade-emissions", "AwaitingApproval", status="False")
    seen = await hub.admin.get(DATA_GRANTS, "trade-emissions")
    agreed = seen["status"]["agreement"]["sha256"]
    of_ca, of_kr = ({"trustee": trustee, "agreement": agreed} for trustee in ("ca", "kr"))
    ca, kr = connection(agents["ca"]), connection(agents["kr"])

    async def approve(kube: Kube, *approvals: Json) -> None:
        await kube.patch(DATA_GRANTS, "trade-emissions", {"spec": {"approvals": list(approvals)}})

    with pytest.raises(Forbidden, match="only the trustee itself"):
        await approve(ca, of_kr)
    for unnamed in ({"trustee": "ca"}, {"trustee": "ca", "agreement": "0" * 64}):
        with pytest.raises(Forbidden, match="name what you approve"):
            await approve(ca, unnamed)
    await approve(ca, of_ca)
    with pytest.raises(Forbidden, match="only the trustee itself"):
        await approve(kr, of_kr)
    with pytest.raises(Forbidden, match="only the trustee itself"):
        await approve(kr, {**of_ca, "agreement": "0" * 64}, of_kr)
    await approve(kr, of_ca, of_kr)
    with pytest.raises(Forbidden, match="cannot be moved"):
        await kr.patch(DATA_GRANTS, "trade-emissions", {"spec": {"expiresAt": "2031-01-01T00:00:00Z"}})


async def test_a_right_is_revoked_only_by_who_gives_or_has_it(hub: Hub, agents: dict[str, Agent]) -> None:
    trust: Json = yaml.safe_load((EXAMPLES / "30-trust.yaml").read_text())
    spec = GRANT["spec"] | {"trust": "own", "approvals": []}
    of_others = {"metadata": {"name": "of-others"}, "spec": spec | {"beneficiary": {"pilotApp": "trade"}}}
    of_kr = {"metadata": {"name": "of-kr"}, "spec": spec}
    ca, kr = connection(agents["ca"]), connection(agents["kr"])

    async def named() -> bool:
        seen = [(await hub.admin.get(DATA_GRANTS, name)).get("status", {}) for name in ("of-others", "of-kr")]
        return [each.get("mayRevoke") for each in seen] == [["ca"], ["ca", "kr"]]

    async def revoke(kube: Kube, name: str) -> None:
        await kube.patch(DATA_GRANTS, name, {"spec": {"revoked": True}})

    async with hub.operator():
        own = {"metadata": {"name": "own"}, "spec": trust["spec"] | {"trustees": ["ca"], "quorum": 1}}
        await hub.apply(trust | own, GRANT | of_others, GRANT | of_kr)
        await eventually(named)
    with pytest.raises(Forbidden, match="only a trustee of the trust or the beneficiary's sponsor may revoke"):
        await revoke(kr, "of-others")
    await revoke(ca, "of-others")
    await revoke(kr, "of-kr")


async def test_a_member_approves_what_others_claim_and_never_its_own(hub: Hub, agents: dict[str, Agent]) -> None:
    assert hub
    ca, kr, namespace = connection(agents["ca"]), connection(agents["kr"]), agents["ca"].namespace
    span = {"begin": "2026-11-24T11:00:00Z", "end": "2026-11-24T11:10:00Z"}
    spec: Json = {"record": {"work": [{"person": "p-1", "task": "reviewed", **span}]}}
    own = spec | {"approvals": [{"member": "ca"}]}
    with pytest.raises(Forbidden, match="neither approves nor disputes what it claims itself"):
        await ca.create(CONTRIBUTIONS, manifest("Contribution", "work", own, namespace=namespace), namespace)
    await ca.create(CONTRIBUTIONS, manifest("Contribution", "work", spec, namespace=namespace), namespace)
    with pytest.raises(Forbidden):
        await kr.create(CONTRIBUTIONS, manifest("Contribution", "other", spec, namespace=namespace), namespace)
    for who, said in ((ca, {"approvals": [{"member": "kr"}]}), (hub.admin, {"approvals": [{"member": "kr"}]})):
        with pytest.raises(Forbidden, match="only a member itself says its yes or no"):
            await who.patch(CONTRIBUTIONS, "work", {"spec": said}, namespace)
    objected = {"objections": [{"member": "kr", "reason": "approves"}]}
    await kr.patch(CONTRIBUTIONS, "work", {"spec": objected}, namespace)
    with pytest.raises(Forbidden, match="or takes it back"):
        await ca.patch(CONTRIBUTIONS, "work", {"spec": {"objections": []}}, namespace)
    changed: Json = {"spec": {"objections": [], "approvals": [{"member": "kr"}]}}
    with pytest.raises(Forbidden, match="only a member itself"):
        await ca.patch(CONTRIBUTIONS, "work", changed, namespace)
    await kr.patch(CONTRIBUTIONS, "work", changed, namespace)
    gone = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-0000-0000-000000000000"}
    for metadata in ({"ownerReferences": [gone]}, {"finalizers": ["commonweal.dev/kept"]}):
        with pytest.raises(Forbidden, match="a member changes no ownerReferences and no finalizers"):
            await kr.patch(CONTRIBUTIONS, "work", {"metadata": metadata}, namespace)
    longer = [{"person": "p-1", "task": "reviewed", **span, "end": "2026-11-24T12:00:00Z"}]
    with pytest.raises(Invalid, match="record cannot be changed; make another Contribution"):
        await hub.admin.patch(CONTRIBUTIONS, "work", {"spec": {"record": {"work": longer}}}, namespace)
    with pytest.raises(Invalid, match="record is empty"):
        await ca.create(CONTRIBUTIONS, manifest("Contribution", "none", {"record": {}}, namespace=namespace), namespace)


async def test_an_agent_reports_its_site_its_readings_and_use_only(hub: Hub, agents: dict[str, Agent]) -> None:
    assert hub
    agent = agents["ca"]
    body = manifest("ConfigMap", "anything", None, namespace=agent.namespace, api_version="v1")
    with pytest.raises(Forbidden, match="site, readings and use only"):
        await connection(agent).create(CONFIG_MAPS, body, agent.namespace)


async def test_rights_survive_no_operator_and_reach_no_further(hub: Hub, agents: dict[str, Agent]) -> None:
    """What an agent can do, asked of the API server itself."""
    assert hub
    agent = agents["ca"]
    found = []
    for namespace in (agent.namespace, agents["kr"].namespace, "commonweal-system", "default"):
        review: Json = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview"}
        review["spec"] = {"namespace": namespace}
        path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        answer = await connection(agent).request("POST", path, body=review)
        rules = answer["status"]["resourceRules"]
        groups = {"commonweal.dev", "certificates.k8s.io", "coordination.k8s.io", ""}
        ours = [rule for rule in rules if groups & set(rule["apiGroups"])]
        kinds = {kind for rule in ours for kind in rule["resources"]}
        found.append(sorted(kinds))
        assert not any("*" in rule["verbs"] + rule["resources"] for rule in ours)
    cluster_wide = [
        "certificatesigningrequests", "consortiums", "contributions", "datagrants", "datatrusts", "emergencyaccesses",
        "equitystatements", "members", "pilotapps",
    ]  # fmt: skip
    own = sorted([*cluster_wide, "assignments", "assignments/status", "configmaps", "leases", "pooledclusters"])
    assert found == [own, cluster_wide, cluster_wide, cluster_wide]
