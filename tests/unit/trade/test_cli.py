"""The command line: the API's answer as a table or as JSON, and errors in one sentence."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.testclient import TestClient
from typer.testing import CliRunner, Result

from apps.trade.asking import said
from apps.trade.cli import app
from apps.trade.service import create_app

from .conftest import Pool


@contextmanager
def forwarding(client: TestClient) -> Iterator[str]:
    """An address on loopback that passes requests to the app."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = client.post(self.path, content=self.rfile.read(int(self.headers["content-length"])))
            self.send_response(answer.status_code)
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def address(pool: Pool) -> Iterator[str]:
    """The API's address."""
    with TestClient(create_app(pool, signer=Ed25519PrivateKey.generate())) as client, forwarding(client) as found:
        yield found


def assess(*arguments: str) -> Result:
    given = ["assess", "--cn", "72081000", "--country", "KR", "--mass-kg", "25000", "--year", "2026", *arguments]
    return CliRunner().invoke(app, given)


def test_a_consignment_is_answered_as_a_table(address: str) -> None:
    result = assess("--installation", "EC-EXAMPLE-2", "--address", address)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("38.474 t CO2e in 25000 kg of 72081000")


def test_the_bill_says_what_does_not_pay_and_what_would_lower_it(address: str) -> None:
    given = ["assess", "--cn", "76011010", "--country", "KR", "--mass-kg", "10000", "--year", "2026"]
    asked = [*given, "--installation", "EC-EXAMPLE-6", "--quarter", "1", "--address", address]
    shown = CliRunner().invoke(app, asked).stdout
    assert "Actual data does not pay here: 1.676 certificates by the disclosure, 0 by the default" in shown
    assert "costs 126.28 EUR" in shown
    assert "Would lower it: Declare by the default value" in shown


def test_an_unpublished_price_is_refused(address: str) -> None:
    result = assess("--quarter", "4", "--address", address)
    assert (result.exit_code, "no certificate price is published for 2026-Q4" in result.stderr) == (1, True)


def test_json_is_the_apis_own_answer(address: str) -> None:
    result = assess("--address", address, "--json")
    assert json.loads(result.stdout)["tonnes_counted"] == "58.245"


def test_a_refusal_is_one_sentence_and_exit_code_1(address: str) -> None:
    result = assess("--address", address, "--clinker", "7")
    assert result.exit_code == 1
    assert result.stderr.startswith("clinker_t_per_t: '7' does not fit")


def test_an_address_where_nothing_listens_is_said() -> None:
    result = assess("--address", "http://127.0.0.1:9")
    assert result.exit_code == 2
    assert "--address: http://127.0.0.1:9" in result.stderr


def test_the_examples_come_as_json_with_exact_numbers() -> None:
    result = CliRunner().invoke(app, ["examples", "--json"])
    rows = json.loads(result.stdout)
    steel = [row for row in rows if row["cn_code"] == "72081000"]
    assert {row["see_direct_t_per_t"] for row in steel} == {"1.538976064557865729"}
    assert {row["rule_pack"] for row in rows} == {"eu-2023-1773", "eu-2025-2547"}


def test_the_examples_read_as_a_table() -> None:
    assert "EC-EXAMPLE-3" in CliRunner().invoke(app, ["examples"]).stdout


def test_the_services_bundle_is_fetched_and_verifies_offline(address: str, tmp_path: Path) -> None:
    out = tmp_path / "b.zip"
    given = ["--cn", "72081000", "--country", "KR", "--mass-kg", "25000", "--year", "2026"]
    options = [*given, "--installation", "EC-EXAMPLE-2", "--address", address, "--out", str(out)]
    assert CliRunner().invoke(app, ["bundle", *options]).exit_code == 0
    assert "holds: 38.474401613946643225 t CO2e (disclosure)" in CliRunner().invoke(app, ["verify", str(out)]).stdout


def test_a_bundle_that_the_service_refuses_is_not_written(address: str, tmp_path: Path) -> None:
    given = ["--cn", "73041100", "--country", "KR", "--mass-kg", "25000", "--year", "2026"]
    result = CliRunner().invoke(app, ["bundle", *given, "--address", address, "--out", str(tmp_path / "b.zip")])
    assert result.exit_code == 2
    assert "give an installation that disclosed this good" in result.stderr
    assert not list(tmp_path.iterdir())


def test_the_shipped_table_has_no_cell_that_says_nothing() -> None:
    result = CliRunner().invoke(app, ["defaults", "check", "--json"])
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["rows"], answer["bad"]) == (0, 80, [])
    assert answer["cells"] == {"number": 72, "dash": 8}


def test_a_table_with_bad_cells_is_refused_by_line_and_column(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("cn_prefix,good,country,total_t_per_t\n7208,coil,KR,\n7208,coil,TR,1\n")
    result = CliRunner().invoke(app, ["defaults", "check", str(table)])
    assert result.exit_code == 1
    assert "line 2: total_t_per_t: '' is neither a number" in result.stderr
    assert "1 rows; cells: 1 number; 1 bad" in result.stdout
    assert CliRunner().invoke(app, ["defaults", "check", str(tmp_path / "absent.csv")]).exit_code == 2


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ('{"detail": "cn_code: 9 digits"}', 422, "cn_code: 9 digits"),
        ("<html>", 503, "HTTP 503; no trade API answers at --address now, ask again in a minute"),
        ("<html>", 404, "HTTP 404; --address does not lead to the trade API"),
    ],
)
def test_what_is_no_answer_of_the_api_is_told_apart(body: str, status: int, words: str) -> None:
    assert said(body, status) == words
