"""Takes out of a shared library what only linkers and debuggers read: its sections, symbols and debugging data.

What a process maps is named by the program headers alone, so the file is cut behind the last of them; the result does
not depend on the `strip` of the machine. https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
"""

import struct
from pathlib import Path

from infra.local.machine import LocalError

# 64 bits, little endian: identification, e_type .. e_flags up to e_shoff, then what follows it.
HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
MAGIC = b"\x7fELF\x02\x01"


def cut(library: Path) -> int:
    """Cut a library behind what is mapped of it; returns how many bytes that saved. Again is harmless.

    Raises:
        LocalError: The file is no ELF library of 64 bits.
    """
    with library.open("r+b") as file:
        found = file.read(HEADER.size)
        if len(found) < HEADER.size or not found.startswith(MAGIC):
            raise LocalError(f"{library} is no ELF library of 64 bits; leave it out of what is cut")
        fields = list(HEADER.unpack(found))
        at, size, count = fields[5], fields[9], fields[10]
        file.seek(at)
        table = file.read(size * count)
        headers = [PROGRAM_HEADER.unpack_from(table, number * size) for number in range(count)]
        end: int = max(at + size * count, *(offset + length for _, _, offset, _, _, length, _, _ in headers))
        fields[6] = fields[11] = fields[12] = fields[13] = 0  # where the section headers are: nowhere
        file.seek(0)
        file.write(HEADER.pack(*fields))
        before = file.seek(0, 2)
        file.truncate(end)
    return before - end
