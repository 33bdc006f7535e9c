"""A Trino whose gateway is gone. No test of this module may start a policy service."""

import pytest

from data_trusts.engines import EngineError, TrinoEngine
from data_trusts.trino_access import Statements
from infra.local.trino import TrinoServer
from tests.integration.data_trusts.conftest import wait_for


@pytest.mark.parametrize("sql", ["SELECT 1", "SHOW CATALOGS", 'SELECT count(*) FROM "trade"."customs_rows"'])
def test_without_a_policy_service_nothing_is_allowed(trino_server: TrinoServer, sql: str) -> None:
    engine = TrinoEngine(port=trino_server.port, statements=Statements())
    wait_for("Trino", engine.ready, trino_server.process)
    with pytest.raises(EngineError, match=r"(?i)policy|opa"):
        engine.run(sql, 30)
