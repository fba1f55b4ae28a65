import string
from datetime import timedelta

import pytest

from tocsin_consumer.labels import LABELS, duration


def _fields(text: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(text)} - {None}


def test_all_languages_have_the_same_words_with_the_same_blanks() -> None:
    blanks = [{key: _fields(text) for key, text in words.items()} for words in LABELS.values()]
    assert blanks[1:] == blanks[:-1]
    assert all(text.strip() for words in LABELS.values() for text in words.values())


@pytest.mark.parametrize(
    ("seconds", "en", "zh"),
    [
        (0, "0 s", "0 秒"),
        (-5, "0 s", "0 秒"),
        (59.9, "59 s", "59 秒"),
        (61, "1 min 1 s", "1 分钟 1 秒"),
        (3600, "1 h", "1 小时"),
        (7534, "2 h 5 min", "2 小时 5 分钟"),
        (3601, "1 h", "1 小时"),
        (86400 * 3 + 7200 + 59, "3 d 2 h", "3 天 2 小时"),
    ],
)
def test_a_duration_is_told_in_at_most_two_neighbouring_units(seconds: float, en: str, zh: str) -> None:
    assert duration(timedelta(seconds=seconds), "en") == en
    assert duration(timedelta(seconds=seconds), "zh") == zh
