"""The one door to a member's rows: it knows who asks, obeys the policy, remembers, and only then answers."""
