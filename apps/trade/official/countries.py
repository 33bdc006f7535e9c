"""Which country a sheet of an official workbook is about; what cannot be told is refused, never guessed."""

import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml

from apps.trade.official.grids import OfficialFileError

NAMES = Path(__file__).with_name("countries.yaml")
SHEET_NAME_CHARACTERS = 31  # Excel cuts longer names off
FALLBACKS = ("other countries and territories", "other countries")


class CountryNames:
    """The names of the table, and those that the user adds; `fallback` is what the table calls other countries."""

    def __init__(self, fallback: str, added: Mapping[str, str]) -> None:
        self._known = {name: code for code, names in _names().items() for name in map(_plain, names)}
        self._known |= dict.fromkeys(FALLBACKS, fallback) | {code.casefold(): code for code in _names()}
        self._known |= {_plain(name): code for name, code in added.items()}

    def code(self, written: str) -> str:
        """The code of a country as a sheet or a cell names it, or of the fallback.

        Raises:
            OfficialFileError: no name of the table, or several of which it may be the beginning.

        """
        name = _plain(written)
        if name in self._known:
            return self._known[name]
        begun = {code for known, code in self._known.items() if known.startswith(name)}
        if len(written.strip()) >= SHEET_NAME_CHARACTERS and len(begun) == 1:
            return begun.pop()
        raise OfficialFileError(f"{written}: no country is known by this name; say which with --country '{written}=XX'")


@cache
def _names() -> dict[str, list[str]]:
    names: dict[str, list[str]] = yaml.load(NAMES.read_text("utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 - texts only
    return names


def _plain(name: str) -> str:
    """Without accents, case, punctuation around it and double spaces: how one name is told from another."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return " ".join(bare.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").replace("_", " ").casefold().split())
