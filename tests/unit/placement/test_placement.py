"""Which member runs an app: capacity, borders, drain and cordon, fair shares, and nothing moving without a reason."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from commonweal.kinds.member import Engine, Scheduling
from commonweal.kinds.meta import Resources
from commonweal.placement import App, Host, Reason, place, transition

NOTHING = Resources()


def res(cpu_millis: int = 0, memory_mib: int = 0, gpus: int = 0) -> Resources:
    return Resources(cpu_millis=cpu_millis, memory_mib=memory_mib, gpus=gpus)


def host(name: str, cpu_millis: int = 4000, *, used: Resources = NOTHING, country: str = "CA") -> Host:
    return Host(
        name=name,
        country=country,
        engine=Engine.TRINO,
        accepted=True,
        reachable=True,
        scheduling=Scheduling.ACTIVE,
        allocatable=res(cpu_millis, 8192, 2),
        used=used,
    )


def app(replicas: int = 2, cpu_millis: int = 1000, min_members: int = 1) -> App:
    return App(name="trade", replicas=replicas, per_replica=res(cpu_millis), min_members=min_members)


EVEN = {"ca": 3334, "ke": 3333, "kr": 3333}
THREE = (host("ca"), host("ke", country="KE"), host("kr", country="KR"))


def drained(one: Host) -> Host:
    return replace(one, scheduling=Scheduling.DRAINING)


def cordoned(one: Host) -> Host:
    return replace(one, scheduling=Scheduling.CORDONED)


def test_replicas_spread_over_as_many_members_as_asked() -> None:
    assert place(app(2, min_members=2), THREE, {}, EVEN).replicas == {"ca": 1, "ke": 1}


def test_equity_weighs_where_replicas_go() -> None:
    assert place(app(4), THREE, {}, {"ca": 5000, "ke": 2500, "kr": 2500}).replicas == {"ca": 2, "ke": 1, "kr": 1}


def test_a_member_without_equity_comes_last_but_still_counts() -> None:
    weights = {"ca": 0, "ke": 1, "kr": 1}
    assert "ca" not in place(app(8), THREE, {}, weights).replicas
    assert place(app(9), THREE, {}, weights).replicas["ca"] == 1


def test_the_dominant_resource_decides_and_not_the_sum() -> None:
    busy = (host("ca", used=res(gpus=2)), host("ke", used=res(cpu_millis=1000)))
    assert place(app(1), busy, {}, {"ca": 1, "ke": 1}).replicas == {"ke": 1}


def test_a_cordoned_member_keeps_what_it_runs_and_takes_nothing() -> None:
    hosts = (cordoned(THREE[0]), *THREE[1:])
    assert place(app(2), hosts, {"ca": 2}, EVEN).replicas == {"ca": 2}
    assert "ca" not in place(app(2), hosts, {}, EVEN).replicas


def test_an_unreachable_member_keeps_what_it_runs_and_takes_nothing() -> None:
    hosts = (replace(THREE[0], reachable=False), *THREE[1:])
    assert place(app(2), hosts, {"ca": 2}, EVEN).replicas == {"ca": 2}
    assert "ca" not in place(app(2), hosts, {}, EVEN).replicas


def test_a_drained_member_gives_up_everything_that_fits_elsewhere() -> None:
    hosts = (drained(THREE[0]), *THREE[1:])
    assert place(app(2), hosts, {"ca": 2}, EVEN).replicas == {"ke": 1, "kr": 1}


def test_what_fits_nowhere_else_stays_on_the_draining_member_and_says_so() -> None:
    result = place(app(3), (drained(host("ca")), host("ke", 1000)), {"ca": 3}, EVEN)
    assert result.replicas == {"ca": 2, "ke": 1}
    assert result.why["ca"].message == "draining, 2 of 3 wait for room elsewhere"


def test_a_member_that_is_no_longer_accepted_loses_its_replicas_at_once() -> None:
    hosts = (replace(THREE[0], accepted=False), *THREE[1:])
    result = place(app(2), hosts, {"ca": 2}, EVEN)
    assert "ca" not in result.replicas
    assert result.outgoing == frozenset()


@pytest.mark.parametrize(
    ("asked", "reason", "words"),
    [
        (replace(app(), members=frozenset({"kr"})), Reason.MEMBER_NOT_ALLOWED, "not among the allowed members kr"),
        (replace(app(), countries=frozenset({"KR"})), Reason.COUNTRY_NOT_ALLOWED, "country CA is not among KR"),
        (
            replace(app(), engines=frozenset({Engine.DUCKDB})),
            Reason.ENGINE_MISSING,
            "engine trino, the app needs duckdb",
        ),
        (app(cpu_millis=5000), Reason.NO_ROOM, "cpu: 3500m free of 4000m, a replica needs 5000m"),
        (replace(app(), per_replica=res(gpus=3)), Reason.NO_ROOM, "GPUs: 2 free of 2, a replica needs 3"),
        (app(replicas=0), Reason.NOT_NEEDED, "has room for 3, others have a lower share"),
    ],
)
def test_every_member_gets_one_sentence_with_numbers(asked: App, reason: Reason, words: str) -> None:
    why = place(asked, (host("ca", used=res(cpu_millis=500)),), {}, EVEN).why["ca"]
    assert why.reason is reason
    assert why.message == words


def test_an_app_that_no_member_can_hold_says_what_each_lacks() -> None:
    message = place(app(1, cpu_millis=9000), THREE[:1], {}, EVEN).message
    assert message == (
        "1 replicas of trade find no member (ca: cpu: 4000m free of 4000m, a replica needs 9000m); placed nothing"
    )


def test_a_member_of_an_unreported_site_keeps_what_it_runs_and_takes_nothing() -> None:
    unknown = replace(THREE[0], allocatable=None)
    result = place(app(3), (unknown, THREE[1]), {"ca": 1}, EVEN)
    assert result.replicas == {"ca": 1, "ke": 2}
    assert result.why["ca"].reason is Reason.SITE_UNKNOWN
    assert result.why["ca"].message == "has not reported its site, keeps 1 and takes no new"


def test_a_drain_keeps_old_replicas_until_new_ones_serve() -> None:
    target = place(app(2), (drained(THREE[0]), *THREE[1:]), {"ca": 2}, EVEN)
    assert transition(target, {"ca": 2}, {"ca": 2}) == {"ca": 2, "ke": 1, "kr": 1}
    assert transition(target, {"ca": 2, "ke": 1, "kr": 1}, {"ca": 2, "ke": 1}) == {"ca": 1, "ke": 1, "kr": 1}
    assert transition(target, {"ca": 1, "ke": 1, "kr": 1}, {"ca": 1, "ke": 1, "kr": 1}) == {"ke": 1, "kr": 1}


names = st.sampled_from(["ca", "ke", "kr", "br", "no"])
hosts_of = st.lists(
    st.builds(
        Host,
        name=names,
        country=st.sampled_from(["CA", "KR"]),
        engine=st.sampled_from([None, Engine.TRINO, Engine.DUCKDB]),
        accepted=st.sampled_from([True, True, True, False]),
        reachable=st.sampled_from([True, True, True, False]),
        scheduling=st.sampled_from(Scheduling),
        allocatable=st.builds(res, st.integers(0, 6), st.integers(0, 6), st.integers(0, 2)),
        used=st.builds(res, st.integers(0, 3), st.integers(0, 3), st.integers(0, 1)),
    ),
    max_size=5,
    unique_by=lambda one: one.name,
)
apps = st.builds(
    App,
    name=st.just("trade"),
    replicas=st.integers(0, 8),
    per_replica=st.builds(res, st.integers(0, 2), st.integers(0, 2), st.integers(0, 1)),
    min_members=st.integers(1, 3),
    members=st.frozensets(names, max_size=3),
    countries=st.frozensets(st.sampled_from(["CA", "KR"]), max_size=2),
    engines=st.frozensets(st.sampled_from(Engine), max_size=1),
)
currents = st.dictionaries(names, st.integers(0, 5))
weights_of = st.dictionaries(names, st.integers(0, 5))


def amounts(resources: Resources) -> tuple[int, int, int]:
    return resources.cpu_millis, resources.memory_mib, resources.gpus


def room(one: Host) -> tuple[int, int, int]:
    assert one.allocatable is not None
    return amounts(one.allocatable)


@given(app=apps, hosts=hosts_of, current=currents, weights=weights_of)
def test_no_member_ever_holds_more_than_it_has(
    app: App, hosts: list[Host], current: dict[str, int], weights: dict[str, int]
) -> None:
    result = place(app, hosts, current, weights)
    for one in hosts:
        count = result.replicas.get(one.name, 0)
        for has, used, asked in zip(room(one), amounts(one.used), amounts(app.per_replica), strict=True):
            assert count == 0 or asked == 0 or used + asked * count <= has
    assert sum(result.replicas.values()) + result.unplaced == app.replicas
    assert set(result.why) == {one.name for one in hosts}


@given(app=apps, hosts=hosts_of, current=currents, weights=weights_of, data=st.data())
def test_the_order_of_members_changes_nothing(
    app: App, hosts: list[Host], current: dict[str, int], weights: dict[str, int], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(hosts))
    assert place(app, shuffled, current, weights) == place(app, hosts, current, weights)


@given(app=apps, hosts=hosts_of, current=currents, weights=weights_of, later=weights_of)
def test_placing_again_changes_nothing_even_when_weights_moved(
    app: App, hosts: list[Host], current: dict[str, int], weights: dict[str, int], later: dict[str, int]
) -> None:
    first = place(app, hosts, current, weights)
    assert place(app, hosts, first.replicas, later).replicas == first.replicas


@given(app=apps, hosts=hosts_of, current=currents, weights=weights_of, name=names)
def test_cordoning_moves_nothing(
    app: App, hosts: list[Host], current: dict[str, int], weights: dict[str, int], name: str
) -> None:
    assume(all(one.scheduling is not Scheduling.DRAINING for one in hosts))
    first = place(app, hosts, current, weights)
    after = [cordoned(one) if one.name == name else one for one in hosts]
    assert place(app, after, first.replicas, weights).replicas == first.replicas


@given(app=apps, hosts=hosts_of, current=currents, weights=weights_of, name=names)
def test_draining_moves_everything_that_fits_and_unplaces_nothing(
    app: App, hosts: list[Host], current: dict[str, int], weights: dict[str, int], name: str
) -> None:
    first = place(app, hosts, current, weights)
    after = [drained(one) if one.name == name else one for one in hosts]
    result = place(app, after, first.replicas, weights)
    assert result.unplaced == first.unplaced
    if result.replicas.get(name, 0):
        # Something stayed, so nobody else takes one more replica.
        elsewhere = {other: count for other, count in result.replicas.items() if other != name}
        wider = replace(app, replicas=sum(elsewhere.values()) + 1)
        without = [one for one in after if one.name != name]
        assert place(wider, without, elsewhere, weights).unplaced == 1


@given(app=apps, hosts=hosts_of, current=currents, name=names, more=st.integers(1, 4))
def test_more_capacity_never_unplaces(
    app: App, hosts: list[Host], current: dict[str, int], name: str, more: int
) -> None:
    wider = [
        replace(one, allocatable=res(*(amount + more for amount in room(one)))) if one.name == name else one
        for one in hosts
    ]
    assert place(app, wider, current, EVEN).unplaced <= place(app, hosts, current, EVEN).unplaced


@given(app=apps, hosts=hosts_of, current=currents, weights=weights_of, steps=st.lists(names, max_size=20))
def test_a_transition_never_serves_with_less_than_it_could_and_ends_at_the_placement(
    app: App, hosts: list[Host], current: dict[str, int], weights: dict[str, int], steps: list[str]
) -> None:
    running = dict(place(app, hosts, current, weights).replicas)
    ready = dict(running)
    after = [drained(one) if one.name == "ca" else one for one in hosts]
    serving = [sum(ready.values())]
    for name in [*steps, *(["ca", "ke", "kr", "br", "no"] * 8)]:
        target = place(app, after, running, weights)
        running = transition(target, running, ready)
        ready = {one: min(ready.get(one, 0), count) for one, count in running.items()}
        if ready.get(name, 0) < running.get(name, 0):
            ready[name] = ready.get(name, 0) + 1
        serving.append(sum(ready.values()))
    assert running == place(app, after, running, weights).replicas
    assert all(later >= min(earlier, app.replicas) for earlier, later in pairwise(serving))
