"""What is wrong with manifests, as the rules see it; called before anything is sent anywhere."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from commonweal.site_policy.rule import Facts, Manifest, ObjectRule, Rule, SiteRule, where_of
from commonweal.site_policy.table import rules
from commonweal.site_policy.targets import is_ours


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One breach of one rule, and the sentence that says so."""

    rule: Rule
    sentence: str


def violations(manifests: Iterable[Manifest], facts: Facts) -> tuple[Violation, ...]:
    """Every breach, object by object, then those of the site as a whole; what is not the site's is not judged.

    Raises:
        ValueError: an object lacks what its kind cannot be without, or an amount is no quantity; the message names it.
    """
    ours = tuple(manifest for manifest in manifests if is_ours(manifest))
    return tuple(_found(ours, rules(facts)))


def _found(ours: Sequence[Manifest], table: Sequence[Rule]) -> Iterator[Violation]:
    for manifest in ours:
        where = where_of(manifest)
        for rule in table:
            if isinstance(rule, ObjectRule) and manifest["kind"] in rule.kinds:
                yield from _breach(rule, where, partial(rule.offenders, manifest))
    for rule in table:
        if isinstance(rule, SiteRule):
            yield from _breach(rule, rule.where, partial(rule.offenders, ours))


def _breach(rule: Rule, where: str, look: Callable[[], tuple[str, ...]]) -> Iterator[Violation]:
    try:
        offenders = look()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: cannot be judged by {rule.id} ({error!r}); give the whole object") from error
    if offenders:
        yield Violation(rule=rule, sentence=rule.sentence(where, offenders))
