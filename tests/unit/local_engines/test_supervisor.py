"""The order in which processes start, and what makes a process another one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.machine import LocalError
from infra.local.processes import Identity, Record, read_record, write_record
from infra.local.supervisor import Process, start_order, tail


def process(name: str, *depends_on: str, argv: tuple[str, ...] = ("true",)) -> Process:
    return Process(name=name, argv=argv, log=Path("/nonexistent/log"), depends_on=depends_on)


def test_a_process_starts_after_what_it_depends_on_and_beside_what_it_does_not() -> None:
    waves = start_order([process("kubelet", "containerd"), process("containerd"), process("etcd")])
    assert [[each.name for each in wave] for wave in waves] == [["containerd", "etcd"], ["kubelet"]]


@given(st.lists(st.lists(st.integers(0, 30), max_size=4), min_size=1, max_size=30))
def test_every_dependency_is_in_an_earlier_wave(edges: list[list[int]]) -> None:
    processes = [
        process(str(index), *{str(other) for other in others if other < index}) for index, others in enumerate(edges)
    ]
    waves = start_order(processes)
    wave_of = {each.name: number for number, wave in enumerate(waves) for each in wave}
    assert set(wave_of) == {each.name for each in processes}
    assert all(wave_of[need] < wave_of[each.name] for each in processes for need in each.depends_on)


def test_a_circle_is_refused_with_its_members() -> None:
    with pytest.raises(LocalError, match=r"a -> b -> a|b -> a -> b"):
        start_order([process("a", "b"), process("b", "a")])


def test_an_unknown_dependency_is_refused_by_name() -> None:
    with pytest.raises(LocalError, match="a depends on ghost"):
        start_order([process("a", "ghost")])


def test_other_arguments_make_another_process() -> None:
    assert process("a").spec_hash() == process("a", "b").spec_hash()
    assert process("a").spec_hash() != process("a", argv=("true", "--flag")).spec_hash()


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    record = Record(identity=Identity(pid=1, start_ticks=2, boot="b"), spec_hash="h")
    write_record(tmp_path / "a.pid", record)
    assert read_record(tmp_path / "a.pid") == record


@pytest.mark.parametrize("torn", ["", "{", '{"identity": {}}', "[]", '{"identity": {"pid": 1}, "spec_hash": ""}'])
def test_a_torn_record_counts_as_none(tmp_path: Path, torn: str) -> None:
    (tmp_path / "a.pid").write_text(torn)
    assert read_record(tmp_path / "a.pid") is None


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(5000)))
    assert tail(log, lines=2) == "line 4998 | line 4999"
