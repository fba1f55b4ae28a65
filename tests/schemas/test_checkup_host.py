"""The way to a host, step by step, with the real Mosquitto and every kind of certificate."""

import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.fakes.webhook import WebhookFake
from tests.mosquitto import Mosquitto, free_port
from tests.schemas.checkups import Report
from tocsin_schemas.certificate import Certificate
from tocsin_schemas.checkup import Mark
from tocsin_schemas.checkup_host import Host, _distrusted, check_host
from tocsin_schemas.dial import Broker

TLS = "listener {port} 127.0.0.1\nallow_anonymous true\ncertfile {folder}/tls.crt\nkeyfile {folder}/tls.key\n"
NOW = datetime.now(UTC)

#: Starts a Mosquitto whose certificate is for a name, and is issued with these options.
Start = Callable[..., Mosquitto]


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def start(tmp_path: Path, authority: trustme.CA) -> Iterator[Start]:
    running: list[Mosquitto] = []

    def start(name: str = "localhost", *, issuer: trustme.CA | None = None, **options: Any) -> Mosquitto:
        leaf = (issuer or authority).issue_cert(name, **options)
        leaf.private_key_pem.write_to_path(tmp_path / "tls.key")
        leaf.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
        running.append(Mosquitto(tmp_path, TLS).start())
        return running[-1]

    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    yield start
    for mosquitto in running:
        mosquitto.kill()


def host(port: int, folder: Path, **changes: Any) -> Host:
    context = Broker("localhost", port, "x", tls=True, ca_file=str(folder / "ca.crt")).tls_context
    given: dict[str, Any] = {
        "what": "broker",
        "name": "localhost",
        "port": port,
        "wherefrom": "broker.url",
        "trust": "ca.crt",
        "mend_trust": "copy it anew",
        "renew": "renew it there",
        "tls": context,
        "seconds": 10.0,
    }
    return Host(**(given | changes))


def examined(to: Host, *, now: datetime = NOW) -> Report:
    report = Report()
    check_host(report.checkup, to, now=lambda: now)
    return report


@pytest.mark.broker
def test_a_host_that_is_fine_is_told_with_its_address_and_its_certificate(start: Start, tmp_path: Path) -> None:
    report = examined(host(start(not_after=NOW + timedelta(days=90, hours=1)).port, tmp_path))
    assert set(report.marks().values()) == {Mark.OK}
    assert report["broker DNS"].text == "localhost is 127.0.0.1"
    assert report["broker TLS"].text.startswith("its certificate is for localhost, by Testing CA")
    assert report["broker TLS"].text.endswith("(90 days left)")


def test_a_name_that_nobody_has_is_told_with_where_it_is_written(tmp_path: Path) -> None:
    report = examined(host(1, tmp_path, name="broker.invalid"))
    finding = report.only_failure()
    assert finding is report["broker DNS"]
    assert "broker.url has a mistake" in finding.cause or "the link is down" in finding.cause
    assert "getent hosts broker.invalid" in finding.run
    assert report["broker TLS"].text == "not looked at: it needs broker DNS"


@pytest.mark.parametrize(
    ("code", "text", "cause"),
    [
        (socket.EAI_NONAME, "nobody has the name far.example.com", "broker.url has a mistake in it"),
        (socket.EAI_AGAIN, "DNS cannot tell the address of far.example.com just now", "the link is down"),
    ],
)
def test_dns_that_knows_no_such_name_is_another_thing_than_dns_that_is_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int, text: str, cause: str
) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> None:
        raise socket.gaierror(code, "in the system's words")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    finding = examined(host(1, tmp_path, name="far.example.com")).only_failure()
    assert finding.text == text
    assert finding.cause.startswith(cause)


def test_dns_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ends = [socket.socketpair(), socket.socketpair()]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ends[0][0].recv(1))
    finding = examined(host(1, tmp_path, seconds=0.05)).only_failure()
    for end in (end for pair in ends for end in pair):
        end.close()
    assert finding.text == "no answer from DNS within 0.05 s"
    assert finding.run == "cat /etc/resolv.conf"


def test_a_port_that_nobody_listens_on_is_told_with_what_lists_those_that_are(tmp_path: Path) -> None:
    port = free_port()
    finding = examined(host(port, tmp_path)).only_failure()
    assert finding.text == f"localhost:{port} refuses connections"
    assert "the port in broker.url is wrong" in finding.cause
    assert f"sport = :{port}" in finding.run


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses")
def test_packets_that_are_swallowed_look_like_a_firewall(tmp_path: Path) -> None:
    with closing(socket.socket()) as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:  # the queue of those that nobody accepts is full then: no more are answered (Linux)
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        finding = examined(host(full.getsockname()[1], tmp_path, name="127.0.0.1", seconds=0.3)).only_failure()
        for filler in fillers:
            filler.close()
    assert finding.text.endswith("does not answer")
    assert finding.cause.startswith("a firewall on the way")
    assert finding.run.startswith("nc -vz")


def test_a_network_without_a_way_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reach(*_: Any, **__: Any) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr("tocsin_schemas.checkup_host.reach", reach)
    finding = examined(host(1, tmp_path)).only_failure()
    assert finding.text == "localhost:1 cannot be reached: Network is unreachable"
    assert finding.run.startswith("ip route")


@pytest.mark.broker
def test_an_expired_certificate_is_told_with_the_day_and_the_clock_that_it_was_measured_by(
    start: Start, tmp_path: Path
) -> None:
    port = start(not_after=datetime(2026, 1, 31, 12, tzinfo=UTC)).port
    finding = examined(host(port, tmp_path), now=datetime(2026, 3, 1, 8, 30, tzinfo=UTC)).only_failure()
    assert finding.text == "the certificate expired on 2026-01-31 12:00 UTC"
    assert (
        finding.cause == "it was not renewed; or the clock of this machine is wrong: it says 2026-03-01 08:30 UTC"
    )
    assert finding.run == "date -u; renew it there"


@pytest.mark.broker
def test_a_certificate_of_tomorrow_makes_the_clock_suspect(start: Start, tmp_path: Path) -> None:
    port = start(not_before=datetime(2999, 1, 1, tzinfo=UTC)).port
    finding = examined(host(port, tmp_path)).only_failure()
    assert finding.text == "the certificate is not valid before 2999-01-01 00:00 UTC"
    assert finding.cause.startswith("the clock of this machine is wrong")
    assert "timedatectl" in finding.run


@pytest.mark.parametrize(("code", "text"), [(10, "has expired"), (9, "is not valid yet")])
def test_of_a_chain_it_may_be_the_authority_that_is_not_valid_now(tmp_path: Path, code: int, text: str) -> None:
    error = ssl.SSLCertVerificationError("as OpenSSL says it")
    error.verify_code = code
    shown = Certificate(("localhost",), "the CA", NOW - timedelta(days=9), NOW + timedelta(days=9))
    finding = _distrusted(host(1, tmp_path), error, shown=shown, now=NOW)
    assert finding.text == f"the certificate of its authority, the CA, {text}"
    assert finding.run == "date -u; copy it anew"
    unseen = _distrusted(host(1, tmp_path), error, shown=None, now=NOW)
    assert unseen.text.endswith("a day that cannot be read")


@pytest.mark.broker
def test_a_certificate_for_another_name_is_told_with_both_names(start: Start, tmp_path: Path) -> None:
    finding = examined(host(start("broker.example.com").port, tmp_path)).only_failure()
    assert finding.text == "the certificate is for broker.example.com, not for localhost"
    assert "broker.url has another name" in finding.cause
    assert "issue one for localhost" in finding.run


@pytest.mark.broker
def test_a_certificate_of_another_authority_is_told_with_both_authorities(start: Start, tmp_path: Path) -> None:
    port = start(issuer=trustme.CA()).port
    finding = examined(host(port, tmp_path)).only_failure()
    assert finding.text.startswith("the certificate is not trusted")
    assert "by Testing CA" in finding.cause
    assert "which ca.crt does not name" in finding.cause
    assert finding.run.startswith(f"copy it anew; see who issued it: openssl s_client -connect localhost:{port} ")


@pytest.mark.broker
def test_a_certificate_that_expires_soon_is_a_warning(start: Start, tmp_path: Path) -> None:
    port = start(not_after=NOW + timedelta(days=20, hours=1)).port
    report = examined(host(port, tmp_path))
    assert report["broker TLS"].mark == Mark.WARNING
    assert report["broker TLS"].text.endswith("(20 days left)")
    assert report["broker TLS"].run.startswith("renew it there before that day")


@pytest.mark.broker
def test_an_authority_that_expires_before_its_certificates_is_told_as_such(start: Start, tmp_path: Path) -> None:
    port = start(not_after=datetime(3500, 1, 1, tzinfo=UTC)).port
    report = examined(host(port, tmp_path), now=datetime(2999, 12, 31, tzinfo=UTC))
    assert report["broker TLS"].mark == Mark.WARNING
    assert report["broker TLS"].text.startswith("the certificate of its authority, Testing CA")
    assert report["broker TLS"].text.endswith("expires on 3000-01-01 (1 day left)")


@pytest.mark.broker
def test_a_handshake_that_stalls_is_given_up(start: Start, tmp_path: Path) -> None:
    mosquitto = start()
    mosquitto.send_signal(signal.SIGSTOP)
    report = examined(host(mosquitto.port, tmp_path, seconds=0.3))
    finding = report.only_failure()
    assert report["broker TCP"].mark == Mark.OK
    assert finding.text.endswith("does not answer to TLS within 0.3 s")
    assert "MTU" in finding.cause
    assert finding.run.startswith("openssl s_client")


@pytest.mark.broker
def test_a_port_without_tls_is_told_as_the_wrong_port(tmp_path: Path, start: Start) -> None:
    start()  # for its authority
    folder = tmp_path / "plain"
    folder.mkdir()
    with Mosquitto(folder) as plain:
        finding = examined(host(plain.port, tmp_path)).only_failure()
    assert finding.text in (
        f"localhost:{plain.port} does not speak TLS",
        f"localhost:{plain.port} ends the handshake: it hangs up",
    )
    assert "TLS" in finding.cause or "plain listener" in finding.cause


def test_who_answers_in_plain_text_does_not_speak_tls(tmp_path: Path, authority: trustme.CA) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    with WebhookFake() as service:
        finding = examined(host(service.port, tmp_path)).only_failure()
    assert finding.text == f"localhost:{service.port} does not speak TLS"
    assert "plain listener" in finding.cause


def test_files_that_are_gone_since_are_told(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        report = examined(host(listening.getsockname()[1], tmp_path))  # there is no ca.crt
    finding = report.only_failure()
    assert "ca.crt cannot be used" in finding.text
    assert finding.run.startswith("openssl x509")


@pytest.mark.broker
def test_nobody_verified_is_a_warning(start: Start, tmp_path: Path) -> None:
    def credulous() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    report = examined(host(start("elsewhere").port, tmp_path, tls=credulous))
    assert report["broker TLS"].mark == Mark.WARNING
    assert "whoever is on the way can read" in report["broker TLS"].text
