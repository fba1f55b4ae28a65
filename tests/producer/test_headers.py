import http.client
import io

import pytest

from tocsin_producer.headers import Message, Parser

FIELDS = (
    "Content-Type: application/json\r\nDate:  Thu, 26 Nov 2026 01:00:00 GMT \r\n"
    "Warning: one\r\nwarning: two\r\nX-Long: begun\r\n\tand: ended\r\n\r\n"
)


@pytest.fixture
def message() -> Message:
    return Parser(Message).parsestr(FIELDS)


def test_a_field_is_found_by_its_name_in_any_case(message: Message) -> None:
    assert message.get("content-type") == "application/json"


def test_blanks_around_a_value_are_none_of_it(message: Message) -> None:
    assert message.get("Date") == "Thu, 26 Nov 2026 01:00:00 GMT"


def test_all_fields_of_one_name_are_found(message: Message) -> None:
    assert message.get_all("WARNING") == ["one", "two"]
    assert message.get("Warning") == "one"


def test_what_is_not_there_is_the_default(message: Message) -> None:
    assert message.get_all("Retry-After") is None
    assert message.get("Retry-After") is None
    assert message.get("Retry-After", "") == ""


def test_a_field_goes_on_in_a_line_that_begins_with_a_blank(message: Message) -> None:
    assert message.get("X-Long") == "begun and: ended"


@pytest.mark.parametrize("text", ["\r\n", " more of nothing\r\n\r\n", "no field\r\n\r\n"])
def test_a_line_that_is_no_field_says_nothing(text: str) -> None:
    assert Parser(Message).parsestr(text).items() == []


def test_fields_read_as_the_standard_library_reads_them(message: Message) -> None:
    text = FIELDS.replace("X-Long: begun\r\n\tand: ended\r\n", "")
    standard = http.client.parse_headers(io.BytesIO(text.encode()))
    assert Parser(Message).parsestr(text).items() == [(name, value.strip()) for name, value in standard.items()]
    assert message.items()[:4] == Parser(Message).parsestr(text).items()
