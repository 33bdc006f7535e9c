"""`python -m data_trusts.gateway`: settings from the environment, its own certificate, then HTTPS until SIGTERM."""

import asyncio
import logging
import os
import ssl
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn

from commonweal.kinds.member import Engine as EngineName
from commonweal.public_reports import audit_origin
from data_trusts import trino_access
from data_trusts.audit import AuditError, AuditLog
from data_trusts.catalog import CatalogError, Warehouse
from data_trusts.cosigners import Cosigner, CosignerError, Cosigners, read_cosigners
from data_trusts.engines import DuckDbEngine, Engine, TrinoEngine
from data_trusts.gateway.app import Gateway
from data_trusts.gateway.certificates import TLS_SECRET, Identity, make_identity, serves
from data_trusts.gateway.cluster import Cluster, ClusterError
from data_trusts.gateway.policies import PolicyBook
from data_trusts.gateway.reports import Reporter
from data_trusts.gateway.rounds import RoundService
from data_trusts.gateway.service import QuestionService
from data_trusts.gateway.sources import ClusterSource, FolderSource, PolicySource
from data_trusts.gateway.upkeep import Upkeep
from data_trusts.lineage import Lineage
from data_trusts.ports import port
from data_trusts.privacy_ledger import PrivacyLedger, PrivacyLedgerError
from data_trusts.trino_access import PolicyServiceError, Statements

SERVICE_NAMES = ("gateway", "gateway.commonweal-data", "gateway.commonweal-data.svc", "localhost", "127.0.0.1")
SITE_CONFIG_MAP = "gateway-site"
_LOG = logging.getLogger("data_trusts.gateway")


class SettingsError(Exception):
    """A variable of the environment is missing or wrong; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment says."""

    member: str
    engine: EngineName
    data: Path
    url: str
    port: int
    trino_port: int
    trino_policy_port: int
    policy_folder: Path | None
    lineage: str | None
    upkeep_every_s: float
    witnesses: tuple[Cosigner, ...]

    @classmethod
    def read(cls, env: Mapping[str, str]) -> "Settings":
        """Read the variables that docs/data-trusts.md lists, all of which begin with COMMONWEAL_.

        Raises:
            SettingsError: the first variable that is missing or wrong.
        """
        member = env.get("COMMONWEAL_MEMBER")
        if not member:
            raise SettingsError("COMMONWEAL_MEMBER is not set; set it to the member's name, as in ca")
        try:
            engine = EngineName(env.get("COMMONWEAL_ENGINE", "duckdb"))
        except ValueError:
            raise SettingsError(f"COMMONWEAL_ENGINE is {env['COMMONWEAL_ENGINE']}; set it to trino or duckdb") from None
        port = _port(env, "COMMONWEAL_GATEWAY_PORT", 8443)
        url = env.get("COMMONWEAL_GATEWAY_URL", f"https://127.0.0.1:{port}")
        if urlsplit(url).scheme != "https" or not urlsplit(url).hostname:
            raise SettingsError(f"COMMONWEAL_GATEWAY_URL is {url}; set it to https://HOST:PORT as other members see it")
        folder = env.get("COMMONWEAL_POLICY_DIR")
        return cls(
            member=member,
            engine=engine,
            data=Path(env.get("COMMONWEAL_DATA", "/var/lib/commonweal-data")),
            url=url,
            port=port,
            trino_port=_port(env, "COMMONWEAL_TRINO_PORT", 8080),
            trino_policy_port=_port(env, "COMMONWEAL_TRINO_POLICY_PORT", 8181),
            policy_folder=Path(folder) if folder else None,
            lineage=env.get("COMMONWEAL_OPENLINEAGE") or None,
            upkeep_every_s=_seconds(env, "COMMONWEAL_UPKEEP_EVERY_S", 3600.0),
            witnesses=_witnesses(env),
        )


def _witnesses(env: Mapping[str, str]) -> tuple[Cosigner, ...]:
    try:
        return read_cosigners(env.get("COMMONWEAL_WITNESSES", ""))
    except CosignerError as error:
        raise SettingsError(f"COMMONWEAL_WITNESSES: {error}") from None


def _port(env: Mapping[str, str], name: str, default: int) -> int:
    value = env.get(name, str(default))
    try:
        return port(value)
    except ValueError:
        raise SettingsError(f"{name} is {value}; set it to a port number") from None


def _seconds(env: Mapping[str, str], name: str, default: float) -> float:
    try:
        seconds = float(env.get(name, default))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise SettingsError(f"{name} is {env[name]}; set it to a number of seconds above 0")
    return seconds


def now() -> datetime:
    """The one clock of the gateway."""
    return datetime.now(UTC)


async def keep_identity(settings: Settings, hosts: list[str], cluster: Cluster) -> Identity:
    """The identity kept in the Secret, made anew where it no longer serves; its public half is published."""
    kept = await cluster.read_secret(TLS_SECRET) or {}
    identity = Identity(key_pem=kept.get("tls.key", ""), certificate_pem=kept.get("tls.crt", ""))
    if not serves(identity, hosts, now()):
        identity = make_identity(settings.member, hosts, now())
        await cluster.apply_secret(TLS_SECRET, {"tls.key": identity.key_pem, "tls.crt": identity.certificate_pem})
    public = {"certificate.pem": identity.certificate_pem, "url": settings.url, "engine": settings.engine.value}
    await cluster.apply_config_map(SITE_CONFIG_MAP, public)
    return identity


def _folder_identity(settings: Settings, hosts: list[str]) -> Identity:
    key, certificate = settings.data / "tls" / "key.pem", settings.data / "tls" / "certificate.pem"
    if key.exists() and certificate.exists():
        identity = Identity(key_pem=key.read_text(), certificate_pem=certificate.read_text())
        if serves(identity, hosts, now()):
            return identity
    identity = make_identity(settings.member, hosts, now())
    key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key.touch(mode=0o600)
    key.write_text(identity.key_pem)
    certificate.write_text(identity.certificate_pem)
    return identity


async def _serve(settings: Settings) -> None:
    hosts = [str(urlsplit(settings.url).hostname), *SERVICE_NAMES]
    if settings.policy_folder is not None:
        identity = _folder_identity(settings, hosts)
        await _listen(settings, identity, FolderSource(settings.policy_folder, now))
        return
    cluster = Cluster.from_pod()
    try:
        identity = await keep_identity(settings, hosts, cluster)
        await _listen(settings, identity, ClusterSource(cluster, now))
    finally:
        await cluster.close()


async def _listen(settings: Settings, identity: Identity, source: PolicySource) -> None:
    warehouse = Warehouse(settings.data)
    book = PolicyBook(settings.member)
    origin = audit_origin(settings.member)
    with (
        _engine(settings, warehouse) as engine,
        AuditLog(settings.data / "audit" / "audit.jsonl", now(), origin) as audit,
        PrivacyLedger(settings.data / "privacy" / "ledger.db") as ledger,
        Lineage(settings.lineage) if settings.lineage else nullcontext() as lineage,
    ):
        service = QuestionService(
            member=settings.member,
            book=book,
            engine=engine,
            audit=audit,
            clock=now,
            lineage=lineage,
            complete=warehouse.complete,
        )
        rounds = RoundService(
            member=settings.member,
            book=book,
            engine=engine,
            audit=audit,
            ledger=ledger,
            identity=identity,
            clock=now,
        )
        upkeep = Upkeep(
            member=settings.member,
            book=book,
            warehouse=warehouse,
            audit=audit,
            identity=identity,
            clock=now,
            every_s=settings.upkeep_every_s,
        )
        cosigners = Cosigners(audit.folder, audit.verifier, settings.witnesses, now)
        gateway = Gateway(
            service=service,
            rounds=rounds,
            book=book,
            source=source,
            engine=engine,
            audit=audit,
            cosigners=cosigners,
            reporter=Reporter(member=settings.member, audit=audit, cosigners=cosigners, identity=identity, clock=now),
            clock=now,
            upkeep=upkeep,
        )
        _LOG.info("gateway of %s on port %d, engine %s", settings.member, settings.port, settings.engine)
        await uvicorn.Server(_server_config(gateway, identity, settings.port)).serve()
    warehouse.close()


@contextmanager
def _engine(settings: Settings, warehouse: Warehouse) -> Iterator[Engine]:
    if settings.engine is EngineName.DUCKDB:
        yield DuckDbEngine(warehouse)
        return
    statements = Statements()
    with trino_access.serving(statements, settings.trino_policy_port):
        yield TrinoEngine(statements=statements, port=settings.trino_port)


def _server_config(gateway: Gateway, identity: Identity, port: int) -> uvicorn.Config:
    """The server's settings with the key already read: TLS takes it from a file only, which is gone again here."""
    with tempfile.TemporaryDirectory() as folder:
        pem = Path(folder) / "identity.pem"
        pem.touch(mode=0o600)
        pem.write_text(identity.key_pem + identity.certificate_pem)
        config = uvicorn.Config(
            gateway.app(),
            host="0.0.0.0",  # noqa: S104 -- pods of other members ask from outside
            port=port,
            ssl_certfile=pem,
            ssl_version=ssl.PROTOCOL_TLS_SERVER,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=15,
        )
        config.load()
    return config


def main() -> int:
    """Run until a signal; 2 where the settings are wrong, 1 where the gateway cannot start."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns in the asker's own words, which belong in the audit
    try:
        asyncio.run(_serve(Settings.read(os.environ)))
    except SettingsError as error:
        _LOG.error("%s", error)
        return 2
    except (AuditError, CatalogError, ClusterError, PolicyServiceError, PrivacyLedgerError, OSError) as error:
        _LOG.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
