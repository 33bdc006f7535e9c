"""What each page says: pure functions from objects of the hub to a `View`."""
