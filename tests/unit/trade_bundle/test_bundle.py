"""A bundle holds what was assessed; whatever is changed in it is found, by name."""

import ast
import base64
import hashlib
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from apps.trade.assessment import Disclosed, UnassessableError
from apps.trade.audit import container, engine, envelope, keys
from apps.trade.audit.bundle import RESULT, SIGNER, TRACE, content_of, make
from apps.trade.audit.errors import TamperedError
from apps.trade.audit.evidence import Evidence, Release, read_evidence
from apps.trade.audit.verifier import verify
from apps.trade.disclosures import Disclosure
from apps.trade.rule_packs import pack_files
from tests.strategies import trade_disclosures

from .conftest import KEY, STRANGER, by_default, consignment, disclosed, flipped, names, repacked

ROOT = Path(__file__).parents[3]
ROW = Disclosed(
    installation_id="MILL-1",
    country="KR",
    cn_code="72081000",
    period="2026",
    see_direct_t_per_t=Decimal("1.500000000000000000"),
    see_indirect_t_per_t=Decimal(0),
    default_share=Decimal("0.25"),
    rule_pack="eu-2025-2547",
    evidence_sha256="a" * 64,
    member="kr",
)


def released(**changes: object) -> Evidence:
    """Evidence as the service has it: rows, no process data."""
    asked = consignment(**{"installation_id": "MILL-1", **changes})
    return Evidence(asked, pack_files(), Release(grant="trade-emissions", members_asked=("kr",)), rows=(ROW,))


def refusal(content: bytes, key: Ed25519PrivateKey | None = KEY) -> TamperedError:
    with pytest.raises(TamperedError) as refused:
        verify(content, key.public_key() if key else None)
    return refused.value


def resigned(content: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """A bundle whose statement was changed and signed again by the right key."""
    payload = envelope.unseal(container.read(content)[envelope.PART], KEY.public_key())
    statement = json.loads(payload)
    change(statement)
    return repacked(content, {envelope.PART: envelope.seal(json.dumps(statement).encode(), KEY)})


def test_a_disclosed_value_is_recomputed_from_the_fuels_up(steel: Disclosure, steel_bundle: bytes) -> None:
    held = verify(steel_bundle, KEY.public_key())
    result = json.loads(held.result)
    assert Decimal(result["tonnes_counted"]) == disclosed(steel).assessment.tonnes_counted
    assert (held.trusted, held.rules_in_force, held.steps) == (True, True, 25)
    assert result["evidence_sha256"] == steel.evidence_sha256()
    assert f"inputs/{steel.evidence_sha256()}" in names(steel_bundle)


@pytest.mark.parametrize(
    ("evidence", "source"),
    [
        (released(), "disclosure"),
        (released(cn_code="72083900"), "default"),
        (by_default(), "default"),
        (by_default(country="DE"), "zero-rated"),
    ],
)
def test_every_way_to_a_value_can_be_bundled_and_verified(evidence: Evidence, source: str) -> None:
    result = json.loads(verify(make(evidence, KEY), KEY.public_key()).result)
    assert result["source"] == source
    assert Decimal(result["tonnes_counted"]) == evidence.assessment.tonnes_counted
    assert result["why"] == evidence.assessment.why


@settings(max_examples=20, deadline=None)
@given(disclosure=trade_disclosures(), cn_code=st.sampled_from(["72189911", "73041100", "25232900"]))
def test_equal_evidence_gives_equal_bytes_and_they_verify(disclosure: Disclosure, cn_code: str) -> None:
    made = make(disclosed(disclosure, cn_code=cn_code), KEY)
    again = Disclosure.model_validate_json(disclosure.canonical(), by_alias=True, by_name=True)
    assert make(disclosed(again, cn_code=cn_code), KEY) == made
    assert verify(made, KEY.public_key()).trusted


@settings(max_examples=20, deadline=None)
@given(disclosure=trade_disclosures())
def test_inputs_are_read_back_as_they_were(disclosure: Disclosure) -> None:
    inputs = disclosed(disclosure, cn_code="72189911").inputs()
    assert read_evidence(inputs, pack_files()).inputs() == inputs


def test_what_cannot_be_assessed_is_not_bundled() -> None:
    with pytest.raises(UnassessableError, match="cn_code"):
        make(by_default(cn_code="73041100"), KEY)


def test_another_installations_disclosure_is_refused(steel: Disclosure) -> None:
    with pytest.raises(ValueError, match="the disclosure is of EC-EXAMPLE-2"):
        Evidence(consignment(installation_id="X"), pack_files(), Release(grant=None), disclosure=steel)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_one_flipped_byte_anywhere_in_the_file_is_refused(data: st.DataObject, default_bundle: bytes) -> None:
    position = data.draw(st.integers(0, len(default_bundle) - 1))
    refusal(flipped(default_bundle, position))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_one_flipped_byte_of_a_part_in_a_sound_archive_is_refused_by_its_name(
    data: st.DataObject, steel_bundle: bytes
) -> None:
    name = data.draw(st.sampled_from(names(steel_bundle)))
    part = container.read(steel_bundle)[name]
    position = data.draw(st.integers(0, len(part) - 1))
    assert refusal(repacked(steel_bundle, {name: flipped(part, position)})).part == name


def test_a_part_left_out_is_named(steel_bundle: bytes) -> None:
    for name in names(steel_bundle):
        assert refusal(repacked(steel_bundle, {name: None})).part == name


def test_a_part_too_many_is_named(steel_bundle: bytes) -> None:
    assert refusal(repacked(steel_bundle, {"inputs/note.txt": b"x"})).part == "inputs/note.txt"


def test_the_first_wrong_step_of_a_trace_is_named_with_what_it_should_be(steel_bundle: bytes) -> None:
    lines = container.read(steel_bundle)[TRACE].split(b"\n")
    lines[8] = lines[8].replace(b'"0.75"', b'"0.74"')
    error = refusal(repacked(steel_bundle, {TRACE: b"\n".join(lines)}))
    assert error.part == TRACE
    assert "step 8 is not what inputs and rules give" in error.detail


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda s: s["predicate"]["trace"].update(root="0" * 64), "statement"),
        (lambda s: s["subject"][0]["digest"].update(sha256="0" * 64), "statement"),
        (lambda s: s["predicate"].update(provenance="0" * 64), "statement"),
        (lambda s: s["predicate"]["method"].update(celex="32023R1773"), "statement"),
        (lambda s: s["predicate"].update(colour="blue"), "statement"),
        (lambda s: s.update(predicateType="https://example.org/v1"), "statement"),
        (lambda s: s.pop("predicate"), "statement"),
        (lambda s: s["predicate"].update(engine="0" * 64), engine.PART),
        (lambda s: s["predicate"]["inputs"].update(consignment="0" * 64), "inputs/" + "0" * 64),
        (lambda s: s["predicate"]["rules"].pop("eu-2025-2547.yaml"), "inputs"),
        (lambda s: s["predicate"]["inputs"].pop("consignment"), "inputs"),
    ],
)
def test_a_signature_does_not_make_a_false_statement_true(
    steel_bundle: bytes, change: Callable[[dict[str, Any]], object], part: str
) -> None:
    assert refusal(resigned(steel_bundle, change)).part == part


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_signer_who_packs_nonsense_is_refused_and_never_crashes_the_verifier(
    data: st.DataObject, steel_bundle: bytes
) -> None:
    statement = json.loads(envelope.unseal(container.read(steel_bundle)[envelope.PART], KEY.public_key()))
    listed = {**statement["predicate"]["inputs"], **statement["predicate"]["rules"]}
    role = data.draw(st.sampled_from(sorted(listed)))
    folder = "inputs" if role in statement["predicate"]["inputs"] else "rules"
    part = container.read(steel_bundle)[f"{folder}/{listed[role]}"]
    at = data.draw(st.integers(0, len(part) - 1))
    nonsense = part[:at] + data.draw(st.binary(max_size=8)) + part[at + data.draw(st.integers(1, 8)) :]
    assume(nonsense != part)
    digest = hashlib.sha256(nonsense).hexdigest()
    replaced = repacked(steel_bundle, {f"{folder}/{listed[role]}": None, f"{folder}/{digest}": nonsense})
    refusal(resigned(replaced, lambda each: each["predicate"][folder].update({role: digest})))


def test_a_result_that_the_signer_made_up_is_refused(default_bundle: bytes) -> None:
    result = container.read(default_bundle)[RESULT].replace(b"111.3475", b"11.13475")
    signed = resigned(
        repacked(default_bundle, {RESULT: result}),
        lambda s: s["subject"][0]["digest"].update(sha256=hashlib.sha256(result).hexdigest()),
    )
    assert refusal(signed).part == RESULT


def test_an_engine_that_is_not_this_one_is_named_with_the_module_that_differs(default_bundle: bytes) -> None:
    other = json.loads(engine.identity())
    other["modules"]["apps/trade/emissions.py"] = "0" * 64
    stated = json.dumps(other).encode()
    signed = resigned(
        repacked(default_bundle, {engine.PART: stated}),
        lambda s: s["predicate"].update(engine=hashlib.sha256(stated).hexdigest()),
    )
    error = refusal(signed)
    assert error.part == engine.PART
    assert "differs from this one in apps/trade/emissions.py" in error.detail
    assert "verify with the version that made it" in error.remedy


def test_another_signer_is_refused_once_the_key_is_known(steel: Disclosure) -> None:
    forged = make(disclosed(steel), STRANGER)
    assert refusal(forged).part == SIGNER
    assert verify(forged).trusted is False


def test_a_signature_of_another_key_under_the_signers_name_is_refused(steel_bundle: bytes) -> None:
    payload = envelope.unseal(container.read(steel_bundle)[envelope.PART], KEY.public_key())
    forged = json.loads(envelope.seal(payload, STRANGER))
    forged["signatures"][0]["keyid"] = envelope.key_id(KEY.public_key())
    content = json.dumps(forged, sort_keys=True, separators=(",", ":")).encode()
    assert "signature does not fit" in refusal(repacked(steel_bundle, {envelope.PART: content})).detail


def test_an_envelope_in_another_spelling_is_refused(steel_bundle: bytes) -> None:
    spelt = json.dumps(json.loads(container.read(steel_bundle)[envelope.PART]), indent=1).encode()
    assert "canonical" in refusal(repacked(steel_bundle, {envelope.PART: spelt})).detail


def test_the_envelope_signs_the_pre_authentication_encoding_of_dsse(default_bundle: bytes) -> None:
    sealed = json.loads(container.read(default_bundle)[envelope.PART])
    payload = base64.b64decode(sealed["payload"])
    signed = b"DSSEv1 28 application/vnd.in-toto+json " + str(len(payload)).encode() + b" " + payload
    KEY.public_key().verify(base64.b64decode(sealed["signatures"][0]["sig"]), signed)
    assert json.loads(payload)["_type"] == "https://in-toto.io/Statement/v1"


def test_rules_that_are_not_this_versions_hold_and_are_said_to_be_other() -> None:
    files = dict(pack_files())
    files["eu-2023-1773.yaml"] += b"# a note\n"
    held = verify(make(Evidence(consignment(), files, Release(grant=None)), KEY), KEY.public_key())
    assert held.rules_in_force is False


def test_the_provenance_graph_names_every_input_and_rule(steel: Disclosure) -> None:
    evidence = disclosed(steel)
    graph = json.loads(content_of(evidence).parts["prov.json"])
    used = {each["prov:entity"].removeprefix("cw:") for each in graph["used"].values()}
    assert used == {*evidence.inputs(), *evidence.rules}
    assert used | {RESULT, TRACE} == {name.removeprefix("cw:") for name in graph["entity"]}
    assert graph["wasAttributedTo"]["_:attributed"] == {"prov:entity": "cw:disclosure", "prov:agent": "cw:member/kr"}


def test_the_engines_identity_covers_every_module_that_the_verifier_imports() -> None:
    found: set[str] = set()
    waiting = ["apps.trade.audit.verifier"]
    while waiting:
        name = waiting.pop()
        path = ROOT / (name.replace(".", "/") + ".py")
        if not path.exists() or str(path.relative_to(ROOT)) in found:
            continue
        found.add(str(path.relative_to(ROOT)))
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    assert found == set(engine.MODULES)


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 100])
def test_a_file_that_is_no_archive_is_refused(content: bytes) -> None:
    assert refusal(content).part == "container"


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text("no key")
    with pytest.raises(keys.KeyFileError, match="openssl genpkey -algorithm ed25519"):
        keys.read_private(file)
    with pytest.raises(keys.KeyFileError, match="openssl pkey -pubout"):
        keys.read_public(file)
