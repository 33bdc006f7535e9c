"""What may speak to what in the hub's own namespace: nothing, but for these openings.

Members' agents speak to the hub's API server and to no pod, so no opening is for them. `tests/unit/sites` keeps the
readable form as a golden file.
"""

from infra.sites.hub.args import HubSiteArgs
from infra.sites.hub.workloads import DASHBOARD, DASHBOARD_PORT, FRONT_DOOR, OPERATOR
from infra.sites.network import API_SERVERS, NODE_PORTS, Opening, to_names
from infra.sites.rbac import SYSTEM


def openings(args: HubSiteArgs) -> tuple[Opening, ...]:
    """Every opening of a hub."""
    return (
        *(
            Opening(
                name=f"{pods}-to-api-server",
                why=why,
                namespace=SYSTEM,
                pods=pods,
                ports=API_SERVERS,
            )
            for pods, why in (
                (OPERATOR, "all that it knows and does is there"),
                (FRONT_DOOR, "it learns from PilotApps where pilots run"),
                (DASHBOARD, "it reads, and shows what it read"),
            )
        ),
        *(
            to_names(f"{pods}-to-names", "an API server or a pilot may be given by name", SYSTEM, pods)
            for pods in (OPERATOR, FRONT_DOOR, DASHBOARD)
        ),
        Opening(
            name="front-door-from-anybody",
            why="pilots are for the public; the port below the doors says whether it is up",
            namespace=SYSTEM,
            pods=FRONT_DOOR,
            incoming=True,
            ports=((args.status_port, args.last_port),),
        ),
        Opening(
            name="front-door-to-pilots",
            why="pilots answer on node ports of members",
            namespace=SYSTEM,
            pods=FRONT_DOOR,
            ports=(NODE_PORTS,),
        ),
        Opening(
            name="dashboard-from-anybody",
            why="whoever the hub's own gateway lets in may look",
            namespace=SYSTEM,
            pods=DASHBOARD,
            incoming=True,
            ports=((DASHBOARD_PORT, DASHBOARD_PORT),),
        ),
        Opening(
            name="dashboard-to-gateways",
            why="members' gateways tell everyone how often they were asked, on node ports",
            namespace=SYSTEM,
            pods=DASHBOARD,
            ports=(NODE_PORTS,),
        ),
        Opening(
            name="dashboard-to-pilots",
            why="it asks pilots under the address that is announced, which may lead through a load balancer",
            namespace=SYSTEM,
            pods=DASHBOARD,
            ports=((args.front_door_first_port, args.last_port),),
        ),
    )
