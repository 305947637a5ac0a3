"""Keeps a run's writing inside its own folder: what is a symbolic link there leads elsewhere."""

from pathlib import Path

from hessrun.errors import RecordError
from hessrun.record import schema

_WHOLE = (schema.CONFIG, schema.MANIFEST, schema.STATUS, schema.CHECKPOINT)
_WRITTEN = (
    *_WHOLE,
    *(f"{name}.tmp" for name in _WHOLE),
    schema.CHECKPOINT_PREVIOUS,
    schema.TRACE,
    schema.LOG,
    schema.SPECTRA,
    schema.POINTS,
    schema.LOCK,
    schema.RESERVE,
    schema.PARTIAL,
)


def refuse_links(folder: Path) -> None:
    """Raise RecordError where the run's folder, or a name that a run writes to in it, is a symbolic link.

    Folders above it may be links: they are the user's choice of a disk.
    """
    for path in (folder, *(folder / name for name in _WRITTEN)):
        if path.is_symlink():
            raise RecordError(
                f"{path}: is a symbolic link, and a run writes inside its own folder alone. Remove the link, or choose "
                "another experiment=NAME."
            )
