"""How every command speaks to a person: one connection, one sentence for an error, no traces."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console

from operators.frame.controller import first_error
from operators.kube import Forbidden, Invalid, Kube, KubeError, NotFound, Unauthorized, Unreachable

T = TypeVar("T")

out = Console()
err = Console(stderr=True)


class CommandError(Exception):
    """A command cannot do as asked; the message is one sentence with a remedy."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Which cluster the commands speak to, and whether they only say what they would do."""

    kubeconfig: Path
    context: str | None

    async def connect(self) -> Kube:
        """Open a connection.

        Raises:
            CommandError: the kubeconfig is missing or cannot be read.
        """
        try:
            return await Kube.from_kubeconfig(self.kubeconfig, context=self.context)
        except FileNotFoundError as error:
            raise CommandError(str(error)) from None
        except Exception as error:
            raise CommandError(f"kubeconfig {self.kubeconfig}: {error}; give another with --kubeconfig") from error


def speak(target: Target, work: Callable[[Kube], Awaitable[T]]) -> T:
    """Run one command against the cluster; every expected error becomes a sentence and exit code 1."""

    async def connected() -> T:
        async with await target.connect() as kube:
            return await work(kube)

    with plain_errors():
        return asyncio.run(connected())


@contextmanager
def plain_errors() -> Iterator[None]:
    """Print an error as one sentence and end the command."""
    try:
        yield
    except (CommandError, KubeError, ValidationError, OSError, ValueError) as error:
        err.print(f"error: {sentence(error)}", style="red", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(1) from None


def sentence(error: Exception) -> str:
    """What went wrong and what to do."""
    if isinstance(error, ValidationError):
        return f"the server's answer does not follow this version's schema: {first_error(error)}; use equal versions"
    if not isinstance(error, KubeError):
        return str(error)
    remedy = {
        Unauthorized: "log in again, or give another --kubeconfig",
        Forbidden: "ask an administrator of the hub, or give another --kubeconfig",
        NotFound: "check the name; `commonweal status` lists what there is",
        Invalid: "correct the field and run the command again",
        Unreachable: "check that the cluster runs and that --kubeconfig names it",
    }
    for kind, advice in remedy.items():
        if isinstance(error, kind):
            return f"{error.message}; {advice}"
    return error.message
