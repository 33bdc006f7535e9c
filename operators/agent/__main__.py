"""`python -m operators.agent`."""

import sys

from operators.agent.main import main

sys.exit(main())
