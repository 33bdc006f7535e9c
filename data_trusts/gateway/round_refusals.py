"""Why a federated round is not opened or not answered, in words that `rounds` need not know."""

from commonweal.grants import Federation, Refusal, Rule
from data_trusts.gateway.round_bodies import Opening
from data_trusts.queries import MAX_ROWS


def not_federated(dataset: str) -> Refusal:
    """For a dataset that each source answers for alone."""
    return Refusal(
        rule=Rule.NOT_FEDERATED, reason=f"{dataset} has no federation rules", remedy="Ask each member by /v1/query"
    )


def policy_changed() -> Refusal:
    """For a round whose rows or values are not what they were when it was opened."""
    return Refusal(rule=Rule.ROUND, reason="the policy changed while the question ran", remedy="Open a new round")


def no_room(others: int) -> Refusal:
    """For a round that is open already, or one too many."""
    return Refusal(
        rule=Rule.ROUND,
        reason=f"the round is open already, or {others} others are",
        remedy="Open another round later",
    )


def price(opening: Opening, federation: Federation) -> Refusal | None:
    """A question costs something where there is noise, and nothing where there is none; the asker says so."""
    if (federation.noise is None) == (opening.micro_epsilon is None):
        return None
    if federation.noise is None:
        reason, remedy = "the trust adds no noise, so nothing is charged", "Leave micro_epsilon out"
    else:
        reason, remedy = "the trust adds noise, so an answer has a price", "Say micro_epsilon, the most it may cost"
    return Refusal(rule=Rule.PRIVACY_BUDGET, reason=f"micro_epsilon: {reason}", remedy=remedy)


def too_many_groups() -> Refusal:
    """For a member whose rows fall into more groups than an answer may have."""
    return Refusal(
        rule=Rule.TOO_MANY_ROWS,
        reason=f"the member has more than {MAX_ROWS} groups of these columns",
        remedy="Narrow the question with WHERE, or group by fewer columns",
    )
