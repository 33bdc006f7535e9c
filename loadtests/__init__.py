"""Load, scale and fault drills: speaks to the system only over the wire, imports none of it."""
