"""What the hub writes into a DataGrant's status."""

from commonweal.kinds.data_grant import DataGrant, DataGrantStatus, GrantPhase
from operators.frame import Store
from operators.hub.grants import GrantController, Observed
from operators.hub.pilot_objects import LiveGrantOf, grants_json
from tests.unit.agreements.cases import LESS, request
from tests.unit.grants.samples import NOON, grant, site, trust


def status(of: DataGrant, sponsor: str | None = None) -> DataGrantStatus:
    plan = GrantController(Store()).plan(Observed(grant=of, trust=trust(), sponsor=sponsor), NOON)
    return DataGrantStatus.model_validate(plan.status)


def test_status_says_what_can_be_approved_and_on_which_terms() -> None:
    seen = status(request(offers=[LESS, {**LESS, "trustee": "ch"}]))
    assert seen.state is GrantPhase.OFFERED
    assert seen.agreement is not None
    assert [each.dataset for each in seen.agreement.terms] == ["customs_rows", "facility_disclosures"]
    assert [(each.trustee, each.sha256 is None, each.problem) for each in seen.offers] == [
        ("ke", False, None),
        ("ch", True, "ch does not decide on this grant"),
    ]


def test_the_sponsor_that_the_app_names_has_no_vote() -> None:
    assert status(grant()).state is GrantPhase.FINALIZED
    assert status(grant(), sponsor="kr").state is GrantPhase.REQUESTED


def test_a_grant_that_is_over_keeps_the_name_of_what_was_agreed() -> None:
    agreed = status(grant())
    over = status(grant({"revoked": True}).model_copy(update={"status": agreed}))
    assert (over.state, over.agreement, over.offers) == (GrantPhase.TERMINATED, agreed.agreement, ())


def test_a_right_is_ended_by_those_who_give_it_and_those_who_have_it() -> None:
    beneficiary = {"pilotApp": "steel-pilot", "sponsor": "ng"}
    assert status(grant()).may_revoke == ("ca", "ke", "kr")
    assert status(grant({"beneficiary": beneficiary}), sponsor="jp").may_revoke == ("ca", "jp", "ke", "kr", "ng")


def test_pods_are_told_of_the_datasets_that_were_agreed() -> None:
    told = grants_json([LiveGrantOf(grant=grant(), trust=trust(), datasets=("customs_rows",))], {"ca": site("ca")})
    assert '"datasets":[{"members":["ca","ke"],"name":"customs_rows"}]' in told
