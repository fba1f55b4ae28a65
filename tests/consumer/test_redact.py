from urllib.parse import quote

import pytest

from tocsin_consumer.redact import redact, url_secrets

_URL = "https://user:pa55word@hooks.example.com/services/T0000/B0000000?token=a%2Fb+c0123&x=1"


@pytest.mark.parametrize(
    "said",
    [
        f"cannot reach {_URL}",
        "POST /services/T0000/B0000000?token=a%2Fb+c0123&x=1 HTTP/1.1",
        "no such path: /services/T0000/B0000000",
        "token a%2Fb+c0123 is not known",
        "token a/b+c0123 is not known",
        "account pa55word",
        f"quoted {quote(_URL, safe='')}",
    ],
)
def test_no_form_of_a_secret_address_is_shown(said: str) -> None:
    shown = redact(said, url_secrets(_URL))
    assert "***" in shown
    assert not any(part in shown for part in ("B0000000", "c0123", "pa55word"))


def test_host_and_port_are_no_secret() -> None:
    assert redact("hooks.example.com refused", url_secrets(_URL)) == "hooks.example.com refused"


def test_an_address_without_a_path_hides_no_more_than_itself() -> None:
    assert redact("a/b", url_secrets("https://example.com/")) == "a/b"


def test_what_a_service_says_is_one_short_line() -> None:
    shown = redact("\x1b[31m" + "no\n" * 500, ())
    assert shown.startswith("\\x1b[31mno no")
    assert len(shown) == 200


def test_an_empty_secret_hides_nothing() -> None:
    assert redact("abc", ("", "b")) == "a***c"
