import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin_consumer.inert import inert, one_line, shortened


@pytest.mark.parametrize(
    ("active", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202eesrever", "\\u202eesrever"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("a\x00b\x7f\x9b", "a\\x00b\\x7f\\u009b"),
        ("\ud800", "\\ud800"),
        ("a\r\nb\tc\u2028d", "a  b c d"),
        ("api 重启 ×14 🔥", "api 重启 ×14 🔥"),  # noqa: RUF001 - the sign itself
    ],
)
def test_what_acts_is_spelt_out_and_what_is_read_stays(active: str, shown: str) -> None:
    assert one_line(active) == shown


@given(st.text())
def test_one_line_is_one_line_of_printable_text(text: str) -> None:
    shown = one_line(text)
    assert len(shown.splitlines()) <= 1
    assert not any(character < " " or "\x7f" <= character <= "\x9f" for character in shown)
    assert inert(text).encode("utf-8", "strict") is not None


def test_inert_text_keeps_its_line_breaks() -> None:
    assert inert("one\ntwo\x1b\r\nthree") == "one\ntwo\\x1b\nthree"


def test_a_cut_shows_an_ellipsis_and_stays_within_the_limit() -> None:
    assert shortened("12345", 5) == "12345"
    assert shortened("123456", 5) == "1234…"
    assert shortened("重启失败了吗", 4) == "重启失…"
    assert shortened("123", 0) == "…"
