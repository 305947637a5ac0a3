"""Finds a dataset's files in a folder, reads them gzipped or not, and fetches them on first use."""

import contextlib
import gzip
import io
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from hessrun.errors import DataError


def find_files(folder: Path, names: Sequence[str]) -> list[Path] | None:
    """The files of these names in a folder, each as it is or with `.gz`; None where one is missing."""
    found = [_find(folder, name) for name in names]
    return None if None in found else [path for path in found if path is not None]


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def missing_file(dataset: str, folders: Sequence[Path], names: Sequence[str]) -> DataError:
    """The error for a `source` that lacks files: the first that is missing, where it was looked for, what to do."""
    if not any(folder.is_dir() for folder in folders):
        return DataError(
            f"dataset.source={folders[0]}: no such folder; give the one that holds {dataset}'s files "
            f"({', '.join(names)})."
        )
    fullest = max(folders, key=lambda folder: sum(_find(folder, name) is not None for name in names))
    first = next(name for name in names if _find(fullest, name) is None)
    return DataError(
        f"{fullest / first}: missing (also as {first}.gz); {dataset} needs {', '.join(names)} there. "
        "Without dataset.source they are downloaded into dataset.data_dir."
    )


def fetch_files(dataset: str, folder: Path, names: Sequence[str], download: Callable[[str], object]) -> None:
    """Fetch those of a dataset's files that its folder lacks.

    download: torchvision's downloader, given a temporary folder as its root; files come into `folder` whole, by a
    rename, so that a download that breaks off leaves nothing behind, no empty folder either.
    Raises DataError, which names the files and the folder, where the download fails.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as temporary:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                download(temporary)
            for name in names:
                arrived = next((path for path in sorted(Path(temporary).rglob(name)) if path.is_file()), None)
                if arrived is None:
                    raise DataError(f"{dataset}: the download holds no {name}; put {', '.join(names)} into {folder}.")
                if _find(folder, name) is None:
                    arrived.replace(folder / name)
    # URLError is an OSError; torchvision raises RuntimeError for a wrong checksum or when all mirrors have failed.
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{dataset} cannot be downloaded into {folder} ({reason}): put {', '.join(names)} there, or set "
            "dataset.source to a folder that has them; dataset=digits needs no network."
        ) from error
    finally:
        for path in made:
            with contextlib.suppress(OSError):  # not empty: the download is in it
                path.rmdir()


def content_of(path: Path) -> bytes:
    """A file's bytes, uncompressed if they are a gzip stream (told by content, not by name).

    Raises DataError where it cannot be read.
    """
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except EOFError:
        raise DataError(f"{path}: truncated: the compressed stream breaks off; fetch it again.") from None
    except (OSError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); fetch it again.") from None
