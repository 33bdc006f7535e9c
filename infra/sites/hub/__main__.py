"""`python -m infra.sites.hub`: the hub's site from the command line, by the same verbs as a member's."""

import sys
from collections.abc import Sequence

from infra.sites import command
from infra.sites.kinds import HUB


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; an error is one sentence and status 1."""
    return command.main(HUB, argv)


if __name__ == "__main__":
    sys.exit(main())
