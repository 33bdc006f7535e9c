"""Grants from a terminal: the name of what is approved, a trustee's yes, and ODRL in and out."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from commonweal import odrl
from commonweal.agreements import Agreement, Deed, GrantState, agreement_of, grant_state
from commonweal.kinds.data_grant import DataGrant, GrantPhase
from commonweal.kinds.data_trust import DataTrust
from commonweal.kinds.pilot_app import PilotApp
from commonweal.odrl import PolicyType
from operators.cli.contracts import manifest
from operators.cli.terminal import CommandError, out, plain_errors, speak
from operators.kube import Json, Kube, NotFound, custom

app = typer.Typer(help="What trustees and beneficiaries agree on.", no_args_is_help=True)
GRANTS, TRUSTS, PILOT_APPS = custom(DataGrant), custom(DataTrust), custom(PilotApp)
Grant = Annotated[str, typer.Argument(metavar="GRANT", help="The DataGrant's name.")]


@app.command("hash")
def hash_(
    grant: Annotated[Path, typer.Argument(metavar="FILE", help="A manifest of a DataGrant.")],
    trust: Annotated[Path, typer.Option("--trust", help="A manifest of its DataTrust.")],
) -> None:
    """Print the name of the agreement that a request would become, for approvals in a manifest."""
    with plain_errors():
        asked, of = DataGrant.read(manifest(grant, DataGrant)), DataTrust.read(manifest(trust, DataTrust))
        unknown = sorted(set(asked.spec.datasets) - {dataset.name for dataset in of.spec.datasets})
        if unknown:
            raise CommandError(
                f"spec.datasets: {of.metadata.name} has no dataset {', '.join(unknown)}; correct the grant"
            )
    typer.echo(agreement_of(asked, Deed(of)).sha256)


@app.command()
def approve(
    context: typer.Context,
    name: Grant,
    member: Annotated[str, typer.Option("--as", metavar="MEMBER", help="The trustee whose identity you hold.")],
    offer: Annotated[
        str | None, typer.Option("--offer", metavar="TRUSTEE", help="Approve this trustee's offer.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be approved and change nothing.")] = False,
) -> None:
    """Approve what a grant asks for, or an offer in answer to it: exactly the text that is printed."""

    async def work(kube: Kube) -> str:
        grant = DataGrant.read(await kube.get(GRANTS, name))
        agreed, words = _approvable(grant, offer)
        if not dry_run:
            body: Json = {"apiVersion": GRANTS.api_version, "kind": GRANTS.kind, "metadata": {"name": name}}
            body["spec"] = {"approvals": [{"trustee": member, "agreement": agreed}]}
            # Each trustee's entry has an owner of its own, so that no approval overwrites another.
            await kube.apply(GRANTS, body, field_manager=f"commonweal-trustee-{member}")
        return f"{agreed} as {member}: {words}"

    said = speak(context.obj, work)
    out.print(f"{'would approve' if dry_run else 'approved'} {said}", soft_wrap=True, highlight=False, markup=False)


def _approvable(grant: DataGrant, trustee: str | None) -> tuple[str, str]:
    """The hash that the hub shows, and what it stands for."""
    status, spec = grant.status, grant.spec
    offer = next((each for each in spec.offers if each.trustee == trustee), None)
    shown = next((each for each in (status.offers if status else ()) if each.trustee == trustee), None)
    agreed = shown.sha256 if shown else status.agreement.sha256 if status and status.agreement and not trustee else None
    if agreed is None or (offer is None) != (trustee is None):
        why = shown.problem if shown and shown.problem else "the hub shows no agreement for it"
        what = f"the offer of {trustee}" if trustee else "the request"
        raise CommandError(f"{grant.metadata.name}: {what} cannot be approved: {why}; look again later")
    datasets, expires_at = (spec.datasets, spec.expires_at) if offer is None else (offer.datasets, offer.expires_at)
    words = f"{spec.beneficiary.pilot_app} may ask {', '.join(datasets)} of {spec.trust} for {spec.purpose}"
    return agreed, f"{words} until {expires_at.isoformat()}"


@app.command("export")
def export_(
    context: typer.Context,
    name: Grant,
    offer: Annotated[
        str | None, typer.Option("--offer", metavar="TRUSTEE", help="This trustee's offer instead.")
    ] = None,
) -> None:
    """Print a grant as ODRL: an Agreement where it is in force, else a Request, or an Offer."""

    async def work(kube: Kube) -> tuple[DataGrant, DataTrust, str | None]:
        grant = DataGrant.read(await kube.get(GRANTS, name))
        trust = DataTrust.read(await kube.get(TRUSTS, grant.spec.trust))
        return grant, trust, await _sponsor(kube, grant)

    grant, trust, sponsor = speak(context.obj, work)
    with plain_errors():
        kind, agreement = _exported(grant, grant_state(grant, trust, datetime.now(UTC), sponsor), offer)
        typer.echo(json.dumps(odrl.export(grant, agreement, kind), indent=2, ensure_ascii=False))


async def _sponsor(kube: Kube, grant: DataGrant) -> str | None:
    """Who stands behind the beneficiary and so has no vote; None while there is no such application."""
    try:
        return PilotApp.read(await kube.get(PILOT_APPS, grant.spec.beneficiary.pilot_app)).spec.sponsor
    except NotFound:
        return None


def _exported(grant: DataGrant, state: GrantState, trustee: str | None) -> tuple[PolicyType, Agreement]:
    """What is exported, and as what: only the hub says that an agreement is in force."""
    name, status = grant.metadata.name, grant.status
    if trustee is not None:
        offered = next((each for each in state.offers if each.trustee == trustee), None)
        if offered is None or offered.agreement is None:
            why = offered.problem if offered else "it made none"
            raise CommandError(f"--offer {trustee}: cannot be exported from {name}: {why}; name another trustee")
        return PolicyType.OFFER, offered.agreement
    if state.agreement is None:
        raise CommandError(f"{name}: has no text that could be agreed on: {state.message}")
    if status is None or status.state is not GrantPhase.FINALIZED or status.agreement is None:
        return PolicyType.REQUEST, state.agreement
    if status.agreement.sha256 != state.agreement.sha256:
        raise CommandError(f"{name}: is just changing; look again later")
    return PolicyType.AGREEMENT, state.agreement


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(metavar="POLICY", help="An ODRL Request, Offer or Agreement, as JSON-LD.")],
    name: Annotated[
        str | None, typer.Option("--name", help="The DataGrant's name, where the document gives none.")
    ] = None,
) -> None:
    """Print the DataGrant that a policy asks for, without approvals; what is not understood is refused by name."""
    with plain_errors():
        grant = odrl.read(_json(path), name)
    spec = grant.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
    body = {
        "apiVersion": grant.api_version,
        "kind": grant.kind,
        "metadata": {"name": grant.metadata.name},
        "spec": spec,
    }
    typer.echo(yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=120), nl=False)


def _json(path: Path) -> Any:  # noqa: ANN401 - any JSON; the reader refuses what is no policy
    if not path.is_file():
        raise CommandError(f"{path} does not exist; name a file")
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise CommandError(f"{path}: is no JSON ({error}); correct it") from None
