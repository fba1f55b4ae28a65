import logging
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from tests.mosquitto import Mosquitto
from tests.schemas.session_harness import Recorder, broker_at, running, unique
from tests.schemas.websocket_relay import WebSocketRelay
from tests.waiting import until
from tocsin_schemas.session import Broker

pytestmark = pytest.mark.broker

#: TLS on the port, and plain MQTT beside it for what is not ours.
TLS = (
    "listener {port} 127.0.0.1\nallow_anonymous true\ncertfile {folder}/server.pem\nkeyfile {folder}/server.key\n"
    "cafile {folder}/ca.pem\nmax_queued_messages 5000\n"
)
BURST = 2000


@dataclass(frozen=True)
class Certificates:
    folder: Path
    ca: trustme.CA
    server: trustme.LeafCert

    def file(self, name: str) -> str:
        return str(self.folder / name)

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.configure_cert(context)
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    ca = trustme.CA()
    server, client = ca.issue_cert("127.0.0.1", "localhost"), ca.issue_cert("edge-042")
    stranger = ca.issue_cert("broker.example.com")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other-ca.pem")
    for name, leaf in (("server", server), ("client", client), ("stranger", stranger)):
        leaf.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
        leaf.private_key_pem.write_to_path(folder / f"{name}.key")
    _write_encrypted(client.private_key_pem.bytes(), folder / "locked.key")
    return Certificates(folder, ca, server)


def _write_encrypted(key: bytes, file: Path) -> None:
    loaded = serialization.load_pem_private_key(key, password=None)
    locked = serialization.BestAvailableEncryption(b"pass phrase")
    file.write_bytes(
        loaded.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked),
    )


@pytest.fixture
def tls_broker(certificates: Certificates, tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path, TLS.replace("{folder}", str(certificates.folder))) as broker:
        yield broker


@pytest.fixture
def aim(tls_broker: Mosquitto, certificates: Certificates) -> Callable[..., Broker]:
    def aim(**changes: object) -> Broker:
        return broker_at(tls_broker.port, **({"tls": True, "ca_file": certificates.file("ca.pem")} | changes))

    return aim


def first_warning(broker: Broker, caplog: pytest.LogCaptureFixture) -> str:
    with running(broker, Recorder()):
        until(lambda: [record for record in caplog.records if record.levelno == logging.WARNING])
    return caplog.records[0].getMessage()


def exchange_burst(mosquitto: Mosquitto, broker: Broker, sender: Broker) -> list[bytes]:
    """Return what arrives of a burst that is published in one go."""
    topic = unique()
    receiver, producer = Recorder(filters=(topic,)), Recorder()
    with running(broker, receiver, receive_maximum=BURST), running(sender, producer) as run:
        until(lambda: "SUBACK" in mosquitto.log() and producer.connections)
        producer.outbox.extend((topic, b"%d" % number, False) for number in range(BURST))
        run.session.wake()
        until(lambda: len(receiver.messages) == BURST, within_seconds=30)
        until(lambda: len(producer.acknowledged) == BURST)
    assert receiver.lost == ["stopped"]
    return receiver.payloads()


def test_a_burst_over_tls_arrives_without_a_stall(aim: Callable[..., Broker], tls_broker: Mosquitto) -> None:
    # The keepalive would hide a stall of less than a quarter of itself.
    received = exchange_burst(tls_broker, aim(keepalive_seconds=600), aim(keepalive_seconds=600))
    assert received == [b"%d" % number for number in range(BURST)]


def test_a_name_that_the_certificate_does_not_have_is_told(
    certificates: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = TLS.replace("{folder}/server", f"{certificates.folder}/stranger").replace(
        "{folder}", str(certificates.folder)
    )
    with Mosquitto(tmp_path, text) as mosquitto:
        broker = broker_at(mosquitto.port, tls=True, ca_file=certificates.file("ca.pem"))
        warning = first_warning(broker, caplog)
    assert "TLS: IP address mismatch" in warning
    assert "check ca_file and the name in the broker's url" in warning


def test_a_ca_that_did_not_sign_the_broker_is_told(
    aim: Callable[..., Broker], certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    warning = first_warning(aim(ca_file=certificates.file("other-ca.pem")), caplog)
    assert "TLS: " in warning
    assert "check ca_file and the name in the broker's url" in warning


def test_a_broker_without_tls_on_its_port_is_told(mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture) -> None:
    warning = first_warning(broker_at(mosquitto.port, tls=True), caplog)
    assert "TLS: " in warning
    assert "does the broker speak TLS on this port?" in warning


def test_a_tls_port_that_is_spoken_to_in_plain_is_told(
    tls_broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    assert "does it want TLS on this port?" in first_warning(broker_at(tls_broker.port), caplog)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ca_file": "missing.pem"}, "ca_file missing.pem cannot be used: No such file or directory"),
        ({"ca_file": "{folder}/server.key"}, "server.key cannot be used: no certificate or crl found"),
        ({"cert_file": "{folder}/client.pem", "key_file": "{folder}/server.key"}, "key values mismatch"),
        ({"cert_file": "{folder}/client.pem", "key_file": "missing.key"}, "No such file or directory"),
        # OpenSSL would ask the terminal for the pass phrase, and wait.
        (
            {"cert_file": "{folder}/client.pem", "key_file": "{folder}/locked.key"},
            "cannot be used together",
        ),
    ],
)
def test_a_file_of_a_certificate_that_cannot_be_used_is_named(
    changes: dict[str, str],
    words: str,
    aim: Callable[..., Broker],
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
) -> None:
    files = {key: value.replace("{folder}", str(certificates.folder)) for key, value in changes.items()}
    assert words in first_warning(aim(**files), caplog)


def test_mutual_tls_shows_our_certificate_and_without_one_guesses_what_is_missing(
    certificates: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = TLS.replace("{folder}", str(certificates.folder)) + "require_certificate true\n"
    cert_file, key_file = certificates.file("client.pem"), certificates.file("client.key")
    with Mosquitto(tmp_path, text) as mosquitto:
        stranger = broker_at(mosquitto.port, tls=True, ca_file=certificates.file("ca.pem"))
        recorder = Recorder()
        with running(replace(stranger, cert_file=cert_file, key_file=key_file), recorder):
            until(lambda: recorder.connections)
        assert "(does it want a certificate of ours?)" in first_warning(stranger, caplog)


def test_websockets_carry_a_burst_whose_frames_hold_many_packets(mosquitto: Mosquitto) -> None:
    with WebSocketRelay(mosquitto.port) as relay:
        broker = broker_at(relay.port, websocket_path="/mqtt", keepalive_seconds=600)
        received = exchange_burst(mosquitto, broker, broker_at(mosquitto.port))
    assert received == [b"%d" % number for number in range(BURST)]


def test_websockets_over_tls_carry_a_burst(mosquitto: Mosquitto, certificates: Certificates) -> None:
    with WebSocketRelay(mosquitto.port, context=certificates.server_context()) as relay:
        broker = broker_at(
            relay.port,
            websocket_path="/mqtt",
            tls=True,
            ca_file=certificates.file("ca.pem"),
            keepalive_seconds=600,
        )
        received = exchange_burst(mosquitto, broker, broker_at(mosquitto.port))
    assert received == [b"%d" % number for number in range(BURST)]


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_a_web_server_that_knows_no_such_path_is_told(
    tls: bool, mosquitto: Mosquitto, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    with WebSocketRelay(mosquitto.port, context=certificates.server_context() if tls else None) as relay:
        broker = broker_at(relay.port, websocket_path="/other", tls=tls, ca_file=certificates.file("ca.pem"))
        assert "WebSocket handshake error" in first_warning(broker, caplog)
