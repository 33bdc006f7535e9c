"""The front door serves exactly what the pilots' statuses say, and no member can write into its configuration."""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.kinds.pilot_app import PilotApp
from operators.hub.front_door import VERSION, Door, FrontDoor, door_of, host_and_port

FRONT = FrontDoor(folder=Path("unused"), host="127.0.0.1", bind="127.0.0.1", first_port=18080)


def app(**status: object) -> PilotApp:
    spec = {
        "description": "d",
        "sponsor": "ca",
        "component": {"image": "i:1", "port": 8080},
        "resources": {},
        "replicas": 1,
        "serviceClass": "public",
    }
    return PilotApp.read({"kind": "PilotApp", "metadata": {"name": "trade"}, "spec": spec, "status": status})


def placement(member: str, *endpoints: str) -> dict[str, object]:
    return {"member": member, "replicas": 1, "readyReplicas": 1, "endpoints": list(endpoints)}


def test_a_door_has_one_server_an_endpoint() -> None:
    door = door_of(
        app(
            address="http://127.0.0.1:18081",
            placements=[placement("kr", "http://10.0.0.2:30080"), placement("ca", "http://10.0.0.1:30080")],
        ),
        FRONT,
    )
    assert door == Door(app="trade", port=18081, servers=(("ca-0", "10.0.0.1:30080"), ("kr-0", "10.0.0.2:30080")))


@pytest.mark.parametrize("address", [None, "http://elsewhere:18080", "http://127.0.0.1:80", "http://127.0.0.1"])
def test_an_address_that_is_not_ours_opens_no_door(address: str | None) -> None:
    assert door_of(app(address=address) if address else app(), FRONT) is None


@given(st.text(max_size=80))
def test_no_endpoint_can_hold_more_than_a_host_and_a_port(text: str) -> None:
    for url in (text, f"http://{text}", f"http://10.0.0.1:30080{text}", f"http://{text}:30080"):
        answer = host_and_port(url)
        assert answer is None or set(answer) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://10.0.0.1:30080", "10.0.0.1:30080"),
        ("http://node.example:30080/", "node.example:30080"),
        ("https://10.0.0.1:30080", None),
        ("http://10.0.0.1", None),
        ("http://user@10.0.0.1:30080", None),
        ("http://10.0.0.1:99999", None),
        ("http://10.0.0.1:30080/x", None),
        ("http://10.0.0.1:30080?x", None),
    ],
)
def test_only_a_plain_http_endpoint_is_taken(url: str, expected: str | None) -> None:
    assert host_and_port(url) == expected


def test_the_same_doors_give_the_same_text_in_every_order() -> None:
    doors = [Door(app="a", port=1, servers=()), Door(app="b", port=2, servers=(("ca-0", "h:1"),))]
    assert FRONT.render(doors) == FRONT.render(reversed(doors))


@given(st.sets(st.integers(18080, 18100), max_size=10))
def test_a_new_pilot_gets_the_lowest_port_that_nobody_has(taken: set[int]) -> None:
    port = FRONT.free_port(taken)
    assert port not in taken
    assert set(range(18080, port)) <= taken


def test_the_file_is_written_only_when_it_differs(tmp_path: Path) -> None:
    front = FrontDoor(folder=tmp_path / "door", host="127.0.0.1", bind="127.0.0.1", first_port=18080)
    assert front.write("one")
    assert not front.write("one")
    assert front.write("two")
    assert [path.name for path in front.folder.iterdir()] == ["haproxy.cfg"]


def test_a_reload_signals_the_master_and_needs_none(tmp_path: Path) -> None:
    front = replace(FRONT, folder=tmp_path)
    front.reload()
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, _: heard.append(number))
    try:
        front.pid_file.write_text("")
        front.reload()
        front.pid_file.write_text(f"{os.getpid()}\n")
        front.reload()
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert heard == [signal.SIGUSR2]


async def answering(version: str) -> asyncio.Server:
    """A haproxy that has loaded `version`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\n{version}".encode())
        await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


async def test_a_haproxy_that_serves_an_older_file_is_behind_and_one_that_is_silent_is_not() -> None:
    def at(port: int) -> FrontDoor:
        return replace(FRONT, first_port=port + 1)

    async with await answering("0123456789abcdef") as server:
        front = at(server.sockets[0].getsockname()[1])
        older = front.render([Door(app="trade", port=front.first_port, servers=())])
        assert await front.is_behind(older)
        version = VERSION.search(older)
        assert version is not None
    async with await answering(version["version"]) as server:
        port = server.sockets[0].getsockname()[1]
        assert not await at(port).is_behind(older)
    assert not await at(port).is_behind(older)


def test_pilots_are_announced_under_one_address_and_served_on_another() -> None:
    front = replace(FRONT, host="pilots.example.org", bind="0.0.0.0")  # noqa: S104 - a text
    text = front.render([Door(app="trade", port=18080, servers=())])
    assert front.address(18080) == "http://pilots.example.org:18080"
    assert "bind 0.0.0.0:18080\n" in text
    assert "pilots.example.org" not in text


def test_a_certificate_closes_every_door_to_plain_http_and_moves_none() -> None:
    front = replace(FRONT, certificate=Path("/tls/tls.pem"))
    text = front.render([Door(app="trade", port=18080, servers=()), Door(app="nature", port=18081, servers=())])
    doors = [line for line in text.splitlines() if "bind" in line and ":18079" not in line]
    assert len(doors) == 2
    assert all(" ssl crt /tls/tls.pem " in line for line in doors)
    assert front.address(18080) == "https://127.0.0.1:18080"
    assert front.port_of(FRONT.address(18081)) == 18081
