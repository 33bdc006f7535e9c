"""Load on the trade API: an open arrival model, and the gate that its service class sets."""
