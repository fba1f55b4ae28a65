"""The password and the login, with the real Mosquitto and some brokers that are worse."""

import socket
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from tests.fakes.faults import Answer
from tests.fakes.webhook import WebhookFake
from tests.mosquitto import Mosquitto, free_port
from tests.schemas.checkups import Report
from tests.schemas.fake_broker import OldBroker
from tests.schemas.session_harness import broker_at
from tocsin_schemas.checkup import Mark
from tocsin_schemas.checkup_broker import check_broker, check_password, judge_plain
from tocsin_schemas.dial import Broker


def examined(broker: Broker) -> Report:
    report = Report()
    _, visit = check_broker(report.checkup, broker)
    visit.close()
    return report


def secret_file(folder: Path, text: str) -> str:
    (folder / "password").write_text(text)
    return str(folder / "password")


@pytest.mark.parametrize("text", ["s3cret", "s3cret\n", "two words\r\n"])
def test_a_password_in_a_file_is_read_and_not_shown(tmp_path: Path, text: str) -> None:
    finding = check_password(broker_at(1, password_file=secret_file(tmp_path, text)))
    assert (finding.mark, finding.text) == (Mark.OK, f"read from {tmp_path}/password")


@pytest.mark.parametrize("text", [" s3cret", "s3cret \n", "s3cret\nand more", "s3cret\n\nmore\n"])
def test_what_was_copied_along_with_a_password_is_a_warning(tmp_path: Path, text: str) -> None:
    finding = check_password(broker_at(1, password_file=secret_file(tmp_path, text)))
    assert finding.mark == Mark.WARNING
    assert finding.run == f"wc {tmp_path}/password"
    assert "s3cret" not in f"{finding}"


def test_a_password_file_that_was_taken_away_is_a_failure() -> None:
    finding = check_password(broker_at(1, password_file="/nowhere/password"))
    assert finding.mark == Mark.FAILED
    assert finding.run == "ls -l /nowhere/password"


@pytest.mark.parametrize(
    ("broker", "mark", "text"),
    [
        (broker_at(1, password="s3cret"), Mark.OK, "from the configuration or the environment"),
        (broker_at(1, cert_file="c", key_file="k"), Mark.OK, "none: the certificate says who we are"),
        (broker_at(1), Mark.WARNING, "there is none, and no certificate either"),
    ],
)
def test_who_we_are_may_be_said_in_other_ways(broker: Broker, mark: Mark, text: str) -> None:
    finding = check_password(broker)
    assert (finding.mark, finding.text) == (mark, text)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_without_tls_nothing_can_be_read_that_does_not_leave_the_machine(host: str) -> None:
    assert judge_plain(broker_at(1, host=host)).mark == Mark.OK


@pytest.mark.parametrize("host", ["broker.example.com", "192.0.2.1"])
def test_without_tls_a_broker_elsewhere_is_a_warning(host: str) -> None:
    finding = judge_plain(broker_at(1883, host=host))
    assert finding.mark == Mark.WARNING
    assert f"mqtts://{host}:8883" in finding.run


@pytest.mark.broker
def test_a_broker_that_takes_us_is_told_with_the_version_that_it_speaks(mosquitto: Mosquitto) -> None:
    report = examined(broker_at(mosquitto.port, username="edge-042", password="x"))
    assert report["broker login"].text == "the broker takes edge-042 and speaks MQTT 5"
    with OldBroker() as old:
        assert examined(broker_at(old.port))["broker login"].text.endswith("speaks MQTT 3.1.1")


@pytest.mark.broker
def test_a_wrong_password_is_told_with_its_file_and_its_account(tmp_path: Path) -> None:
    (tmp_path / "accounts").touch(mode=0o600)
    configuration = "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {folder}/accounts\n"
    with Mosquitto(tmp_path, configuration) as strict:
        file = secret_file(tmp_path, "s3cret")
        finding = examined(broker_at(strict.port, username="edge-042", password_file=file)).only_failure()
    assert finding.text == "the broker refuses the account edge-042: Not authorized"
    assert finding.cause.startswith(f"the password in {file} is not the one of edge-042")
    assert finding.run == f"copy the password anew to {file}, from the broker's private/clients/edge-042/password"
    assert "s3cret" not in f"{finding}"


@pytest.mark.broker
def test_a_client_id_that_is_not_allowed_is_told_as_such(tmp_path: Path) -> None:
    configuration = "listener {port} 127.0.0.1\nallow_anonymous true\nclientid_prefixes tocsin-\n"
    with Mosquitto(tmp_path, configuration) as strict:
        report = examined(broker_at(strict.port, client_id="other"))
        assert examined(broker_at(strict.port, client_id="tocsin-x"))["broker login"].mark == Mark.OK
    finding = report.only_failure()
    assert finding.text.startswith("the broker refuses")
    assert finding.run


@pytest.mark.broker
def test_a_broker_that_wants_a_certificate_of_ours_hangs_up_and_the_cause_says_so(tmp_path: Path) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    leaf.private_key_pem.write_to_path(tmp_path / "tls.key")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    files = (
        "certfile {folder}/tls.crt\nkeyfile {folder}/tls.key\ncafile {folder}/ca.crt\nrequire_certificate true\n"
    )
    with Mosquitto(tmp_path, f"listener {{port}} 127.0.0.1\nallow_anonymous true\n{files}") as strict:
        report = examined(broker_at(strict.port, tls=True, ca_file=str(tmp_path / "ca.crt")))
    finding = report.only_failure()
    assert finding is report["broker login"]
    assert "a certificate of ours (broker.cert_file)" in finding.cause
    assert "the broker's log" in finding.run


@pytest.mark.parametrize(
    ("days_left", "mark", "text"),
    [
        (300, Mark.OK, "edge-042, by Testing CA"),
        (20, Mark.WARNING, "edge-042 expires on"),
        (-1, Mark.FAILED, "edge-042 expired on"),
    ],
)
def test_a_certificate_of_ours_is_looked_at(tmp_path: Path, days_left: int, mark: Mark, text: str) -> None:
    now = datetime.now(UTC)
    leaf = trustme.CA().issue_cert("edge-042", not_after=now + timedelta(days=days_left, hours=1))
    leaf.private_key_pem.write_to_path(tmp_path / "own.key")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "own.crt")
    files = {"cert_file": str(tmp_path / "own.crt"), "key_file": str(tmp_path / "own.key")}
    report = examined(broker_at(free_port(), username="edge-042", **files))
    finding = report["broker cert_file"]
    assert finding.mark == mark
    assert finding.text.startswith(text)
    assert (mark == Mark.OK) or finding.run.startswith("on the broker: mosquitto/setup rotate edge-042")


def test_a_certificate_of_ours_that_was_taken_away_is_told(tmp_path: Path) -> None:
    files = {"cert_file": str(tmp_path / "own.crt"), "key_file": str(tmp_path / "own.key")}
    finding = examined(broker_at(free_port(), **files))["broker cert_file"]
    assert finding.mark == Mark.FAILED
    assert finding.run.startswith("ls -l")


@pytest.mark.broker
def test_plain_mqtt_to_a_port_with_tls_is_told_as_such(tmp_path: Path) -> None:
    leaf = trustme.CA().issue_cert("127.0.0.1")
    leaf.private_key_pem.write_to_path(tmp_path / "tls.key")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    files = "certfile {folder}/tls.crt\nkeyfile {folder}/tls.key\n"
    with Mosquitto(tmp_path, f"listener {{port}} 127.0.0.1\nallow_anonymous true\n{files}") as strict:
        finding = examined(broker_at(strict.port)).only_failure()
    assert "does it want TLS on this port?" in finding.text
    assert "the broker wants TLS on this port (mqtts://)" in finding.cause


def test_a_web_server_without_mqtt_at_that_path_is_told() -> None:
    with WebhookFake(Answer(404)) as service:
        finding = examined(broker_at(service.port, websocket_path="/mqtt")).only_failure()
    assert finding.text == "WebSocket handshake error"
    assert "WebSockets elsewhere than at /mqtt" in finding.cause


def test_who_takes_connections_and_says_nothing_is_no_broker() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as mute:
        report = examined(broker_at(mute.getsockname()[1], connect_timeout_seconds=0.2))
    finding = report.only_failure()
    assert finding is report["broker login"]
    assert finding.text == "no answer in time"
    assert "is no MQTT broker" in finding.cause


def test_a_port_that_is_closed_leaves_the_login_out() -> None:
    report = examined(broker_at(free_port()))
    assert report["broker TCP"].mark == Mark.FAILED
    assert report["broker login"].text == "not looked at: it needs broker TCP"
