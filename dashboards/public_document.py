"""What everyone may know of the data trusts, as one document: `/public.json`, with its schema at `/public.schema.json`.

Pure. It is made of what the hub shows and of what gateways told; the page shows the same. Hidden columns, row rules,
questions and people are in neither.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from commonweal.checkpoints import NoteError, Verifier, cosigned_at, read_checkpoint, read_vkey
from commonweal.kinds.data_grant import DataGrant
from commonweal.kinds.data_trust import ColumnRole, Dataset, DataTrust
from commonweal.kinds.emergency_access import EmergencyAccess
from commonweal.kinds.member import Member
from commonweal.kinds.meta import ConditionStatus, Model
from commonweal.public_reports import Report, Use, Witnessed, audit_origin
from dashboards.gateways import Reports
from dashboards.hub import Snapshot
from dashboards.views.readiness import readiness

Words = tuple[str, ...]


class PublicColumn(Model):
    """A column that questions may use."""

    name: str
    type: str
    role: Literal["dimension", "measure"]
    unit: str | None
    description: str | None


class PublicDataset(Model):
    """A table of a trust; `sources` are the members where its rows lie and stay."""

    name: str
    description: str
    licence: str
    synthetic: bool
    sources: Words
    minimum_group_size: int
    federated: bool
    """Whether all sources answer together, without showing their parts."""
    columns: tuple[PublicColumn, ...]


class PublicTrust(Model):
    """A trust's deed."""

    name: str
    title: str
    trustees: Words
    quorum: int
    purposes: Words
    emergency_hours: int
    """The most hours of an emergency access; 0 is none."""
    state: str | None
    datasets: tuple[PublicDataset, ...]


class PublicGrant(Model):
    """Who may ask what for which purpose, or may not yet, or not any more, as `state` says."""

    name: str
    trust: str
    beneficiary: str
    purpose: str
    datasets: Words
    state: str | None
    live: bool
    expires_at: AwareDatetime
    approved_by: Words


class PublicEmergency(Model):
    """What two trustees opened beyond the grants."""

    name: str
    trust: str
    beneficiary: str
    purpose: str
    datasets: Words
    reason: str
    state: str | None
    open: bool
    created_at: AwareDatetime | None
    ends_at: AwareDatetime | None
    opened_by: Words
    review: str | None
    reviews: Words


class PublicUse(Use):
    """Questions that ended in one hour at one member; null is at least one and fewer than the member's minimum."""

    member: str
    minimum_count: int


class PublicWitness(Model):
    """What a witness cosigned of a log; null where its cosignature does not hold."""

    name: str
    vkey: str
    size: int | None
    cosigned_at: AwareDatetime | None
    note: str


class PublicLog(Model):
    """A member's audit log as it signed it; null and a `problem` where that cannot be believed."""

    member: str
    gateway_url: str | None
    """Where the log's tiles are, below `/v1/audit`; it shows `gatewayCertificatePem`."""
    gateway_certificate_pem: str | None
    vkey: str | None
    checkpoint: str | None
    size: int | None
    root_sha256: str | None
    witnesses: tuple[PublicWitness, ...]
    problem: str | None


class PublicDocument(Model):
    """Everything that anyone may know of the consortium's data trusts."""

    version: Literal["commonweal-public-v1"] = "commonweal-public-v1"
    as_of: AwareDatetime
    trusts: tuple[PublicTrust, ...]
    grants: tuple[PublicGrant, ...]
    emergencies: tuple[PublicEmergency, ...]
    uses: tuple[PublicUse, ...]
    logs: tuple[PublicLog, ...]
    unreadable: Annotated[Words, Field(description="Objects that this version cannot read; they are not above.")]


def document(snapshot: Snapshot, reports: Reports) -> PublicDocument:
    """Put together what the hub holds and what gateways told."""
    by_member = sorted(reports.told.items())
    return PublicDocument(
        as_of=snapshot.taken_at,
        trusts=tuple(_trust(trust) for trust in snapshot.trusts),
        grants=tuple(_grant(grant) for grant in snapshot.grants),
        emergencies=tuple(_emergency(access) for access in snapshot.emergencies),
        uses=tuple(
            PublicUse(**dict(use), member=member, minimum_count=report.minimum_count)
            for member, report in by_member
            for use in report.uses
        ),
        logs=tuple(
            _log(member, reports)
            for member in sorted(snapshot.members, key=lambda each: each.metadata.name)
            if member.metadata.name in {*reports.told, *reports.silent}
        ),
        unreadable=tuple(
            one for kind in (DataTrust, DataGrant, EmergencyAccess) for one in snapshot.unreadable_of(kind)
        ),
    )


def _trust(trust: DataTrust) -> PublicTrust:
    spec = trust.spec
    return PublicTrust(
        name=trust.metadata.name,
        title=spec.title,
        trustees=spec.trustees,
        quorum=spec.quorum,
        purposes=tuple(spec.purposes),
        emergency_hours=spec.emergency_hours or 0,
        state=readiness(trust).reason,
        datasets=tuple(_dataset(each) for each in spec.datasets),
    )


def _dataset(dataset: Dataset) -> PublicDataset:
    return PublicDataset(
        name=dataset.name,
        description=dataset.description,
        licence=dataset.licence,
        synthetic=dataset.synthetic,
        sources=dataset.sources,
        minimum_group_size=dataset.minimum_group_size,
        federated=dataset.federation is not None,
        columns=tuple(
            PublicColumn(
                name=column.name,
                type=column.type,
                role="measure" if column.role is ColumnRole.MEASURE else "dimension",
                unit=column.unit,
                description=column.description,
            )
            for column in dataset.columns
            if column.role is not ColumnRole.HIDDEN
        ),
    )


def _grant(grant: DataGrant) -> PublicGrant:
    spec, ready = grant.spec, readiness(grant)
    return PublicGrant(
        name=grant.metadata.name,
        trust=spec.trust,
        beneficiary=spec.beneficiary.pilot_app,
        purpose=spec.purpose,
        datasets=spec.datasets,
        state=ready.reason,
        live=ready.status is ConditionStatus.TRUE,
        expires_at=spec.expires_at,
        approved_by=tuple(each.trustee for each in spec.approvals),
    )


def _emergency(access: EmergencyAccess) -> PublicEmergency:
    spec, ready, created = access.spec, readiness(access), access.metadata.creation_timestamp
    return PublicEmergency(
        name=access.metadata.name,
        trust=spec.trust,
        beneficiary=spec.beneficiary.pilot_app,
        purpose=spec.purpose,
        datasets=spec.datasets,
        reason=spec.reason,
        state=ready.reason,
        open=ready.status is ConditionStatus.TRUE,
        created_at=created,
        ends_at=None if created is None else created + timedelta(hours=spec.hours),
        opened_by=tuple(each.trustee for each in spec.openings),
        review=readiness(access, "ReviewDue").reason,
        reviews=tuple(f"{each.trustee}: {each.finding}, {each.words}" for each in spec.reviews),
    )


def _log(member: Member, reports: Reports) -> PublicLog:
    name, site = member.metadata.name, member.status.site if member.status else None
    log = PublicLog(
        member=name,
        gateway_url=site.gateway_url if site else None,
        gateway_certificate_pem=site.gateway_certificate_pem if site else None,
        vkey=None,
        checkpoint=None,
        size=None,
        root_sha256=None,
        witnesses=(),
        problem=reports.silent.get(name),
    )
    report = reports.told.get(name)
    return log if report is None else log.model_copy(update=_believed(name, report))


def _believed(member: str, report: Report) -> dict[str, object]:
    """What a report shows of a member's log, or why it cannot be believed."""
    try:
        log = read_vkey(report.vkey)
        if log.name != audit_origin(member):
            return {"problem": f"its key is that of the log {log.name}"}
        signed = read_checkpoint(report.checkpoint, log)
    except NoteError as error:
        return {"problem": str(error)}
    return {
        "vkey": report.vkey,
        "checkpoint": report.checkpoint,
        "size": signed.size,
        "root_sha256": signed.root.hex(),
        "witnesses": tuple(_witness(each, log) for each in report.witnesses),
    }


def _witness(each: Witnessed, log: Verifier) -> PublicWitness:
    size, at = _cosigned(each, log)
    return PublicWitness(name=each.vkey.partition("+")[0], vkey=each.vkey, size=size, cosigned_at=at, note=each.note)


def _cosigned(each: Witnessed, log: Verifier) -> tuple[int, datetime] | tuple[None, None]:
    """How much of the log a witness cosigned, and when; unknown where its cosignature does not hold."""
    try:
        at = datetime.fromtimestamp(cosigned_at(each.note, read_vkey(each.vkey)), UTC)
        return read_checkpoint(each.note, log).size, at
    except (NoteError, ValueError, OverflowError, OSError):
        return None, None
