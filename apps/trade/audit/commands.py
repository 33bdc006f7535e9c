"""`python -m apps.trade bundle` makes an audit bundle, `verify` checks bundles without any network."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from apps.trade.asking import ADDRESS_HELP, about_consignment, post, said
from apps.trade.assessment import Consignment
from apps.trade.audit import keys, verifier
from apps.trade.audit.bundle import make
from apps.trade.audit.errors import TamperedError
from apps.trade.audit.evidence import Evidence, Release
from apps.trade.disclosures import Disclosure, read_disclosures
from apps.trade.files import whole
from apps.trade.problems import problem_of
from apps.trade.rule_packs import pack_files
from apps.trade.tables import failed


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One bundle of a verify command: what holds, or the first thing that differs."""

    file: Path
    outcome: verifier.Verified | TamperedError

    def as_json(self) -> str:
        """One JSON object."""
        if isinstance(self.outcome, TamperedError):
            told = {"holds": False, "part": self.outcome.part, "detail": str(self.outcome)}
        else:
            bill = json.loads(self.outcome.bill) if self.outcome.bill is not None else None
            told = {"holds": True, **asdict(self.outcome), "result": json.loads(self.outcome.result), "bill": bill}
        return json.dumps({"file": str(self.file), **told})

    def sentence(self) -> str:
        """One sentence a person can act on."""
        if isinstance(self.outcome, TamperedError):
            return f"{self.file}: {self.outcome}"
        held, result = self.outcome, json.loads(self.outcome.result)
        signed = f"signed by {held.key_id}" + ("" if held.trusted else " (not compared: give --key)")
        rules = "in force here" if held.rules_in_force else "NOT those in force here: read them"
        return (
            f"{self.file}: holds: {result['tonnes_counted']} t CO2e ({result['source']}) in {result['net_mass_kg']} kg "
            f"of {result['cn_code']}; {held.steps} steps under root {held.root}; {_billed(held.bill)}"
            f"rules {rules}; {signed}"
        )


def _billed(bill: bytes | None) -> str:
    """What the attested bill says, in a few words; nothing where there is none."""
    if bill is None:
        return ""
    told = json.loads(bill)
    certificates, cost = told["used"]["certificates"], told["cost_eur"]
    if certificates is None:
        return "certificates not known; "
    return f"{certificates} certificates" + (f" for {cost} EUR; " if cost is not None else "; ")


@about_consignment
def bundle(
    *,
    asked: dict[str, object],
    out: Annotated[Path, typer.Option(help="file to write, a zip")],
    address: Annotated[str | None, typer.Option(envvar="COMMONWEAL_TRADE", help=ADDRESS_HELP)] = None,
    key: Annotated[Path | None, typer.Option(help="Ed25519 private key, PEM: compute and sign here")] = None,
    disclosures: Annotated[
        Path | None, typer.Option(help="with --key: the producer's file of disclosures, YAML")
    ] = None,
    member: Annotated[str | None, typer.Option(help="with --disclosures: the member where they lie")] = None,
) -> None:
    """Make the audit bundle of one consignment: by the service, or here with a key."""
    if key is not None:
        content = _made_here(asked, key, disclosures, member)
    elif address is not None:
        status, content = post(address, "/v1/assessments/bundle", asked)
        if status != 200:
            failed(said(content.decode(errors="replace"), status))
    else:
        failed("--address, --key: neither is given; name the service, or a key to sign with")
    try:
        with whole(out) as unfinished:
            unfinished.write_bytes(content)
    except OSError as error:
        failed(f"--out: {error}; give a file in a folder that can be written")
    typer.echo(f"{out}: {len(content)} bytes")


def verify(
    files: Annotated[list[Path], typer.Argument(help="bundles")],
    key: Annotated[Path | None, typer.Option(help="the signer's Ed25519 public key, PEM")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object a file")] = False,
) -> None:
    """Recompute bundles from themselves alone; name the first thing that differs in each."""
    try:
        public = keys.read_public(key) if key is not None else None
    except keys.KeyFileError as error:
        failed(f"--key: {error}")
    all_hold = True
    for file in files:
        checked = Checked(file=file, outcome=_outcome(file, public))
        holds = not isinstance(checked.outcome, TamperedError)
        all_hold = all_hold and holds
        if as_json:
            typer.echo(checked.as_json())
        else:
            typer.echo(checked.sentence(), err=not holds)
    raise typer.Exit(0 if all_hold else 1)


def _outcome(file: Path, public: Ed25519PublicKey | None) -> verifier.Verified | TamperedError:
    try:
        return verifier.verify(file.read_bytes(), public)
    except TamperedError as error:
        return error
    except OSError as error:
        failed(f"{file}: {error.strerror}; give a bundle")


def _made_here(asked: dict[str, object], key: Path, disclosures: Path | None, member: str | None) -> bytes:
    try:
        consignment = Consignment.model_validate(asked)
    except ValidationError as error:
        failed(problem_of(error, Consignment).detail)
    if consignment.installation_id is not None and (disclosures is None or member is None):
        failed("--installation: only its disclosure can speak for it here; give --disclosures and --member")
    try:
        disclosure = _disclosure_of(consignment, disclosures) if disclosures is not None else None
        asked_members = (member,) if member is not None and disclosure is not None else ()
        release = Release(grant=None, members_asked=asked_members)
        evidence = Evidence(consignment, pack_files(), release, disclosure=disclosure)
        return make(evidence, keys.read_private(key))
    except keys.KeyFileError as error:
        failed(f"--key: {error}")
    except (OSError, ValueError, yaml.YAMLError) as error:
        failed(str(error))


def _disclosure_of(consignment: Consignment, path: Path) -> Disclosure:
    """The installation's disclosure; what it must not share with this one, of other installations, stays out."""
    found = [each for each in read_disclosures(path) if each.installation_id == consignment.installation_id]
    of_year = [each for each in found if each.period == consignment.import_year]
    if not of_year:
        raise ValueError(
            f"--disclosures: {path} holds nothing of {consignment.installation_id} for {consignment.import_year}; "
            "name an installation and a year that it discloses"
        )
    return of_year[0]
