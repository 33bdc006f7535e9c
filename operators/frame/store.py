"""The watch cache: the last seen body of every watched object, without managedFields.

It only moves forward: a body older than the one held is dropped, so events, lists and answers to our own writes may
arrive in any order. Bodies are shared; whoever reads one must not change it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from operators.kube import ApiResource, Json


class Key(NamedTuple):
    """The name of one object of a kind; the namespace is empty for cluster-scoped kinds."""

    namespace: str
    name: str


GRAVES = 4096  # deletions remembered; more than can be in flight at once

Listener = Callable[[ApiResource, Json, object], None]
Comparer = Callable[[ApiResource, Json, Json | None, object], None]


def key_of(body: Json) -> Key:
    """The key of an object."""
    metadata = body["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])


def version_of(body: Json) -> int:
    """The resourceVersion as a number; the API orders them since Kubernetes 1.35, and etcd always did."""
    return int(body["metadata"]["resourceVersion"])


@dataclass(eq=False)
class Store:
    """Objects by resource and key. Listeners hear of every change, with the writer that caused it, if it was ours."""

    _objects: dict[ApiResource, dict[Key, Json]] = field(default_factory=dict)
    _listeners: list[Comparer] = field(default_factory=list)
    _buried: dict[tuple[ApiResource, Key], int] = field(default_factory=dict)

    def listen(self, listener: Listener) -> None:
        """Call `listener(resource, body, writer)` after every change."""
        self._listeners.append(lambda resource, body, _, writer: listener(resource, body, writer))

    def compare(self, listener: Comparer) -> None:
        """Call `listener(resource, body, before, writer)`, too; `before` is None for what comes or goes."""
        self._listeners.append(listener)

    def get(self, resource: ApiResource, name: str, namespace: str = "") -> Json | None:
        """One object, or None."""
        return self._objects.get(resource, {}).get(Key(namespace, name))

    def list(self, resource: ApiResource, namespace: str = "", **labels: str) -> Iterator[Json]:
        """Objects of a kind, in no order, of one namespace if given; `owner="x"` asks for that label."""
        wanted = {f"commonweal.dev/{name}": value for name, value in labels.items()}
        for key, body in tuple(self._objects.get(resource, {}).items()):
            if namespace and key.namespace != namespace:
                continue
            if not wanted or wanted.items() <= body["metadata"].get("labels", {}).items():
                yield body

    def put(self, resource: ApiResource, body: Json, *, writer: object = None, known_only: bool = False) -> bool:
        """Take a body in; True if it is news. With `known_only` an object that is not held stays unknown."""
        objects = self._objects.setdefault(resource, {})
        held = objects.get(key_of(body))
        if held is None and (known_only or self._buried.get((resource, key_of(body)), -1) >= version_of(body)):
            return False
        if held is not None and version_of(held) >= version_of(body):
            return False
        self._take(resource, body, writer)
        return True

    def remove(self, resource: ApiResource, body: Json) -> bool:
        """Drop a deleted object, unless a younger one of its name is held."""
        self._bury(resource, body)
        objects = self._objects.get(resource, {})
        held = objects.get(key_of(body))
        if held is None or version_of(held) > version_of(body):
            return False
        del objects[key_of(body)]
        self._tell(resource, body, None, None)
        return True

    def touch(self, resource: ApiResource, body: Json) -> None:
        """Wake what depends on an object, because something about it changed that the API does not hold."""
        self._tell(resource, body, None, None)

    def replace(self, resource: ApiResource, items: Iterable[Json], version: int, *, namespace: str = "") -> int:
        """Take in a complete list made at `version`, of one namespace if given; what it lacks and is older is gone."""
        changed, named = 0, set()
        for body in items:
            named.add(key_of(body))
            changed += self.put(resource, body)
        for key, body in tuple(self._objects.setdefault(resource, {}).items()):
            if key not in named and namespace in ("", key.namespace) and version_of(body) <= version:
                del self._objects[resource][key]
                self._tell(resource, body, None, None)
                changed += 1
        return changed

    def count(self, resource: ApiResource) -> int:
        """How many objects of a kind are held."""
        return len(self._objects.get(resource, {}))

    def _bury(self, resource: ApiResource, body: Json) -> None:
        """Remember a deletion for a while: the answer to a write of ours may arrive after it."""
        self._buried[resource, key_of(body)] = version_of(body)
        while len(self._buried) > GRAVES:
            del self._buried[next(iter(self._buried))]

    def _take(self, resource: ApiResource, body: Json, writer: object) -> None:
        slim = body | {"metadata": {name: value for name, value in body["metadata"].items() if name != "managedFields"}}
        key = key_of(body)
        before = self._objects[resource].get(key)
        self._objects[resource][key] = slim
        self._tell(resource, slim, before, writer)

    def _tell(self, resource: ApiResource, body: Json, before: Json | None, writer: object) -> None:
        for listener in self._listeners:
            listener(resource, body, before, writer)
