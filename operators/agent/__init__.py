"""What runs in each member's cluster: it connects out to the hub, does what Assignments say, and reports."""
