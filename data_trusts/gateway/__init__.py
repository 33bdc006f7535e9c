"""The one door to a member's rows: it knows who asks, obeys the policy, remembers, and only then answers."""

import os

# By default Arrow's allocator gives pages back after 10 ms, and every question takes all of them anew, which costs more
# than the gateway's own work. It reads this once, when Arrow is loaded.
os.environ.setdefault("MIMALLOC_PURGE_DELAY", "10000")
