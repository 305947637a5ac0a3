"""Numbers and lists in words: what every sentence of the report is made with."""

from collections.abc import Iterable

from hessrun.report.tables import shown

_PLAIN_STARTS = (
    *("A", "At", "By", "From", "Gradient", "If", "In", "It", "Measured", "Of", "On", "Over", "Share", "The", "To"),
)


def plural(count: int, word: str, words: str | None = None) -> str:
    """`1 seed`, `3 seeds`, `1,257 examples`; words: of several, where that is no `s` more."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {words or f'{word}s'}"


def amount_of(amount: float, words: str) -> str:
    """`1 pass`, `2.5 passes`, `1 iteration`, `3 optimizer seconds`."""
    single = words.removesuffix("es") if words == "passes" else words.removesuffix("s")
    number = f"{amount:,.0f}" if 1e3 <= abs(amount) < 1e9 else shown(amount)
    return f"{number} {single if amount == 1 else words}"


def ratio_words(value: float) -> str:
    """Three significant digits, and no exponent below a million."""
    return f"{value:,.0f}" if 1e3 <= value < 1e6 else f"{value:.3g}"


def listed(words: Iterable[object]) -> str:
    """`a`, `a and b`, `a, b and c`, each once."""
    distinct = list(dict.fromkeys(map(str, words)))
    return " and ".join([", ".join(distinct[:-1]), distinct[-1]] if len(distinct) > 1 else distinct)


def mid_sentence(sentence: str) -> str:
    """A sentence as it stands after a colon: its first word small, where it is no name."""
    word = sentence.split(" ", 1)[0]
    return sentence[0].lower() + sentence[1:] if word in _PLAIN_STARTS else sentence
