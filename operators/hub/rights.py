"""What an accepted member may do on the hub: bindings to roles that an administrator defined, and no more.

The roles `commonweal:agent`, `commonweal:agent:namespace`, `commonweal:member`, `commonweal:member:namespace` and
`commonweal:hub-in-member` are in rbac.yaml; only the right to read the one Member is made per member.
"""

from commonweal.membership import agent_user, member_group, member_namespace
from operators.frame import Apply, Delete, Write
from operators.hub.resources import (
    API_GROUP,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    HUB_ACCOUNT,
    HUB_USER,
    ROLE_BINDINGS,
    SYSTEM_NAMESPACE,
    child,
)
from operators.kube import NAMESPACES, ApiResource, Json

RBAC = "rbac.authorization.k8s.io"


def granted(member: Json) -> tuple[Write, ...]:
    """The namespace and the bindings of an accepted member."""
    name = member["metadata"]["name"]
    namespace = child(NAMESPACES, member_namespace(name), member, member=name)
    read_itself = child(CLUSTER_ROLES, _self_role(name), member, member=name)
    read_itself["rules"] = [
        {"apiGroups": [API_GROUP], "resources": ["members"], "resourceNames": [name], "verbs": ["get", "list", "watch"]}
    ]
    bodies = [
        (NAMESPACES, namespace),
        (CLUSTER_ROLES, read_itself),
        *((resource, _binding(resource, binding, member)) for resource, binding in _bindings(name)),
    ]
    return tuple(Apply(resource=resource, body=body) for resource, body in bodies)


def withdrawn(name: str) -> tuple[Write, ...]:
    """Take every right of a member away; its namespace, with what it reported, stays."""
    bindings = tuple(
        Delete(
            resource=resource,
            name=binding[0],
            namespace=member_namespace(name) if resource is ROLE_BINDINGS else "",
        )
        for resource, binding in reversed(_bindings(name))
    )
    return (*bindings, Delete(resource=CLUSTER_ROLES, name=_self_role(name)))


Binding = tuple[str, str, tuple[Json, ...]]  # name, role, subjects


def _subject(kind: str, name: str) -> Json:
    return {"apiGroup": RBAC, "kind": kind, "name": name}


HUB_OPERATOR = (
    _subject("User", HUB_USER),
    {"kind": "ServiceAccount", "name": HUB_ACCOUNT, "namespace": SYSTEM_NAMESPACE},
)


def _self_role(name: str) -> str:
    return f"commonweal:member:{name}"


def _bindings(name: str) -> tuple[tuple[ApiResource, Binding], ...]:
    agent, group = (_subject("User", agent_user(name)),), (_subject("Group", member_group(name)),)
    return (
        (ROLE_BINDINGS, ("hub-operator", "commonweal:hub-in-member", HUB_OPERATOR)),
        (CLUSTER_ROLE_BINDINGS, (f"commonweal:member:{name}", _self_role(name), group)),
        (CLUSTER_ROLE_BINDINGS, (f"commonweal:member:{name}:reads", "commonweal:member", group)),
        (ROLE_BINDINGS, ("member", "commonweal:member:namespace", group)),
        (CLUSTER_ROLE_BINDINGS, (f"commonweal:member:{name}:agent", "commonweal:agent", agent)),
        (ROLE_BINDINGS, ("agent", "commonweal:agent:namespace", agent)),
    )


def _binding(resource: ApiResource, binding: Binding, member: Json) -> Json:
    name, role, subjects = binding
    owner = member["metadata"]["name"]
    namespace = member_namespace(owner) if resource is ROLE_BINDINGS else ""
    body = child(resource, name, member, namespace=namespace, member=owner)
    body["roleRef"] = {"apiGroup": RBAC, "kind": "ClusterRole", "name": role}
    body["subjects"] = list(subjects)
    return body
