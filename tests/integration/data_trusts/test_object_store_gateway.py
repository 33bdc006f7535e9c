"""A gateway whose tables lie in a bucket answers, and where the store is away it says so and shows no credential."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.data_trusts.conftest import Issuer, StartGateway
from tests.integration.data_trusts.stores import KEY_ID, SECRET, storing
from tests.integration.data_trusts.test_gateway import fill, post, question, written_policy


def test_questions_are_answered_until_the_store_is_away(
    start_gateway: StartGateway, issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as running:
        store = running.enter_context(storing(tmp_path / "store"))
        for variable in store.environment("rows").items():
            monkeypatch.setenv(*variable)
        fill(tmp_path / "ca" / "data")
        gateway = start_gateway("ca", written_policy("ca", issuer))
        answered = post(gateway, issuer.token(), question())
        assert answered.status_code == 200, answered.text
        assert answered.json()["rows"][0][:2] == [1, 9045]
    failed = post(gateway, issuer.token(), question())
    assert failed.status_code >= 500, failed.text
    said = failed.text + (gateway.data / "audit" / "audit.jsonl").read_text()
    assert SECRET not in said
    assert KEY_ID not in said
