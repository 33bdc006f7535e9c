"""Rows that stay with the member: tables, the questions that may be asked of them, and what proves it."""

import os

# By default Arrow's allocator gives pages back after 10 ms, and every question takes all of them anew, which costs more
# than the gateway's own work. It reads this once, when Arrow is loaded.
os.environ.setdefault("MIMALLOC_PURGE_DELAY", "10000")
