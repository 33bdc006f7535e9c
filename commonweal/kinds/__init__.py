"""Every custom resource as a pydantic model, one file a kind; the CRDs are rendered from them."""

from commonweal.kinds.assignment import Assignment
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

KINDS: tuple[type[Resource], ...] = (
    Consortium,
    Member,
    PooledCluster,
    DataTrust,
    DataGrant,
    PilotApp,
    Assignment,
    EquityStatement,
    Contribution,
    EmergencyAccess,
)

__all__ = [
    "KINDS",
    "Assignment",
    "Consortium",
    "Contribution",
    "DataGrant",
    "DataTrust",
    "EmergencyAccess",
    "EquityStatement",
    "Member",
    "PilotApp",
    "PooledCluster",
    "Resource",
]
