"""Whoever fetches the hub's tiles can prove that nothing before was changed; the hub cannot sign another history."""

import asyncio
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from data_trusts.tlog import reader
from data_trusts.witness import Witness, look
from operators.hub.books import Books, BooksError
from operators.hub.published_log import PublishedLog

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ORIGIN = "test/hub"


def books(folder: Path, words: str, count: int = 300) -> Books:
    made = Books.open(folder)
    made.connection.execute("PRAGMA synchronous = OFF")  # what is tested is not whether a disk keeps its word
    for number in range(made.position().tree_size, count):
        made.refuse("ca", f"meter {number}", words, b"{}")
    return made


def opened(folder: Path, words: str = "no", count: int = 300) -> PublishedLog:
    return PublishedLog.open(books(folder, words, count), folder / "log", ORIGIN)


def witness(folder: Path, log: PublishedLog) -> Witness:
    made = Witness(folder / "witness", "ke/witness")
    made.add(log.publication.verifier.vkey())
    return made


def test_a_witness_cosigns_the_log_as_it_grows(tmp_path: Path) -> None:
    log = opened(tmp_path)
    ke = witness(tmp_path, log)
    assert "ke/witness" in look(ke, ORIGIN, reader(str(log.folder)), NOW)
    log.books.refuse("ca", "meter", "again", b"{}")
    log.catch_up()
    look(ke, ORIGIN, reader(str(log.folder)), NOW + timedelta(seconds=5))
    seen = ke.seen(ORIGIN)
    assert seen is not None
    position = log.books.position()
    assert (seen.size, seen.root.hex()) == (position.tree_size, position.root_sha256)
    assert seen.size == 301


def test_what_is_signed_is_as_long_as_the_statement_says(tmp_path: Path) -> None:
    log = opened(tmp_path, count=0)
    assert log.publication.signed is not None
    assert log.publication.signed.size == 0


def test_a_restart_goes_on_with_the_same_key_and_writes_lost_tiles_again(tmp_path: Path) -> None:
    log = opened(tmp_path)
    key = log.publication.verifier.vkey()
    log.books.close()
    shutil.rmtree(log.folder / "tile")
    again = opened(tmp_path)
    assert again.publication.verifier.vkey() == key
    look(witness(tmp_path, again), ORIGIN, reader(str(again.folder)), NOW)


@pytest.mark.parametrize(("words", "count"), [("another history", 300), ("no", 299)])
def test_books_that_are_not_what_was_signed_are_refused(tmp_path: Path, words: str, count: int) -> None:
    opened(tmp_path / "one").books.close()
    books(tmp_path / "two", words, count).close()
    shutil.copytree(tmp_path / "one" / "log", tmp_path / "two" / "log")
    with pytest.raises(BooksError, match=r"is not the log whose 300 entries .* restore the books"):
        PublishedLog.open(Books.open(tmp_path / "two"), tmp_path / "two" / "log", ORIGIN)


def test_a_lost_key_is_not_replaced_in_silence(tmp_path: Path) -> None:
    log = opened(tmp_path)
    (log.folder / "key.pem").unlink()
    with pytest.raises(BooksError, match="is gone; restore it"):
        PublishedLog.open(log.books, log.folder, ORIGIN)


def test_entries_are_no_files(tmp_path: Path) -> None:
    assert not (opened(tmp_path).folder / "tile" / "entries").exists()


async def answers(log: PublishedLog, paths: list[str]) -> list[int]:
    app = web.Application()
    app.add_routes([log.route()])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            return [(await client.get(path)).status_code for path in paths]
    finally:
        await runner.cleanup()


def test_tiles_and_checkpoint_are_served_and_the_key_is_not(tmp_path: Path) -> None:
    log = opened(tmp_path)
    public = ["/log/checkpoint", "/log/vkey", "/log/tile/0/000", "/log/tile/0/001.p/44", "/log/tile/1/000.p/1"]
    private = ["/log/key.pem", "/log/tile/../key.pem", "/log/tile/0/%2e%2e/%2e%2e/key.pem", "/log/tile/entries/000"]
    assert asyncio.run(answers(log, [*public, *private])) == [200] * 5 + [404] * 4


async def _until_signed(log: PublishedLog) -> None:
    log.books.refuse("ca", "meter", "again", b"{}")
    for _ in range(10_000):
        if log.publication.signed is not None and log.publication.signed.size == 301:
            return
        await asyncio.sleep(0.001)


def test_the_log_is_signed_while_the_operator_works_and_no_longer(tmp_path: Path) -> None:
    log = opened(tmp_path)
    asyncio.run(log.sign_beside(_until_signed(log), every_s=0.001))
    assert log.publication.signed is not None
    assert log.publication.signed.size == 301


async def _port_in_use() -> None:
    raise OSError("--health-port 1 cannot be used")


def test_what_ends_the_operator_is_said_as_it_is(tmp_path: Path) -> None:
    log = opened(tmp_path)
    with pytest.raises(OSError, match="--health-port 1 cannot be used"):
        asyncio.run(log.sign_beside(_port_in_use()))


def test_a_disk_that_takes_no_checkpoint_ends_the_operator(tmp_path: Path) -> None:
    log = opened(tmp_path)
    shutil.rmtree(log.folder)
    log.folder.write_text("no folder")
    log.books.refuse("ca", "meter", "again", b"{}")
    with pytest.raises(OSError, match="log"):
        asyncio.run(log.sign_beside(asyncio.sleep(60), every_s=0.001))
