"""The cache only moves forward, in whatever order lists, events and answers to our own writes arrive."""

from hypothesis import given
from hypothesis import strategies as st

from operators.frame.store import Key, Store
from operators.kube import CONFIG_MAPS, ApiResource, Json


def body(name: str, version: int, namespace: str = "n", **labels: str) -> Json:
    metadata: Json = {"name": name, "namespace": namespace, "resourceVersion": str(version), "managedFields": [{}]}
    if labels:
        metadata["labels"] = {f"commonweal.dev/{key}": value for key, value in labels.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def version_in(store: Store, name: str) -> str | None:
    held = store.get(CONFIG_MAPS, name, "n")
    return held["metadata"]["resourceVersion"] if held else None


@given(st.permutations([("put", 1), ("put", 2), ("remove", 3), ("put", 4), ("put", 5)]))
def test_the_youngest_wins_in_every_order(steps: list[tuple[str, int]]) -> None:
    store = Store()
    for step, version in steps:
        if step == "put":
            store.put(CONFIG_MAPS, body("a", version))
        else:
            store.remove(CONFIG_MAPS, body("a", version))
    assert version_in(store, "a") == "5"


@given(st.permutations([("put", 1), ("put", 2), ("remove", 3)]))
def test_what_was_deleted_stays_away_in_every_order(steps: list[tuple[str, int]]) -> None:
    store = Store()
    for step, version in steps:
        (store.put if step == "put" else store.remove)(CONFIG_MAPS, body("a", version))
    assert version_in(store, "a") is None


def test_a_list_removes_what_it_lacks_and_spares_what_is_younger() -> None:
    store = Store()
    for each in (body("gone", 1), body("kept", 2), body("born", 9), body("elsewhere", 1, "other")):
        store.put(CONFIG_MAPS, each)
    store.replace(CONFIG_MAPS, [body("kept", 3)], 5, namespace="n")
    assert [version_in(store, name) for name in ("gone", "kept", "born")] == [None, "3", "9"]
    assert store.get(CONFIG_MAPS, "elsewhere", "other") is not None


def test_an_answer_to_a_write_does_not_bring_an_unknown_object_in() -> None:
    store = Store()
    assert not store.put(CONFIG_MAPS, body("a", 1), known_only=True)
    assert version_in(store, "a") is None


def test_listeners_hear_every_change_once_and_from_whom() -> None:
    heard: list[tuple[str, bool, object]] = []

    def listen(resource: ApiResource, changed: Json, before: Json | None, writer: object) -> None:
        heard.append((f"{resource.plural} {changed['metadata']['resourceVersion']}", before is not None, writer))

    store = Store()
    store.compare(listen)
    store.put(CONFIG_MAPS, body("a", 1))
    store.put(CONFIG_MAPS, body("a", 1))
    store.put(CONFIG_MAPS, body("a", 2), writer=("member", Key("", "a")))
    store.remove(CONFIG_MAPS, body("a", 3))
    ours = ("member", Key("", "a"))
    assert heard == [("configmaps 1", False, None), ("configmaps 2", True, ours), ("configmaps 3", False, None)]


def test_managed_fields_are_not_kept_and_labels_select() -> None:
    store = Store()
    store.put(CONFIG_MAPS, body("a", 1, member="ca"))
    store.put(CONFIG_MAPS, body("b", 2, member="kr"))
    [found] = store.list(CONFIG_MAPS, member="ca")
    assert found["metadata"]["name"] == "a"
    assert "managedFields" not in found["metadata"]
