"""How a bundle is one file: a zip whose bytes follow from its parts alone, so that equal bundles are equal files.

Parts are stored, not compressed: what is signed can be read with any tool, and no archive grows while it is read.
"""

import io
import zipfile
from collections.abc import Mapping

from apps.trade.audit.errors import TamperedError

MAX_BYTES = 64 * 1024 * 1024  # a disclosure of 200 products with all its fuels is below 1 MiB
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest instant that the format can hold: it says that no time is recorded
UNIX = 3
PLAIN_FILE = 0o100644 << 16
_REMEDY = "ask for the bundle again"


def write(parts: Mapping[str, bytes]) -> bytes:
    """The archive of these parts, in the order of their names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(parts):
            info = zipfile.ZipInfo(name, date_time=EPOCH)
            info.create_system = UNIX
            info.external_attr = PLAIN_FILE
            archive.writestr(info, parts[name])
    return buffer.getvalue()


def read(content: bytes) -> dict[str, bytes]:
    """The parts of an archive by name. That its bytes are those of `write` is checked by `is_canonical`.

    Raises:
        TamperedError: it is no archive, too long, or one of its parts cannot be read.

    """
    if len(content) > MAX_BYTES:
        raise TamperedError("container", f"{len(content)} bytes are more than {MAX_BYTES}", _REMEDY)
    parts: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for info in archive.infolist():
                parts[info.filename] = _part(archive, info)
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError) as error:
        if isinstance(error, TamperedError):
            raise
        raise TamperedError("container", f"not a readable archive ({error})", _REMEDY) from error
    return parts


def is_canonical(content: bytes, parts: Mapping[str, bytes]) -> bool:
    """Whether the archive holds these parts and not one byte beside them."""
    return write(parts) == content


def _part(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.compress_type != zipfile.ZIP_STORED:
        raise TamperedError("container", f"{info.filename!r} is compressed, and parts are stored", _REMEDY)
    try:
        return archive.read(info)
    except zipfile.BadZipFile as error:
        raise TamperedError(info.filename, "its bytes are not those that were packed", _REMEDY) from error
