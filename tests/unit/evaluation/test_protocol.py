import pytest

from benchpool.errors import DatasetError
from benchpool.evaluation.protocol import Protocol


@pytest.mark.parametrize(
    ("text", "protocol", "written"),
    [
        ("cloze", Protocol("cloze", "stored"), "cloze"),
        ("cloze/stored", Protocol("cloze", "stored"), "cloze"),
        ("letters/bf16", Protocol("letters", "bf16"), "letters/bf16"),
        ("letters/reordered", Protocol("letters", control="reordered"), "letters/reordered"),
        (
            "cloze/bf16/answers-only",
            Protocol("cloze", "bf16", "answers-only"),
            "cloze/bf16/answers-only",
        ),
    ],
)
def test_a_protocol_has_one_written_form(text, protocol, written):
    assert Protocol.parse(text) == protocol
    assert str(protocol) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/bf16",
        "cloze/f8",
        "cloze/bf16/",
        "cloze/BF16",
        "/",
        "cloze/reordered/bf16",
        "letters/reordered/reordered",
    ],
)
def test_what_is_none_is_refused(text):
    with pytest.raises(DatasetError, match="not a protocol"):
        Protocol.parse(text)
