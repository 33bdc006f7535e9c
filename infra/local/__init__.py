"""The local consortium: real Kubernetes clusters on one Linux machine, without Docker.

Nothing above `providers` knows which provider runs it. The command is `python -m infra.local`.
"""
