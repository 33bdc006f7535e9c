"""How every controller runs: observe, plan, apply, report.

A controller says what it watches, reads what it depends on (`observe`) and decides (`plan`, pure). The frame does the
rest: it keeps the watch cache, queues dirty keys once, applies the planned writes, writes one status patch, counts
errors and holds leadership. It knows no kind and no rule.
"""

from operators.frame.controller import Controller, Permanent, Tools, Waiting, Watch, own
from operators.frame.plan import Apply, Delete, Finding, Patch, Plan, Write
from operators.frame.runtime import Operator, Settings
from operators.frame.store import Key, Store

__all__ = [
    "Apply",
    "Controller",
    "Delete",
    "Finding",
    "Key",
    "Operator",
    "Patch",
    "Permanent",
    "Plan",
    "Settings",
    "Store",
    "Tools",
    "Waiting",
    "Watch",
    "Write",
    "own",
]
