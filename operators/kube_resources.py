"""How the API serves the kinds that operators touch."""

from dataclasses import dataclass

from commonweal.kinds.meta import API_VERSION, Scope
from commonweal.kinds.meta import Resource as CustomResource


@dataclass(frozen=True, slots=True)
class ApiResource:
    """One kind as the API serves it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The version without the group."""
        return self.api_version.rpartition("/")[2]

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path; without a name that of the collection, without a namespace that across all of them."""
        parts = ["/apis" if "/" in self.api_version else "/api", self.api_version]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", namespace]
        elif self.namespaced and name is not None:
            raise ValueError(f"{self.kind} {name} lives in a namespace; give one")
        parts += [part for part in (self.plural, name, subresource) if part is not None]
        return "/".join(parts)


def custom(kind: type[CustomResource]) -> ApiResource:
    """How the API serves one of our kinds."""
    definition = kind.definition
    return ApiResource(API_VERSION, definition.kind, definition.plural, definition.scope is Scope.NAMESPACED)


NAMESPACES = ApiResource("v1", "Namespace", "namespaces", namespaced=False)
CONFIG_MAPS = ApiResource("v1", "ConfigMap", "configmaps")
SECRETS = ApiResource("v1", "Secret", "secrets")
SERVICES = ApiResource("v1", "Service", "services")
SERVICE_ACCOUNTS = ApiResource("v1", "ServiceAccount", "serviceaccounts")
PODS = ApiResource("v1", "Pod", "pods")
NODES = ApiResource("v1", "Node", "nodes", namespaced=False)
DEPLOYMENTS = ApiResource("apps/v1", "Deployment", "deployments")
LEASES = ApiResource("coordination.k8s.io/v1", "Lease", "leases")
CSRS = ApiResource(
    "certificates.k8s.io/v1", "CertificateSigningRequest", "certificatesigningrequests", namespaced=False
)
