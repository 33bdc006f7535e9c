"""What counts as a TCP port, in arguments and in the environment."""


def port(text: str) -> int:
    """A port to listen on.

    Raises:
        ValueError: It is none.
    """
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise ValueError(f"{text} is no port")
    return int(text)
