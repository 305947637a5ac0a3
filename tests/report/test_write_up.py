"""A write-up's places are found in whatever form they have and filled; nothing else of it is touched."""

import pytest

from hessrun.errors import RecordError
from hessrun.report.write_up import SENTENCE, filled, read_write_up

TEXTS = {"Results": "R one.\n\nR two.", "Discussion": "D ünî.", "Conclusion": "C.", SENTENCE: "0.5 times the memory."}
WHOLE = """\
# Training with Hessian methods

Motivation: $H^{-1}\\nabla\\mathcal{L}(\\theta)$ – “quoted”, naïve, 中文.

```python
# Results
TODO = 1
```

### L-BFGS
The limited-memory BFGS algorithm outperforms the traditional BFGS algorithm by\x20

### Results
Results Placeholder

### Discussion
Discussion Placeholder

### Conclusion
Conclusion Placeholder"""


@pytest.fixture
def fill(tmp_path):
    def do(text):
        path = tmp_path / "write-up.md"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return filled(read_write_up(path), TEXTS)

    return do


def _expected(text):
    text = text.replace("algorithm by ", f"algorithm by {TEXTS[SENTENCE]}")
    for name in ("Results", "Discussion", "Conclusion"):
        text = text.replace(f"{name} Placeholder", TEXTS[name])
    return text


def test_four_places_are_filled_and_all_else_is_as_it_was(fill):
    assert fill(WHOLE).decode() == _expected(WHOLE)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "\n",
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("###", "#"),
        lambda text: text + "\n\n### Acknowledgements\nThanks.\n",
        lambda text: text.replace("TODO = 1", "a\u2028# Results\u2028b\x0c\n# Discussion"),
    ],
)
def test_in_every_form_of_file(fill, change):
    crlf = "\r\n" in change(WHOLE)
    expected = _expected(change(WHOLE))
    assert fill(change(WHOLE)).decode() == (expected.replace("\r\n", "\n").replace("\n", "\r\n") if crlf else expected)


def test_bytes_that_are_no_utf8_are_kept(fill):
    assert fill(b"caf\xe9\n# Results\nTODO\n") == b"caf\xe9\n# Results\nR one.\n\nR two.\n"


@pytest.mark.parametrize(
    ("heading", "body"),
    [
        ("# Results", "TODO"),
        ("## Results", "TBD."),
        ("### results ###", "*Results placeholder*"),
        ("#### Result", "<!-- TODO -->"),
        ("## 4. Results", "[Results Placeholder]"),
        ("## **Results**", "TODO: say what came out."),
        ("# Results:", "To be written."),
        ("# RESULTS", "\n\nplaceholder\n"),
    ],
)
def test_a_placeholder_has_many_forms(fill, heading, body):
    shape = "Before.\n\n{}\n{}\n\n# After\nText.\n"
    assert fill(shape.format(heading, body)).decode() == shape.format(
        heading, body.replace(body.strip(), TEXTS["Results"])
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("## Conclusion", "## Conclusion\n\nC."),
        ("## Conclusion\n", "## Conclusion\n\nC."),
        ("## Conclusion\n\n", "## Conclusion\n\nC.\n\n"),
        ("## Conclusion\n## Thanks\nAll.\n", "## Conclusion\n\nC.\n## Thanks\nAll.\n"),
        ("## Conclusion\n\n\n## Thanks\n", "## Conclusion\n\nC.\n\n\n## Thanks\n"),
        ("x\r\n## Conclusion\r\n\r\n# Thanks\r\n", "x\r\n## Conclusion\r\n\r\nC.\r\n\r\n# Thanks\r\n"),
    ],
)
def test_an_empty_section_is_a_place(fill, text, expected):
    assert fill(text).decode() == expected


@pytest.mark.parametrize("gap", ["", " ", "...", " …", " ____ ", " TODO"])
def test_the_sentence_may_break_off_in_many_ways(fill, gap):
    text = f"Then L-BFGS clearly outperforms BFGS by{gap}\nmore.\n"
    after = gap if gap.isspace() else " "
    assert fill(text).decode() == f"Then L-BFGS clearly outperforms BFGS by{after}0.5 times the memory.\nmore.\n"


@pytest.mark.parametrize(
    "written",
    [
        "# Results\nWe found that BFGS wins.\n",
        "# Results\nThe word TODO stands here,\nand the text goes on.\n",
        "# Results\n## On digits\nBFGS wins.\n",
        "# Method\nTODO\n",
        "```\n# Results\nTODO\n```\n",
        "L-BFGS outperforms BFGS by 3 %.\n",
        "",
    ],
)
def test_what_is_written_is_no_place(tmp_path, written):
    path = tmp_path / "write-up.md"
    path.write_text(written)
    with pytest.raises(RecordError, match=r"write-up\.md: has no place to fill"):
        read_write_up(path)


def test_the_first_empty_one_of_two_sections_is_filled(fill):
    text = "# Results\nWritten.\n# Results\nTODO\n# Results\nTODO\n"
    assert fill(text).decode() == text.replace("TODO", TEXTS["Results"], 1)


def test_what_is_lacking_is_named(tmp_path):
    path = tmp_path / "write-up.md"
    path.write_text("# Discussion\nTBD\n")
    assert read_write_up(path).lacking == ["Results", "Conclusion", SENTENCE]


@pytest.mark.parametrize("name", ["nowhere.md", "."])
def test_a_write_up_that_cannot_be_read(tmp_path, name):
    with pytest.raises(RecordError, match="cannot be read"):
        read_write_up(tmp_path / name)
