"""The server's files name the catalog that the gateway's variables name, and hold no secret of it."""

from pathlib import Path

import pytest

from data_trusts.trino_config import CatalogAddressError, TrinoPaths, main, render

SQL, URI = "COMMONWEAL_CATALOG_SQL", "COMMONWEAL_CATALOG_URI"


def lines(env: dict[str, str], form: str = "catalog") -> list[str]:
    return render(TrinoPaths(data="/data"), env)[f"{form}/commonweal.properties"].splitlines()


def test_without_a_variable_the_catalog_is_the_data_folders() -> None:
    assert "iceberg.jdbc-catalog.connection-url=jdbc:sqlite:/data/catalog.db" in lines({})


def test_a_database_takes_its_place_and_the_password_stays_in_the_environment() -> None:
    found = lines({SQL: "postgresql://a%40b:se%2Fcret@db.example/tables"})
    assert "iceberg.jdbc-catalog.connection-url=jdbc:postgresql://db.example/tables" in found
    assert "iceberg.jdbc-catalog.driver-class=org.postgresql.Driver" in found
    assert "iceberg.jdbc-catalog.connection-user=a@b" in found
    assert "iceberg.jdbc-catalog.connection-password=${ENV:PGPASSWORD}" in found
    assert not any("cret" in line or "sqlite" in line for line in found)


def test_a_database_and_a_bucket_go_together() -> None:
    found = lines({SQL: "postgresql://a@[::1]:5433/tables?sslmode=require"}, "catalog-s3")
    assert "iceberg.jdbc-catalog.connection-url=jdbc:postgresql://[::1]:5433/tables?sslmode=require" in found
    assert "iceberg.jdbc-catalog.default-warehouse-dir=${ENV:COMMONWEAL_WAREHOUSE}" in found
    assert not any("password" in line for line in found)


@pytest.mark.parametrize("address", ["mysql://a:b@c/d", "postgresql://host/db", "postgresql://a@host", "nonsense"])
def test_an_address_that_no_server_could_use_is_refused(address: str) -> None:
    with pytest.raises(CatalogAddressError, match=f"^{SQL}: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE$"):
        lines({SQL: address})


def test_a_rest_catalog_is_read_by_its_address_with_what_it_wants() -> None:
    plain = lines({URI: "https://catalog.example"})
    assert "iceberg.rest-catalog.uri=${ENV:COMMONWEAL_CATALOG_URI}" in plain
    assert not any("jdbc" in line or "security=OAUTH2" in line for line in plain)
    wanting = lines({URI: "x", "COMMONWEAL_CATALOG_TOKEN": "secret", "COMMONWEAL_CATALOG_WAREHOUSE": "w"})
    assert {
        "iceberg.rest-catalog.security=OAUTH2",
        "iceberg.rest-catalog.oauth2.token=${ENV:COMMONWEAL_CATALOG_TOKEN}",
        "iceberg.rest-catalog.warehouse=${ENV:COMMONWEAL_CATALOG_WAREHOUSE}",
    } <= set(wanting)


def test_every_form_lets_the_server_only_read() -> None:
    for env in ({}, {SQL: "postgresql://a@b/c"}, {URI: "x"}):
        assert "iceberg.security=READ_ONLY" in lines(env)


@pytest.mark.parametrize("env", [{}, {SQL: "postgresql://a@b/c", URI: "x"}])
def test_a_catalog_of_ones_own_is_named_once(
    env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in (SQL, URI):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in env.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr("sys.argv", ["trino_config", "--own-catalog", f"--out={tmp_path / 'etc'}"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert f"--own-catalog: set {URI} or {SQL}, one of them; else leave it out" in capsys.readouterr().err
    assert not (tmp_path / "etc").exists()
