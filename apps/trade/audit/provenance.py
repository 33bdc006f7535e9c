"""The bundle as a W3C PROV graph (PROV-JSON): which entities the assessment used, what it made, and who answers for it.

No times: a bundle says what follows from what, and equal inputs give equal bytes.
"""

from collections.abc import Mapping

from apps.trade.assessment import Source
from apps.trade.audit.evidence import Evidence
from commonweal.transparency import Json, canonical_json

PART = "prov.json"
NAMESPACE = "https://commonweal.dev/ns/trade#"
ACTIVITY = "cw:assessment"
ENGINE = "cw:engine"


def graph(evidence: Evidence, used: Mapping[str, str], made: Mapping[str, str], engine_sha256: str) -> bytes:
    """The graph, canonical; `used` and `made` give the SHA-256 of every entity by its name."""
    agents: dict[str, Json] = {ENGINE: {"prov:type": "prov:SoftwareAgent", "cw:sha256": engine_sha256}}
    relations: dict[str, Json] = {}
    for asked in evidence.release.members_asked:
        agents[f"cw:member/{asked}"] = {"prov:type": "prov:Organization"}
    member = evidence.assessment.member
    if evidence.assessment.source is Source.DISCLOSURE and member is not None:
        source = "disclosure" if evidence.disclosure is not None else "released-rows"
        relations["wasAttributedTo"] = {
            "_:attributed": {"prov:entity": f"cw:{source}", "prov:agent": f"cw:member/{member}"}
        }
    entities = {f"cw:{name}": {"cw:sha256": digest} for name, digest in {**used, **made}.items()}
    return canonical_json(
        {
            "prefix": {"cw": NAMESPACE, "prov": "http://www.w3.org/ns/prov#"},
            "entity": entities,
            "activity": {ACTIVITY: {"cw:method": evidence.assessment.pack.celex}},
            "agent": agents,
            "used": {
                f"_:used{i}": {"prov:activity": ACTIVITY, "prov:entity": f"cw:{name}"}
                for i, name in enumerate(sorted(used))
            },
            "wasGeneratedBy": {
                f"_:made{i}": {"prov:entity": f"cw:{name}", "prov:activity": ACTIVITY}
                for i, name in enumerate(sorted(made))
            },
            "wasAssociatedWith": {"_:ran": {"prov:activity": ACTIVITY, "prov:agent": ENGINE}},
            **relations,
        }
    )
