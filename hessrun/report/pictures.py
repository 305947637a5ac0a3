"""Pictures that an earlier report drew of the same data: they are taken from its folder, not drawn again."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from hessrun.report.chart import Chart
from hessrun.report.density_map import DensityMap
from hessrun.report.draw import Picture
from hessrun.report.looks import Look

Drawing = Chart | DensityMap
_INDEX = "pictures.json"
_CODE = (
    *("density_map.py", "decades.py", "draw.py", "drawable.py", "formats.py", "layout.py", "looks.py", "panels.py"),
    "ticks.py",
)


class Pictures:
    """The pictures of the report in `out`, which need not exist, and of the one that takes its place.

    One is taken over where what it shows, the looks of the optimizers in it, the code that draws it and matplotlib's
    version are the same, and its files are still the bytes that were written.
    """

    def __init__(self, out: Path, cache: str) -> None:
        self._figures = out / "figures"
        self._earlier = _index(out / cache / _INDEX)
        self._now: dict[str, dict[str, str]] = {}

    def drawn(
        self,
        drawings: Sequence[Drawing],
        looks: Mapping[str, Look],
        draw: Callable[[Sequence[Drawing]], Iterable[Picture]],
    ) -> Iterator[Picture]:
        """A picture of each drawing, in their order; `draw` is asked for those that are not there already."""
        keys = [_key(drawing, looks) for drawing in drawings]
        kept = [self._find(drawing, key) for drawing, key in zip(drawings, keys, strict=True)]
        new = iter(draw([drawing for drawing, found in zip(drawings, kept, strict=True) if found is None]))
        for key, found in zip(keys, kept, strict=True):
            picture = found if found is not None else next(new)
            self._now[key] = {kind: _digest(content) for kind, content in picture.files.items()}
            yield picture

    def _find(self, drawing: Drawing, key: str) -> Picture | None:
        files = {}
        for kind, digest in self._earlier.get(key, {}).items():
            try:
                content = (self._figures / f"{drawing.name}.{kind}").read_bytes()
            except OSError:
                return None
            if _digest(content) != digest:
                return None
            files[kind] = content
        return Picture(drawing.name, drawing.caption, files) if files else None

    def write(self, folder: Path) -> None:
        """Write which pictures the report holds into its cache's folder, which exists."""
        (folder / _INDEX).write_text(json.dumps(self._now), encoding="utf-8")


def _index(path: Path) -> dict[str, dict[str, str]]:
    """By key, the digest of each file of a picture by its format; nothing where it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict) or not all(isinstance(files, dict) for files in content.values()):
        return {}
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@cache
def _drawer() -> bytes:
    """What draws: the code that a picture depends on, and matplotlib's version."""
    code = [(Path(__file__).parent / name).read_bytes() for name in _CODE]
    return b"\0".join([mpl.__version__.encode(), *code])


def _key(drawing: Drawing, looks: Mapping[str, Look]) -> str:
    panels = drawing.panels if isinstance(drawing, Chart) else ()
    own = tuple((series.entry, looks.get(series.entry)) for panel in panels for series in panel.series)
    found = hashlib.sha256(_drawer())
    for part in _parts((type(drawing).__name__, drawing, own)):
        found.update(part)
    return found.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    """All of a value of dataclasses, tuples, arrays and plain values, as bytes that tell it from any other."""
    if is_dataclass(value):
        yield from _parts(tuple(getattr(value, field.name) for field in fields(value)))
    elif isinstance(value, tuple):
        yield f"({len(value)}".encode()
        for item in value:
            yield from _parts(item)
    elif isinstance(value, np.ndarray):
        yield f"[{value.dtype} {value.shape}".encode()
        yield value.tobytes()
    else:
        yield f"{value!r};".encode()
