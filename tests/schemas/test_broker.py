from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
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


@dataclass(frozen=True)
class Files:
    """Certificates as a person has them."""

    ca: Path
    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("certificates")
    found = Files(folder / "ca.crt", folder / "tls.crt", folder / "tls.key")
    authority = trustme.CA()
    ours = authority.issue_cert("edge-042")
    authority.cert_pem.write_to_path(str(found.ca))
    ours.cert_chain_pems[0].write_to_path(str(found.certificate))
    ours.private_key_pem.write_to_path(str(found.key))
    return found


def problem(**values: Any) -> tuple[tuple[str | int, ...], str]:
    with pytest.raises(ValidationError) as error:
        settings(**values)
    (detail,) = error.value.errors()
    return detail["loc"], detail["msg"].removeprefix("Value error, ")


def test_a_certificate_and_its_key_come_together(files: Files) -> None:
    together = "expected cert_file and key_file together, found only one of them"
    assert problem(cert_file=files.certificate) == (("key_file",), together)
    assert problem(key_file=files.key) == (("key_file",), together)
    broker = settings(cert_file=files.certificate, key_file=files.key).connection(client_id="me")
    assert (broker.cert_file, broker.key_file) == (str(files.certificate), str(files.key))


def test_a_certificate_and_a_key_that_do_not_belong_together_are_found_before_the_first_connection(
    files: Files, tmp_path: Path
) -> None:
    other = tmp_path / "other.key"
    trustme.CA().issue_cert("edge-043").private_key_pem.write_to_path(str(other))
    place, words = problem(cert_file=files.certificate, key_file=other)
    assert place == ("key_file",)
    assert words.endswith("cannot be used together: key values mismatch")


def test_an_authoritys_file_without_certificates_is_found_before_the_first_connection(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_text("not a certificate")
    assert problem(ca_file=file) == (("ca_file",), f"{file} has no certificates in PEM form")


def test_a_password_comes_from_one_place_and_is_one(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    assert problem(password="p", password_file=file) == (
        ("password_file",),
        "expected either password or password_file, found both",
    )
    file.write_text("\n")
    assert problem(password_file=file) == (("password_file",), f"{file} is empty")


@pytest.mark.parametrize("url", ["mqtt://broker", "ws://broker"])
@pytest.mark.parametrize("key", ["ca_file", "cert_file"])
def test_a_key_of_tls_without_tls_is_refused_since_it_would_do_nothing(url: str, key: str, files: Files) -> None:
    keys = {"ca_file": files.ca} if key == "ca_file" else {"cert_file": files.certificate, "key_file": files.key}
    with pytest.raises(ValidationError) as error:
        settings(url=url, **keys)
    assert {detail["loc"]: detail["msg"] for detail in error.value.errors()} == {
        (name,): "Value error, is for a url with mqtts or wss only" for name in keys
    }


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as error:
        settings(url="mqtt://broker", password="p", password_file=__file__, ca_file=tmp_path, keepalive="1s")
    assert {detail["loc"] for detail in error.value.errors()} == {("password_file",), ("ca_file",), ("keepalive",)}


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
