"""The command `commonweal`. Each command reads its arguments, calls one function elsewhere and prints what it says."""

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.live import Live

from commonweal.apel import Site
from commonweal.division import talmud
from commonweal.kinds.member import Scheduling
from commonweal.kinds.render import crds as rendered_crds
from commonweal.ledger import INSTANT
from commonweal.membership import SYSTEM_NAMESPACE, Invitation, MembershipError
from commonweal.receipts import Side, Terms
from operators.agent.credentials import INVITATION_KEY, INVITATION_SECRET
from operators.cli import (
    apel,
    carbon,
    contracts,
    division,
    equity,
    exports,
    grants,
    invitations,
    journal,
    members,
    overview,
    receipts,
    recompute,
)
from operators.cli.terminal import CommandError, Target, err, out, plain_errors, speak
from operators.hub.setup import apply_all, manifests
from operators.kube import SECRETS, Json, Kube

WATCH_EVERY_S = 2.0
RENDERED = "# Rendered from commonweal/kinds by `commonweal crds render`; edit the model, not this file.\n"

app = typer.Typer(
    name="commonweal",
    help="The consortium from a terminal: what it is, who is in it, and why something is not ready.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
equity_app = typer.Typer(help="Shares, recomputed.", no_args_is_help=True)
ledger_app = typer.Typer(help="The books, added up again.", no_args_is_help=True)
receipt_app = typer.Typer(help="What one side claims and the other signs for.", no_args_is_help=True)
crds_app = typer.Typer(help="The custom resources.", no_args_is_help=True)
app.add_typer(equity_app, name="equity")
app.add_typer(ledger_app, name="ledger")
app.add_typer(receipt_app, name="receipt")
app.add_typer(crds_app, name="crds")
app.add_typer(contracts.app, name="contract")
app.add_typer(grants.app, name="grant")

Name = Annotated[str, typer.Argument(help="The member's name, as ca.", metavar="NAME")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen and change nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def main(
    context: typer.Context,
    kubeconfig: Annotated[
        Path | None, typer.Option("--kubeconfig", envvar="KUBECONFIG", help="The kubeconfig of the hub.")
    ] = None,
    kube_context: Annotated[str | None, typer.Option("--context", help="A context of the kubeconfig.")] = None,
) -> None:
    """The consortium from a terminal."""
    path = kubeconfig or Path.home() / ".kube" / "config"
    # KUBECONFIG may name several files; kubectl merges them, this command takes the first.
    context.obj = Target(kubeconfig=Path(str(path).split(os.pathsep)[0]), context=kube_context)


@app.command()
def status(
    context: typer.Context,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh until Ctrl-C.")] = False,
) -> None:
    """Members, pledges, trusts, grants, apps and shares on one screen, and why something is not ready."""
    if as_json:
        found = speak(context.obj, overview.gather)
        typer.echo(json.dumps([row.plain() for row in found], indent=2))
    elif watch:
        speak(context.obj, _refresh)
    else:
        out.print(overview.screen(speak(context.obj, overview.gather)))


async def _refresh(kube: Kube) -> None:
    with Live(console=out, screen=True, auto_refresh=False) as live:
        while True:
            live.update(overview.screen(await overview.gather(kube)), refresh=True)
            await asyncio.sleep(WATCH_EVERY_S)


@app.command()
def invite(  # noqa: PLR0917 - typer makes an option of each
    context: typer.Context,
    name: Name,
    file: Annotated[Path, typer.Option("--out", help="Where to write the invitation; it is a secret.")],
    valid_minutes: Annotated[int, typer.Option("--valid-minutes", min=10, max=60)] = 60,
    server: Annotated[str | None, typer.Option("--server", help="The hub's address as the member reaches it.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Mint an invitation for one name: an account, a token and a nonce that serve once."""

    async def work(kube: Kube) -> Invitation | None:
        now = datetime.now(UTC)
        hub = await invitations.hub_address(kube, server)
        agreed = await invitations.terms(kube, name, hub, now, valid_minutes * 60)
        return None if dry_run else await invitations.mint(kube, agreed, now)

    with plain_errors():
        _refuse_bad_name(name)
        _refuse_unwritable(file)
    invitation = speak(context.obj, work)
    if invitation is None:
        out.print(f"would mint an invitation for {name} and write it to {file}", soft_wrap=True)
        return
    with plain_errors():
        _write_secret(file, invitation.render())
    out.print(
        f"wrote {file}, valid until {invitation.expires_at:%Y-%m-%d %H:%M:%S} UTC; hand it to {name} over a channel "
        f"that both of you trust, then `commonweal accept {name}`",
        soft_wrap=True,
    )


def _refuse_bad_name(name: str) -> None:
    if not name.replace("-", "").isalnum() or name.lower() != name or not name.isascii() or len(name) > 20:
        raise CommandError(f"NAME: {name!r} is not a member's name; use at most 20 of a-z, 0-9 and -, as ca")


def _refuse_unwritable(file: Path) -> None:
    """Look before anything is minted, so that a failure leaves nothing half-done."""
    if not file.parent.is_dir():
        raise CommandError(f"--out: the folder {file.parent} does not exist; make it or name another")
    if file.exists():
        raise CommandError(f"--out: {file} exists; name another file, an invitation is never overwritten")


def _write_secret(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)


@app.command()
def accept(context: typer.Context, name: Name, dry_run: DryRun = False) -> None:
    """Accept a member: its certificate is signed and narrow rights are bound."""
    _decide(context, name, members.acceptance(name), dry_run=dry_run)


@app.command()
def revoke(context: typer.Context, name: Name, dry_run: DryRun = False) -> None:
    """Withdraw a member's acceptance: its rights on the hub go at once."""
    _decide(context, name, members.revocation(name), dry_run=dry_run)


@app.command()
def cordon(context: typer.Context, name: Name, dry_run: DryRun = False) -> None:
    """Place nothing new at a member; what runs there stays."""
    _decide(context, name, members.scheduling(name, Scheduling.CORDONED), dry_run=dry_run)


@app.command()
def uncordon(context: typer.Context, name: Name, dry_run: DryRun = False) -> None:
    """Let a member take new replicas again."""
    _decide(context, name, members.scheduling(name, Scheduling.ACTIVE), dry_run=dry_run)


@app.command()
def drain(context: typer.Context, name: Name, dry_run: DryRun = False) -> None:
    """Move everything that fits elsewhere away from a member, without interrupting it."""
    _decide(context, name, members.scheduling(name, Scheduling.DRAINING), dry_run=dry_run)


def _decide(context: typer.Context, name: str, decision: members.Decision, *, dry_run: bool) -> None:
    said = speak(context.obj, lambda kube: members.carry_out(kube, name, decision, dry_run=dry_run))
    out.print(said, soft_wrap=True, highlight=False)


@app.command()
def join(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The invitation file from the hub.", metavar="FILE")],
    apply: Annotated[
        bool, typer.Option("--apply", help="Put it into the member's cluster, which --kubeconfig names.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Check an invitation on the member's side, and say what will happen with it."""
    with plain_errors():
        invitation = _read_invitation(file, datetime.now(UTC))
    for line in _what_happens(invitation, file):
        out.print(line, soft_wrap=True, highlight=False)
    if apply and not dry_run:
        speak(context.obj, lambda kube: _hand_over(kube, invitation))
        out.print(f"put it into Secret {SYSTEM_NAMESPACE}/{INVITATION_SECRET}; the agent goes on by itself")


def _read_invitation(file: Path, now: datetime) -> Invitation:
    if not file.is_file():
        raise CommandError(f"{file} does not exist; name the invitation file that the hub handed out")
    try:
        invitation = Invitation.parse(file.read_bytes())
    except MembershipError as error:
        raise CommandError(f"{file}: {error}") from None
    if now >= invitation.expires_at:
        raise CommandError(f"{file}: expired at {invitation.expires_at.isoformat()}; ask the hub for a new one")
    return invitation


def _what_happens(invitation: Invitation, file: Path) -> list[str]:
    hours = invitation.certificate_seconds / 3600
    return [
        f"This invites {invitation.member} to the hub {invitation.hub.server}, "
        f"until {invitation.expires_at:%Y-%m-%d %H:%M:%S} UTC.",
        "With it the agent makes an identity that never leaves your cluster, introduces it to the hub, and asks for a "
        f"certificate of {hours:g} h, which it renews by itself.",
        "Nothing happens until the hub's administrator accepts. The hub gets no key of your cluster; the agent takes "
        "from it only Deployments, Services, ConfigMaps and ServiceAccounts for commonweal-apps, and policies.",
        f"Give it to the agent: commonweal --kubeconfig YOUR-CLUSTER join {file} --apply",
    ]


async def _hand_over(kube: Kube, invitation: Invitation) -> None:
    body: Json = {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": {"name": INVITATION_SECRET, "namespace": SYSTEM_NAMESPACE},
        "stringData": {INVITATION_KEY: invitation.render()},
    }
    await kube.apply(SECRETS, body, field_manager=invitations.FIELD_MANAGER)


@app.command("carbon")
def carbon_command(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="APP", help="A PilotApp.")],
    factors: Annotated[Path, typer.Option("--factors", help="CSV, a row a factor of a grid zone.")],
    watts: Annotated[int, typer.Option("--watts", min=1, help="What one replica draws, with its facility's overhead.")],
) -> None:
    """What an application emits where it runs, and the range that the greenest placement would save."""
    with plain_errors():
        known = carbon.read_factors(factors)
    case = speak(context.obj, lambda kube: carbon.read_case(kube, name))
    with plain_errors():
        table, sentence = carbon.report(case, known, watts)
    out.print(table)
    out.print(sentence, soft_wrap=True, highlight=False)


@equity_app.command("explain")
def equity_explain(
    context: typer.Context,
    member: Annotated[str, typer.Argument(metavar="MEMBER")],
    period: Annotated[
        str | None, typer.Option("--period", help="An EquityStatement's name; the latest if left out.")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="What if: energy_mj=0, or charter.cap_bp=2500.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute a member's share from the published amounts, every step of it; with --set also what would be if."""
    with plain_errors():
        fields = equity.parse_changes(changes or [])
    case = speak(context.obj, lambda kube: equity.read_case(kube, period))
    with plain_errors():
        computed = {"as published": equity.steps(case, member, {})}
        if fields:
            computed["what if"] = equity.steps(case, member, fields)
    if as_json:
        typer.echo(json.dumps({title: equity.plain(steps) for title, steps in computed.items()}, indent=2))
        return
    for title, steps in computed.items():
        out.print(equity.table(case, member, steps, title))
    if fields:
        shares = [steps[-1].result for steps in computed.values()]
        out.print(f"{member}: {shares[0]} bp as published, {shares[1]} bp with {', '.join(changes or [])}")


@equity_app.command("export")
def equity_export(
    books: Annotated[Path, typer.Option("--books", help="The hub's books.sqlite3; the hub may be running.")],
    file: Annotated[Path, typer.Option("--out", help="A new file.")],
    form: Annotated[exports.Format, typer.Option("--format", help="What to write.")] = exports.Format.PARQUET,
) -> None:
    """Write what the hub's books hold: for `equity recompute`, for `ledger balances`, or for an accountant's tool."""
    with plain_errors():
        count = exports.write(form, books, file)
    out.print(f"wrote {count} {exports.WHAT[form]} to {file}", soft_wrap=True)


@equity_app.command("recompute")
def equity_recompute(  # noqa: PLR0917 - typer makes an option of each
    context: typer.Context,
    files: Annotated[list[Path], typer.Option("--postings", help="Parquet, from `equity export`; may be repeated.")],
    statements: Annotated[
        Path | None,
        typer.Option("--statements", help="Output of `kubectl get equitystatements -o json`; else the hub."),
    ] = None,
    charters: Annotated[
        list[Path] | None, typer.Option("--charter", help="With --statements: a Consortium; once for each formula.")
    ] = None,
    since: Annotated[
        Path | None, typer.Option("--since", help="Go on from what an earlier run wrote by --out.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--out", help="Write where the run stands at its end.")] = None,
) -> None:
    """Recompute all shares from the postings; exit 1 where a published statement does not come out."""
    with plain_errors():
        position = recompute.position_in(since)
    if statements is None:
        bodies, formulas = speak(context.obj, recompute.from_hub)
    else:
        with plain_errors():
            bodies, formulas = recompute.from_files(statements, charters or ())
    with plain_errors():
        told = recompute.published(bodies, formulas, position.statement)
        position = recompute.recompute(files, told, position)
        if file is not None:
            _write_whole(file, position.record())
    for member, share_bp in position.shares_bp.items():
        out.print(f"{member} {share_bp} bp")
    out.print(
        f"{len(told.statements)} statements as published; {position.postings} postings to {position.statement}, "
        f"history {position.history_sha256}",
        soft_wrap=True,
        highlight=False,
    )


@equity_app.command("divide")
def equity_divide(
    estate: Annotated[int, typer.Argument(metavar="ESTATE", help="What there is, in whole units.")],
    claims: Annotated[list[str], typer.Option("--claim", help="Who claims how much, as ca=100; once for each.")],
) -> None:
    """Divide what is less than was claimed by the Talmud's rule, as when a leaving member's escrow is short."""
    with plain_errors():
        parts = talmud(estate, division.parse_claims(claims))
    for name, part in parts.items():
        out.print(f"{name} {part}")


@equity_app.command("worth")
def equity_worth(
    worths: Annotated[Path, typer.Argument(metavar="WORTHS", help="YAML: what each coalition is worth, as ca+ke: 30.")],
) -> None:
    """Say what each member adds on average over every order of joining, and whether any coalition would leave."""
    with plain_errors():
        table, temptation = division.worth_table(division.read_worths(worths))
    out.print(table)
    out.print(temptation)


@ledger_app.command("balances")
def ledger_balances(
    journals: Annotated[list[Path], typer.Argument(metavar="JOURNAL...", help="Events, one canonical record a line.")],
    as_json: AsJson = False,
) -> None:
    """Sum a journal's events into accounts; exit 1 at the first line that no book can take."""
    for path in journals:
        with plain_errors():
            found = journal.balances(path)
        if as_json:
            typer.echo(found.plain())
        else:
            out.print(found.table())


@ledger_app.command("export")
def ledger_export(
    books: Annotated[Path, typer.Option("--books", help="The hub's books.sqlite3; the hub may be running.")],
    folder: Annotated[Path, typer.Option("--to", metavar="WAREHOUSE", help="A folder: catalog.db and warehouse/.")],
) -> None:
    """Bring the Iceberg tables accounting.{readings,uses,postings,statements} up to the books; repeat at will."""
    with plain_errors():
        from operators.cli import warehouse  # noqa: PLC0415 - a second of imports that no other command needs

        added = warehouse.export(books, folder)
    for name, rows in added.items():
        out.print(f"accounting.{name}: {rows} rows added", soft_wrap=True, highlight=False)


@ledger_app.command("apel")
def ledger_apel(  # noqa: PLR0917 - typer makes an option of each
    books: Annotated[Path, typer.Option("--books", help="The hub's books.sqlite3; the hub may be running.")],
    member: Annotated[str, typer.Option("--member", help="Whose machines were used.")],
    month: Annotated[str, typer.Option("--month", help="As 2026-11, in UTC.")],
    site: Annotated[str, typer.Option("--site", help="Its name in grid accounting.")],
    submit_host: Annotated[str, typer.Option("--submit-host", help="Its submit host there.")],
    benchmark: Annotated[str, typer.Option("--benchmark", help="Score of one core, as 11.6.")],
    gpu_model: Annotated[str, typer.Option("--gpu-model", help="Its devices, as NVIDIA H100.")],
    folder: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="A new folder.")],
) -> None:
    """Write a month's use of a member's machines as APEL summary, sync and accelerator messages."""
    with plain_errors():
        known = Site(
            member=member,
            name=site,
            submit_host=submit_host,
            benchmark=apel.benchmark_of(benchmark),
            gpu_model=gpu_model,
        )
        written = apel.write(books, known, apel.month_of(month), folder)
    out.print(f"wrote {written.jobs} jobs to {folder}", soft_wrap=True)


@receipt_app.command("sign")
def receipt_sign(
    usages: Annotated[Path, typer.Argument(metavar="USAGE", help="One usage a line, in JSON.")],
    side: Annotated[Side, typer.Option("--side", help="claim: what was given; receipt: what was received.")],
    identity: Annotated[Path, typer.Option("--identity", help="The member's Ed25519 key, PEM.")],
    file: Annotated[Path, typer.Option("--out", help="Where to write the signed lines.")],
) -> None:
    """Sign what a member gave or received, as its identity."""
    with plain_errors():
        lines = receipts.sign(side, usages, identity)
        _write_whole(file, b"".join(line + b"\n" for line in lines))
    out.print(f"wrote {len(lines)} signed lines to {file}", soft_wrap=True)


@receipt_app.command("settle")
def receipt_settle(  # noqa: PLR0917 - typer makes an option of each
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="SIGNED...", help="Signed claims and receipts, in any order.")],
    file: Annotated[Path, typer.Option("--out", help="Where to write the events, for `ledger balances`.")],
    member_list: Annotated[
        Path | None, typer.Option("--members", help="Output of `kubectl get members -o json`; else the hub.")
    ] = None,
    period_s: Annotated[int, typer.Option("--period-seconds", min=60, max=3600, help="The charter's period.")] = 3600,
    at: Annotated[
        datetime | None, typer.Option("--at", formats=[INSTANT], help="The instant that clocks are read at; else now.")
    ] = None,
) -> None:
    """Compare both sides: the lesser counts, 2 % apart is a dispute, an unsigned claim earns nothing."""
    if member_list is None:
        bodies = speak(context.obj, receipts.members)
    else:
        with plain_errors():
            bodies = recompute.items(member_list, "--members")
    now = at.replace(tzinfo=UTC) if at else datetime.now(UTC)
    with plain_errors():
        found = receipts.settled(files, receipts.keys_of(bodies), Terms(period_s=period_s), now)
        _write_whole(file, b"".join(event.record() + b"\n" for each in found for event in each.events))
    out.print(receipts.table(found))


def _write_whole(file: Path, content: bytes) -> None:
    partial = file.with_name(file.name + ".partial")
    partial.write_bytes(content)
    partial.replace(file)


@crds_app.command("render")
def crds_render(
    folder: Annotated[Path | None, typer.Option("--out", help="A folder; standard output if left out.")] = None,
) -> None:
    """Write the CustomResourceDefinitions that the models in commonweal/kinds render to."""
    texts = {
        f"{body['spec']['names']['singular']}.yaml": RENDERED + yaml.safe_dump(body, sort_keys=False, width=120)
        for body in rendered_crds()
    }
    if folder is None:
        typer.echo("---\n".join(texts.values()), nl=False)
        return
    with plain_errors():
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")


@app.command()
def setup(context: typer.Context, dry_run: DryRun = False) -> None:
    """Make a cluster a hub: apply kinds, roles and admission rules. Running it again brings them up to date."""
    for body in manifests() if dry_run else ():
        out.print(f"would apply {body['kind']} {body['metadata']['name']}", soft_wrap=True, highlight=False)
    if not dry_run:
        speak(context.obj, apply_all)
        err.print(
            f"applied {len(manifests())} objects; next: apply a Consortium named charter, then `commonweal invite`"
        )
