from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tocsin_schemas.broker import BrokerSettings

SECRET = "hunter2-7c9e"


def settings(**values: Any) -> BrokerSettings:
    return BrokerSettings.model_validate({"url": "mqtts://broker.example.com"} | values)


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "path"),
    [
        ("mqtt://broker", "broker", 1883, False, None),
        ("mqtts://broker", "broker", 8883, True, None),
        ("mqtts://broker.example.com:443", "broker.example.com", 443, True, None),
        ("mqtts://broker/", "broker", 8883, True, None),
        ("MQTTS://Broker", "broker", 8883, True, None),
        ("mqtt://10.0.0.1:1", "10.0.0.1", 1, False, None),
        ("mqtt://[2001:db8::1]:65535", "2001:db8::1", 65535, False, None),
        ("mqtt://mosquitto.tocsin.svc", "mosquitto.tocsin.svc", 1883, False, None),
        ("mqtt://müller.example", "müller.example", 1883, False, None),
        ("ws://broker", "broker", 80, False, "/mqtt"),
        ("wss://broker", "broker", 443, True, "/mqtt"),
        ("ws://broker/", "broker", 80, False, "/"),
        ("wss://broker:8084/a/b", "broker", 8084, True, "/a/b"),
    ],
)
def test_a_good_url_tells_where_to_connect_and_how(
    url: str, host: str, port: int, *, tls: bool, path: str | None
) -> None:
    broker = settings(url=url).connection(client_id="me")
    assert (broker.host, broker.port, broker.tls, broker.websocket_path) == (host, port, tls, path)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "expected a url such as"),
        ("broker", "expected a url such as"),
        ("broker:1883", "expected a url such as"),
        ("//broker", "expected a url such as"),
        ("tcp://broker", "expected a url such as"),
        ("https://broker", "expected a url such as"),
        ("mqtt:broker", "expected a url such as"),
        ("mqtt://", "expected a url such as"),
        ("mqtt://:1883", "expected a url such as"),
        ("mqtt://a b", "expected a url such as"),
        ("mqtt://[::1", "expected a url such as"),
        ("mqtt://[nonsense]", "expected a url such as"),
        ("mqtt://me@broker", "without an account"),
        ("mqtt://me:secret@broker", "without an account"),
        ("mqtt://:secret@broker", "without an account"),
        ("mqtt://broker:0", "expected a port from 1 to 65535"),
        ("mqtt://broker:65536", "expected a port from 1 to 65535"),
        ("mqtt://broker:-1", "expected a port from 1 to 65535"),
        ("mqtt://broker:port", "expected a port from 1 to 65535"),
        ("mqtt://broker:", "expected a port from 1 to 65535"),
        ("mqtt://broker/path", "expected nothing behind the port"),
        ("mqtt://broker?x=1", "expected nothing behind the port"),
        ("mqtt://broker#x", "expected nothing behind the port"),
        ("ws://broker/mqtt?token=1", "expected nothing behind the port"),
    ],
)
def test_a_bad_url_is_refused_and_what_was_expected_is_told(url: str, words: str) -> None:
    with pytest.raises(ValidationError) as error:
        settings(url=url)
    assert words in error.value.errors()[0]["msg"]


def test_what_is_not_said_has_a_default() -> None:
    broker = settings().connection(client_id="tocsin-producer-edge", username="edge")
    assert (broker.client_id, broker.username, broker.password) == ("tocsin-producer-edge", "edge", None)
    assert (broker.keepalive_seconds, broker.connect_timeout_seconds) == (240, 20.0)
    assert (broker.session_expiry_seconds, broker.clean_start) == (7 * 86_400, False)
    assert (broker.password_file, broker.ca_file, broker.cert_file, broker.key_file) == (None, None, None, None)


def test_what_is_said_wins_over_what_the_side_would_choose() -> None:
    broker = settings(username="ops", client_id="mine", keepalive="10s", session_expiry="1h").connection(
        client_id="theirs", username="edge", clean_start=True
    )
    assert (broker.username, broker.client_id, broker.clean_start) == ("ops", "mine", True)
    assert (broker.keepalive_seconds, broker.session_expiry_seconds) == (10, 3600)


def test_a_certificate_and_its_key_come_together(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    for key in ("cert_file", "key_file"):
        with pytest.raises(ValidationError, match="expected cert_file and key_file together"):
            settings(**{key: file})
    broker = settings(cert_file=file, key_file=file).connection(client_id="me")
    assert (broker.cert_file, broker.key_file) == (str(file), str(file))


def test_a_password_comes_from_one_place(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(ValidationError, match="expected either password or password_file, found both"):
        settings(password="p", password_file=file)


@pytest.mark.parametrize("url", ["mqtt://broker", "ws://broker"])
@pytest.mark.parametrize("key", ["ca_file", "cert_file"])
def test_a_key_of_tls_without_tls_is_refused_since_it_would_do_nothing(url: str, key: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    keys = {key: file} | ({"key_file": file} if key == "cert_file" else {})
    with pytest.raises(ValidationError, match=f"expected a url with mqtts or wss, since there is {key}"):
        settings(url=url, **keys)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("keepalive", "9s"),
        ("keepalive", "19h"),
        ("connect_timeout", "0s"),
        ("connect_timeout", "6m"),
        ("session_expiry", "59s"),
        ("session_expiry", "366d"),
        ("client_id", ""),
        ("client_id", "x" * 129),
        ("ca_file", "/nonexistent/ca.crt"),
        ("retries", 3),
    ],
)
def test_a_value_out_of_bounds_and_a_key_that_does_nothing_are_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError) as error:
        settings(**{key: value})
    assert [detail["loc"] for detail in error.value.errors()] == [(key,)]


def test_the_password_is_never_in_a_repr() -> None:
    section = settings(password=SECRET)
    broker = section.connection(client_id="me")
    assert SECRET not in f"{section!r} {section} {broker!r} {broker}"
    assert broker.read_password() == SECRET


def test_a_password_file_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old\n")
    broker = settings(password_file=file).connection(client_id="me")
    assert broker.read_password() == "old"
    file.write_text("new")
    assert broker.read_password() == "new"
