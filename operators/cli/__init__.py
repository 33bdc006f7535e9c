"""The command line: what an administrator, a member and anyone with read rights do from a terminal."""
