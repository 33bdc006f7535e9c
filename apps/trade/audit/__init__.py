"""The audit bundle: one assessment with everything that anyone needs to recompute it, offline."""
