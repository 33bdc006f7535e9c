"""`python -m infra.sites`: a member's site from the command line.

What a flag leaves out stays as the last `up` of the same member configured it.
"""

import sys
from collections.abc import Sequence

from infra.sites import command
from infra.sites.kinds import MEMBER


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; an error is one sentence and status 1."""
    return command.main(MEMBER, argv)


if __name__ == "__main__":
    sys.exit(main())
