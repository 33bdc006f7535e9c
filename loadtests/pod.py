"""A pod as its network sees one: it listens on the ports that it is given, and connects where it is told.

Each line of its input is `ADDRESS PORT`; each line of its output says whether that was reached.
"""

import socket
import sys
import threading

PATIENCE_S = 1.0


def listen(port: int) -> None:
    """Take every connection on a port, and let it go."""
    server = socket.create_server(("0.0.0.0", port), backlog=64)  # noqa: S104 - of a network namespace of its own

    def answer() -> None:
        while True:
            server.accept()[0].close()

    threading.Thread(target=answer, daemon=True).start()


def reached(address: str, port: int) -> bool:
    """Whether somebody takes a connection."""
    try:
        socket.create_connection((address, port), timeout=PATIENCE_S).close()
    except OSError:
        return False
    return True


def main() -> None:
    """Listen on the ports that the arguments name, then connect as the input says."""
    for port in sys.argv[1:]:
        listen(int(port))
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    for line in sys.stdin:
        address, port = line.split()
        sys.stdout.write("open\n" if reached(address, int(port)) else "closed\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
