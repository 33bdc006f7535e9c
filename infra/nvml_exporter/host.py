"""Energy of the host beside its devices, as its kernel counts it: RAPL's zones and hwmon's energy inputs.

For the site's own eyes: zones lie within each other (psys holds packages, a package its dram) and none covers a node,
so they are neither added nor signed; a meter around devices is named in COMMONWEAL_ENERGY_FILES. RAPL wraps, within
minutes on large machines: a wrap is undone between two looks, and after a longer silence no more is counted than one
turn shows, so the total may lag and never runs ahead.
https://docs.kernel.org/power/powercap/powercap.html, https://docs.kernel.org/hwmon/sysfs-interface.html
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

QUANTITY = "host-energy"


@dataclass(frozen=True, kw_only=True)
class Zone:
    """One counter in microjoules: what it showed last, in which boot, and what it counted since the first look."""

    source: str
    name: str
    boot: str
    last_uj: int
    total_uj: int = 0


@dataclass(frozen=True, kw_only=True)
class Host:
    """The zones ever read, which of them were read now, and why one that the kernel has was not, or there is none."""

    zones: Mapping[str, Zone] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Counter:
    source: str
    name: str
    path: Path
    range_path: Path | None = None


def look(sys: Path, boot: str, before: Mapping[str, Zone]) -> Host:
    """Read every zone once; `before` are the zones as the last look, of this process or another, left them."""
    zones: dict[str, Zone] = {}
    failures: list[str] = []
    for counter in (*_rapl(sys), *_hwmon(sys)):
        try:
            now_uj = int(counter.path.read_text())
            range_uj = int(counter.range_path.read_text()) if counter.range_path else None
        except PermissionError:
            failures.append(f"{counter.source}-permission-denied")
        except (OSError, ValueError):
            failures.append(f"{counter.source}-not-readable")
        else:
            key = f"{counter.source}/{counter.name}"
            zones[key] = _advanced(before.get(key), counter, boot, now_uj, range_uj)
    if not zones and not failures:
        failures.append("no-rapl-or-hwmon")
    return Host(zones=dict(before) | zones, seen=frozenset(zones), failures=tuple(sorted(set(failures))))


def _advanced(zone: Zone | None, counter: _Counter, boot: str, now_uj: int, range_uj: int | None) -> Zone:
    """What a counter shows after a boot says nothing of what it showed before; a fall without a range is a reload."""
    total_uj = zone.total_uj if zone else 0
    if zone is not None and zone.boot == boot:
        drawn_uj = now_uj - zone.last_uj
        if drawn_uj < 0:
            drawn_uj = drawn_uj + range_uj if range_uj else 0
        total_uj += max(0, drawn_uj)
    return Zone(source=counter.source, name=counter.name, boot=boot, last_uj=now_uj, total_uj=total_uj)


def _rapl(sys: Path) -> Iterator[_Counter]:
    """Zones are `intel-rapl:0` and, within it, `intel-rapl:0:1`; a name inside another is told with its outer one."""
    folders = {folder.name: folder for folder in (sys / "class" / "powercap").glob("intel-rapl:*")}
    for name, folder in sorted(folders.items()):
        outer = folders.get(name.rpartition(":")[0])
        names = [_text(each / "name") for each in (outer, folder) if each is not None]
        yield _Counter(
            source="rapl",
            name="-".join(each or name for each in names),
            path=folder / "energy_uj",
            range_path=folder / "max_energy_range_uj",
        )


def _hwmon(sys: Path) -> Iterator[_Counter]:
    for path in sorted((sys / "class" / "hwmon").glob("hwmon*/energy*_input")):
        number = path.name.removesuffix("_input")
        chip, label = (
            _text(path.parent / "name") or path.parent.name,
            _text(path.with_name(f"{number}_label")) or number,
        )
        yield _Counter(source="hwmon", name=f"{chip}-{label}", path=path)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
