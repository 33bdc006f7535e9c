"""The catalog that a member's Trino is told of."""

from data_trusts.trino_config import TrinoPaths, render

CATALOG = "catalog/commonweal.properties"


def properties(database: str = "") -> dict[str, str]:
    lines = render(TrinoPaths(), database)[CATALOG].splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_without_a_database_it_is_sqlite_in_the_data_folder() -> None:
    told = properties()
    assert told["iceberg.jdbc-catalog.connection-url"] == "jdbc:sqlite:/var/lib/commonweal-data/catalog.db"
    assert "iceberg.jdbc-catalog.connection-user" not in told


def test_a_database_is_told_with_its_user_and_its_password_as_they_are() -> None:
    told = properties("postgresql://catalog:a%2Fb%3Dc@db.example:5433/iceberg")
    assert told["iceberg.jdbc-catalog.driver-class"] == "org.postgresql.Driver"
    assert told["iceberg.jdbc-catalog.connection-url"] == "jdbc:postgresql://db.example:5433/iceberg"
    assert told["iceberg.jdbc-catalog.connection-user"] == "catalog"
    assert told["iceberg.jdbc-catalog.connection-password"] == "a/b=c"
    assert told.keys() - properties().keys() == {
        "iceberg.jdbc-catalog.connection-user",
        "iceberg.jdbc-catalog.connection-password",
    }
