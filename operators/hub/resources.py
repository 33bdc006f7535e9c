"""The kinds of the hub, the names it gives to things, and where the charter is found."""

from commonweal.kinds.assignment import Assignment
from commonweal.kinds.consortium import Consortium, ConsortiumSpec
from commonweal.kinds.contribution import Contribution
from commonweal.kinds.data_grant import DataGrant
from commonweal.kinds.data_trust import DataTrust
from commonweal.kinds.emergency_access import EmergencyAccess
from commonweal.kinds.equity_statement import EquityStatement
from commonweal.kinds.member import Member
from commonweal.kinds.pilot_app import PilotApp
from commonweal.kinds.pooled_cluster import PooledCluster
from operators.frame import Key, Store, Waiting
from operators.kube import ApiResource, Json, custom

CONSORTIUMS = custom(Consortium)
MEMBERS = custom(Member)
POOLED_CLUSTERS = custom(PooledCluster)
DATA_TRUSTS = custom(DataTrust)
DATA_GRANTS = custom(DataGrant)
EMERGENCIES = custom(EmergencyAccess)
PILOT_APPS = custom(PilotApp)
ASSIGNMENTS = custom(Assignment)
EQUITY_STATEMENTS = custom(EquityStatement)
CONTRIBUTIONS = custom(Contribution)
ROLE_BINDINGS = ApiResource("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
CLUSTER_ROLES = ApiResource("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDINGS = ApiResource(
    "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False
)

API_GROUP = MEMBERS.group
HUB_USER = "commonweal:hub-operator"  # its certificate, where it runs beside the hub
HUB_ACCOUNT = "hub-operator"  # its ServiceAccount, where it is a pod of the hub
SYSTEM_NAMESPACE = "commonweal-system"
DATA_NAMESPACE = "commonweal-data"
APPS_NAMESPACE = "commonweal-apps"
CHARTER = Key("", "charter")
OURS = {"app.kubernetes.io/managed-by": "commonweal"}
OURS_SELECTOR = "app.kubernetes.io/managed-by=commonweal"
MEMBER_LABEL = "commonweal.dev/member"
ORIGIN = "commonweal.dev/origin"
ORIGIN_UID = "commonweal.dev/origin-uid"
TRUST_PREFIX = "policy-"
PILOT_PREFIX = "pilot-"


def charter(store: Store) -> ConsortiumSpec:
    """The charter in force.

    Raises:
        Waiting: there is none yet.
    """
    body = store.get(CONSORTIUMS, CHARTER.name)
    if body is None:
        raise Waiting("there is no Consortium charter; apply it first", reason="CharterMissing")
    return Consortium.read(body).spec


def child(resource: ApiResource, name: str, owner: Json, *, namespace: str = "", member: str = "") -> Json:
    """The frame of an object that the hub keeps for `owner`: names, labels, and where it comes from."""
    metadata: Json = {
        "name": name,
        "labels": OURS | ({MEMBER_LABEL: member} if member else {}),
        "annotations": {
            ORIGIN: f"{owner['kind']}/{owner['metadata']['name']}",
            ORIGIN_UID: owner["metadata"]["uid"],
        },
    }
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}


def condition(body: Json, kind: str) -> Json:
    """One condition of an object as the API server holds it; empty if it was never reported."""
    for held in body.get("status", {}).get("conditions", ()):
        if held["type"] == kind:
            return dict(held)
    return {}


def holds(body: Json, kind: str) -> bool:
    """Whether a condition is True."""
    return condition(body, kind).get("status") == "True"
