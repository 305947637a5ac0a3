"""Datasets in files: found where they are, or downloaded once."""

import gzip
import zlib
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar, cast

from hessrun.errors import DataError
from hessrun.options import boolean
from hessrun.problems.datasets.dataset import Dataset

_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, kw_only=True)
class StoredDataset(Dataset):
    """A dataset whose files lie in a folder.

    data_dir: where torchvision keeps such files, each dataset in a folder of its own; what is missing is downloaded to
        it. `~` is the home folder.
    source: a folder that has the files already, flat or in torchvision's layout; nothing is downloaded then.
    download: false never reaches for the network.

    A subclass is final, and names `folder`, its files below a root in torchvision's layout.
    """

    folder: ClassVar[str]

    data_dir: str = "~/.cache/hessrun"
    source: str | None = None
    download: bool = True

    @abstractmethod
    def fetch(self, missing: Sequence[str], folder: Path) -> None:
        """Download the missing files to a folder. Raises DataError where that fails, and leaves no part of a file."""

    def locate(self, names: Sequence[str]) -> list[Path]:
        """Where the files are, downloading what is missing where that is allowed.

        Raises DataError, naming the first missing file, the folders looked into and what to do.
        """
        boolean("dataset.download", self.download)
        root = Path(self.data_dir if self.source is None else self.source).expanduser()
        if self.source is not None and not root.is_dir():
            raise DataError(f"dataset.source={self.source}: there is no such folder.")
        folders = [root / self.folder, root]
        missing = [name for name in names if _find(folders, name) is None]
        if missing and self.source is not None:
            raise DataError(
                f"{missing[0]}: in neither {folders[1]} nor {folders[0]}; set dataset.source to the folder of "
                f"{self.label}'s files, or to null to download them."
            )
        if missing and not self.download:
            raise DataError(
                f"{missing[0]}: in neither {folders[1]} nor {folders[0]}, and dataset.download is false; put the file "
                "there or set dataset.source to the folder that has it."
            )
        if missing:
            self.fetch(missing, folders[0])
        found = [_find(folders, name) for name in names]
        return [path for path in found if path is not None]


def _find(folders: Sequence[Path], name: str) -> Path | None:
    candidates = (folder / (name + ending) for folder in folders for ending in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def read_bytes(path: Path) -> bytes:
    """A file's content, unpacked where it is gzipped, whatever its name says.

    Raises DataError where it cannot be read or its archive is cut off or damaged.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            file.seek(0)
            with closing(cast(IO[bytes], gzip.GzipFile(fileobj=file) if packed else file)) as content:
                return content.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the gzipped file is truncated or damaged ({error}); get it anew.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None
