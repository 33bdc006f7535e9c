"""What is asked of the machine, and how a refusal reads."""

import ipaddress
from pathlib import Path

import pytest

from infra.local import cgroups, machine, network, sysctls, teardown
from infra.local.machine import LocalError, Places

SUBNET = ipaddress.IPv4Network("10.77.0.0/16")


def places(base: Path) -> Places:
    return Places(state=base / "state", run=base / "run", cache=base / "cache")


def test_too_little_disk_is_refused_with_the_need_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"has .* GB free and a test needs 1000000000.0 GB; free some, or point"):
        machine.require_disk(tmp_path / "not" / "there", 10**18, "a test")


def test_a_missing_program_is_refused_with_its_name() -> None:
    with pytest.raises(LocalError, match="no-such-program is not installed"):
        machine.run(["no-such-program"])


def test_a_failing_program_is_refused_with_its_own_words() -> None:
    with pytest.raises(LocalError, match="failed with 3: it broke"):
        machine.run(["sh", "-c", "echo it broke >&2; exit 3"])


def test_missing_packages_are_listed_with_what_each_is_for() -> None:
    assert machine.missing_packages(lambda _: True) == {}
    missing = machine.missing_packages(lambda name: name != "runc")
    assert missing == {"runc": "starts containers"}


def test_the_cache_is_where_the_environment_says() -> None:
    assert machine.cache_dir({"COMMONWEAL_CACHE": "/c"}) == Path("/c")
    assert machine.cache_dir({"XDG_CACHE_HOME": "/x", "HOME": "/h"}) == Path("/x/commonweal")
    assert machine.cache_dir({"HOME": "/h"}) == Path("/h/.cache/commonweal")


def test_a_lock_that_is_held_is_refused_with_what_is_under_way(tmp_path: Path) -> None:
    with (
        machine.exclusive(tmp_path / "lock", "an up"),
        pytest.raises(LocalError, match="an up is already under way"),
        machine.exclusive(tmp_path / "lock", "an up"),
    ):
        pass
    with machine.exclusive(tmp_path / "lock", "an up"):
        pass


def test_a_route_that_overlaps_the_subnet_is_refused_with_the_variable() -> None:
    with pytest.raises(LocalError, match=r"overlaps 10.77.4.0/24 on eth1; set COMMONWEAL_SUBNET"):
        network.refuse_clash(SUBNET, [{"dst": "10.77.4.0/24", "dev": "eth1"}])


def test_defaults_our_own_links_and_other_ranges_are_no_clash() -> None:
    routes = [{"dst": "default", "dev": "eth0"}, {"dst": "10.77.16.0/24", "dev": "cw0"}, {"dst": "10.78.0.0/16"}]
    network.refuse_clash(SUBNET, [*routes, {"dst": "fe80::/64", "dev": "eth0"}])


def test_hierarchies_of_both_versions_are_found() -> None:
    mounts = "a /sys/fs/cgroup/unified cgroup2 rw 0 0\nb /sys/fs/cgroup/cpu cgroup rw 0 0\nproc /proc proc rw 0 0\n"
    assert cgroups.hierarchies(mounts) == [Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/unified")]


def test_only_mounts_below_our_folder_are_ours_deepest_first() -> None:
    mounts = "a /s/state tmpfs rw 0 0\nb /s/state/x\\040y/z tmpfs rw 0 0\nc /s/state2 tmpfs rw 0 0\nd / ext4 rw 0 0\n"
    assert teardown.mounts_below(Path("/s/state"), mounts) == [Path("/s/state/x y/z"), Path("/s/state")]


def test_a_state_folder_with_files_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "thesis.tex").touch()
    with pytest.raises(LocalError, match="holds files that are not ours"):
        teardown.claim(places(tmp_path))


def test_a_second_consortium_with_another_state_is_refused(tmp_path: Path) -> None:
    ours = places(tmp_path)
    teardown.claim(ours)
    teardown.claim(ours)
    other = Places(state=tmp_path / "other", run=ours.run, cache=ours.cache)
    with pytest.raises(LocalError, match="take that down first"):
        teardown.claim(other)


def test_settings_are_kept_once_so_that_a_second_up_keeps_nothing_of_a_kubelet(tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    file.write_text("{}")
    sysctls.save(file)
    assert file.read_text() == "{}"
