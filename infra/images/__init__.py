"""Images of the consortium, built without a registry and without a daemon: layers are folders, packed by ourselves."""
