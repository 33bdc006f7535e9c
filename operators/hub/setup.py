"""What an administrator applies to a hub before its operator starts: namespace, kinds, roles, fences.

`manifests()` is the list; `apply_all` is what the CLI and the demo call. Both can simply be repeated.
"""

import asyncio
from importlib import resources

import yaml

from operators.hub.resources import OURS, SYSTEM_NAMESPACE
from operators.kube import Json, Kube, NotFound

FIELD_MANAGER = "commonweal-setup"
WAIT_S = 30.0


def _documents(package: str, name: str) -> list[Json]:
    text = resources.files(package).joinpath(name).read_text("utf-8")
    return [document for document in yaml.safe_load_all(text) if document]


def definitions() -> list[Json]:
    """The CustomResourceDefinitions, as generated."""
    names = sorted(item.name for item in resources.files("operators").joinpath("crds").iterdir())
    return [
        document for name in names if name.endswith(".yaml") for document in _documents("operators", f"crds/{name}")
    ]


def manifests() -> list[Json]:
    """Everything, in the order in which it can be applied."""
    namespace: Json = {"apiVersion": "v1", "kind": "Namespace"}
    namespace["metadata"] = {"name": SYSTEM_NAMESPACE, "labels": OURS}
    return [
        namespace,
        *definitions(),
        *_documents("operators.hub", "rbac.yaml"),
        *_documents("operators.hub", "admission.yaml"),
    ]


async def apply_all(kube: Kube) -> None:
    """Apply everything, and return when every kind is served.

    Raises:
        KubeError: the identity may not do this, or the server refuses an object.
        TimeoutError: the kinds were not served in time.
    """
    for body in manifests():
        resource = await kube.resource_of(body["apiVersion"], body["kind"])
        await kube.apply(resource, body, field_manager=FIELD_MANAGER)
    async with asyncio.timeout(WAIT_S):
        for body in definitions():
            await _served(kube, body)


async def _served(kube: Kube, definition: Json) -> None:
    spec = definition["spec"]
    version = f"{spec['group']}/{spec['versions'][0]['name']}"
    while True:
        try:
            await kube.list(await kube.resource_of(version, spec["names"]["kind"]))
        except NotFound:
            await asyncio.sleep(0.2)
        else:
            return
