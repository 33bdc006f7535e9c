"""How configuration keys are called on the command line."""

from pydantic.alias_generators import to_snake

from infra.sites.program import INVITATION


def flag(key: str) -> str:
    """The command-line flag of a configuration key: `nodeAddress` is --node-address."""
    return "--invitation" if key == INVITATION else f"--{to_snake(key).replace('_', '-')}"
