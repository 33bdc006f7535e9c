"""What the consortium asks of a member's site: one table of rules, judged in three places by the same words.

`table.rules` holds the rules; `judge.violations` says what is wrong with manifests before they are sent; `admission`
renders the same table for the member's API server. Pulumi (infra/sites), tests and the API server all take the sentence
from `sentences`, so a person reads it once.
"""

from commonweal.site_policy.judge import Violation, violations
from commonweal.site_policy.rule import Facts, ObjectRule, Rule, Severity, SiteRule
from commonweal.site_policy.table import rules

__all__ = ["Facts", "ObjectRule", "Rule", "Severity", "SiteRule", "Violation", "rules", "violations"]
