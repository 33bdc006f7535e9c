"""The one way in which a bundle fails: the part that differs, by name, and what to do about it."""


class TamperedError(ValueError):
    """A part of a bundle is not what was signed, or does not follow from the other parts."""

    def __init__(self, part: str, detail: str, remedy: str) -> None:
        super().__init__(f"{part}: {detail}; {remedy}")
        self.part = part
        self.detail = detail
        self.remedy = remedy
