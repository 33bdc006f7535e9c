"""`python -m operators.hub`: runs the hub operator until SIGTERM."""

import asyncio
import logging
import sys

from operators.frame.health import log_as_json
from operators.hub.operator import run
from operators.hub.settings import parse

log = logging.getLogger("operators.hub")


def main() -> int:
    """Run; 1 if it ended by itself, 0 on request."""
    settings = parse(sys.argv[1:])
    log_as_json(settings.log_level)
    try:
        asyncio.run(run(settings))
    except (OSError, ValueError) as error:
        log.error("%s", error)  # noqa: TRY400 - a sentence for a person; a trace would bury it
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
