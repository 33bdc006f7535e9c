from pathlib import Path

import pytest

from infra.images import elf
from infra.local.machine import LocalError

MAPPED, SYMBOLS = b"code that runs", b"names that only a debugger reads"
TABLE_AT = elf.HEADER.size
CODE_AT = TABLE_AT + elf.PROGRAM_HEADER.size


def library(path: Path) -> Path:
    """A library of one mapped part, with symbols and a table of sections behind it."""
    ident = elf.MAGIC.ljust(16, b"\0")
    sections_at = CODE_AT + len(MAPPED)
    header = elf.HEADER.pack(
        ident, 3, 62, 1, 0, TABLE_AT, sections_at, 0, elf.HEADER.size, elf.PROGRAM_HEADER.size, 1, 64, 2, 1
    )
    load = elf.PROGRAM_HEADER.pack(1, 5, CODE_AT, CODE_AT, CODE_AT, len(MAPPED), len(MAPPED), 4096)
    path.write_bytes(header + load + MAPPED + SYMBOLS)
    return path


def test_what_is_mapped_stays_and_what_is_not_goes(tmp_path: Path) -> None:
    made = library(tmp_path / "a.so")
    assert elf.cut(made) == len(SYMBOLS)
    left = made.read_bytes()
    assert left[CODE_AT:] == MAPPED
    assert elf.HEADER.unpack_from(left)[6] == 0
    assert elf.HEADER.unpack_from(left)[11:] == (0, 0, 0)


def test_a_library_that_was_cut_is_left_as_it_is(tmp_path: Path) -> None:
    made = library(tmp_path / "a.so")
    elf.cut(made)
    once = made.read_bytes()
    assert elf.cut(made) == 0
    assert made.read_bytes() == once


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"#!/bin/sh\n" * 10, b"\x7fELF\x01\x01" + bytes(60)])
def test_what_is_no_library_of_64_bits_is_refused_and_left_as_it_is(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "a.so"
    file.write_bytes(content)
    with pytest.raises(LocalError, match="no ELF library of 64 bits"):
        elf.cut(file)
    assert file.read_bytes() == content
