"""Python's warnings, told as they are raised: once each, and shown once."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO


@contextmanager
def noticing_warnings(tell: Callable[[str], None]) -> Iterator[None]:
    """Inside, `tell` gets a sentence for each warning that differs from those before; the filters hold as they are."""
    told: set[str] = set()
    with warnings.catch_warnings():  # which also forgets what was shown before: a sweep's second cell has its own
        show = warnings.showwarning

        def notice(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            sentence = f"{category.__name__}: {' '.join(str(message).split())}"
            if sentence not in told:
                told.add(sentence)
                tell(sentence)
                show(message, category, filename, lineno, file, line)

        warnings.showwarning = notice
        yield
