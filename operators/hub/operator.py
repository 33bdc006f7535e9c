"""Puts the hub operator together: one store, every controller, the books and the front door."""

from typing import Any

from aiohttp import web

from operators.frame import Controller, Operator, Settings, Store
from operators.frame.leader import Lease
from operators.hub.books import Books
from operators.hub.claims import ClaimController
from operators.hub.consortium import ConsortiumController
from operators.hub.emergencies import EmergencyController
from operators.hub.front_door import FrontDoor, FrontDoorController
from operators.hub.grants import GrantController
from operators.hub.join import JoinController
from operators.hub.member import MemberController
from operators.hub.periods import PeriodController, StatementController
from operators.hub.pilots import PilotController
from operators.hub.pledges import PledgeController
from operators.hub.published_log import PublishedLog
from operators.hub.readings import ReadingController
from operators.hub.resources import SYSTEM_NAMESPACE
from operators.hub.settings import HubSettings
from operators.hub.trusts import TrustController
from operators.hub.uses import UseController
from operators.kube import Kube

LEASE = "hub-operator"


def controllers(store: Store, books: Books, front: FrontDoor) -> tuple[Controller[Any], ...]:
    """Every controller of the hub, over one store."""
    return (
        ConsortiumController(),
        JoinController(store),
        MemberController(store),
        PledgeController(store, books),
        TrustController(store),
        GrantController(store),
        EmergencyController(store),
        PilotController(store, books, front),
        ReadingController(store, books),
        UseController(store, books),
        ClaimController(store, books),
        PeriodController(store, books),
        StatementController(books),
        FrontDoorController(front),
    )


async def connect(settings: HubSettings) -> Kube:
    """The hub's API server, by kubeconfig or from inside the cluster."""
    return await (Kube.from_kubeconfig(settings.kubeconfig) if settings.kubeconfig else Kube.in_cluster())


def front_door(settings: HubSettings) -> FrontDoor:
    """The front door, with a file from which haproxy can start."""
    front = FrontDoor(
        folder=settings.state_dir / "frontdoor",
        host=settings.front_door_host,
        bind=settings.front_door_bind,
        first_port=settings.front_door_first_port,
        certificate=settings.front_door_certificate,
    )
    if not front.configuration.exists():
        front.write(front.empty())
    return front


def doorkeeper(settings: HubSettings, kube: Kube) -> Operator:
    """What stands beside each haproxy of a front door: it reads PilotApps, writes the file and leads nobody."""
    run = Settings(health_host=settings.health_host, health_port=settings.health_port)
    return Operator((FrontDoorController(front_door(settings)),), kube, run)


def assemble(
    settings: HubSettings, kube: Kube, lease_kube: Kube, books: Books, routes: tuple[web.RouteDef, ...] = ()
) -> Operator:
    """The operator, not yet running; `routes` are what it serves beside its health."""
    front, store = front_door(settings), Store()
    lease = Lease(namespace=SYSTEM_NAMESPACE, name=LEASE, identity=settings.identity)
    run = Settings(lease=lease, health_host=settings.health_host, health_port=settings.health_port, routes=routes)
    return Operator(controllers(store, books, front), kube, run, lease_kube=lease_kube, store=store)


async def run(settings: HubSettings) -> None:
    """Run until told to stop.

    Raises:
        BooksError: --state-dir cannot hold the books, or what it has signed is not in them.
        OSError: the health port is in use.
    """
    if settings.front_door_only:
        async with await connect(settings) as kube:
            return await doorkeeper(settings, kube).run()
    books = Books.open(settings.state_dir)
    try:
        published = PublishedLog.open(books, settings.state_dir / "log", settings.log_origin)
        async with await connect(settings) as kube, await connect(settings) as lease_kube:
            operator = assemble(settings, kube, lease_kube, books, (published.route(),))
            await published.sign_beside(operator.run())
    finally:
        books.close()
