"""Downloads by torchvision's downloader, complete or not at all."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlparse

from hessrun.errors import DataError


@contextmanager
def downloaded(urls: Sequence[str], folder: Path, *, md5: str, goal: str) -> Iterator[Path]:
    """The file behind the first of the mirrors that answers, in a temporary folder inside `folder` that ends with it.

    md5: of the file. goal: the file that is wanted in the end, for the message. What is to be kept is moved out of the
    temporary folder by `os.replace`, so that nobody ever sees a part of a file.
    Raises DataError where no mirror gives the file; the folders made for it are then taken away again.
    """
    from torchvision.datasets.utils import download_url

    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as temporary:
            yield _first_that_answers(download_url, urls, Path(temporary), folder, md5, goal)
    except OSError as error:
        raise DataError(f"{goal}: {folder} cannot be written to ({error.strerror}); set dataset.data_dir.") from error
    finally:
        for path in made:
            with suppress(OSError):  # not empty: the download was kept
                path.rmdir()


def _first_that_answers(
    download_url: object, urls: Sequence[str], temporary: Path, folder: Path, md5: str, goal: str
) -> Path:
    reasons = []
    for url in urls:
        try:
            download_url(url, root=temporary, filename="archive", md5=md5)  # type: ignore[operator]
            return temporary / "archive"
        # URLError, timeouts and cut connections are OSErrors; RuntimeError is torchvision's for a wrong checksum.
        except (OSError, RuntimeError, ValueError) as error:
            reasons.append(f"{urlparse(url).hostname}: {getattr(error, 'reason', error)}")
    raise DataError(
        f"{goal}: not in {folder}, and the download failed ({'; '.join(reasons)}); put the file there, or set "
        "dataset.source to a folder that has it."
    )


def keep(path: Path, target: Path) -> None:
    """Move a complete file to where it stays, at once."""
    os.replace(path, target)
