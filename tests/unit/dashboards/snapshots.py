"""Builds what the dashboard has read, from objects."""

from typing import TypeVar

from commonweal.kinds.consortium import Consortium
from commonweal.kinds.contribution import Contribution
from commonweal.kinds.data_grant import DataGrant
from commonweal.kinds.data_trust import DataTrust
from commonweal.kinds.emergency_access import EmergencyAccess
from commonweal.kinds.equity_statement import EquityStatement
from commonweal.kinds.member import Member
from commonweal.kinds.meta import Resource
from commonweal.kinds.pilot_app import PilotApp
from commonweal.kinds.pooled_cluster import PooledCluster
from dashboards.hub import Snapshot
from tests.unit.dashboards.objects import NOON, Body, consortium

R = TypeVar("R", bound=Resource)


def snapshot(unreadable: tuple[str, ...] = (), **changed: list[Body]) -> Snapshot:
    """Return a healthy consortium, with the kinds in `changed` (by plural name) replaced."""
    objects = {**consortium(periods=3), **changed}
    return Snapshot(
        taken_at=NOON,
        consortiums=_read(Consortium, objects["consortiums"]),
        members=_read(Member, objects["members"]),
        pledges=_read(PooledCluster, objects["pooledclusters"]),
        trusts=_read(DataTrust, objects["datatrusts"]),
        grants=_read(DataGrant, objects["datagrants"]),
        emergencies=_read(EmergencyAccess, objects["emergencyaccesses"]),
        pilots=_read(PilotApp, objects["pilotapps"]),
        statements=_read(EquityStatement, objects["equitystatements"]),
        contributions=_read(Contribution, objects["contributions"]),
        unreadable=unreadable,
    )


def _read(kind: type[R], bodies: list[Body]) -> tuple[R, ...]:
    return tuple(kind.read(one) for one in bodies)
