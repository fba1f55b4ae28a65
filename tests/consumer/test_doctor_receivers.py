"""The way to receivers: looked at, and nobody is sent anything."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.fakes.apiserver import ApiServer as Service
from tests.fakes.faults import Answer
from tests.fakes.tls import serving
from tests.fakes.webhook import WebhookFake
from tests.mosquitto import free_port
from tests.schemas.checkups import Report
from tocsin_consumer.doctor_receivers import check_heartbeat, check_receiver
from tocsin_consumer.receiver_settings import ReceiverSettings
from tocsin_schemas.checkup import Mark

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def service() -> Iterator[WebhookFake]:
    with WebhookFake(Answer(404)) as service:
        yield service


def examined(ahead: timedelta = timedelta(), **receiver: Any) -> Report:
    report = Report()
    settings = ReceiverSettings.model_validate({"name": "it"} | receiver)
    check_receiver(report.checkup, settings, "receivers[3]", seconds=5.0, now=lambda: datetime.now(UTC) + ahead)
    return report


def bot(service: WebhookFake) -> str:
    return f"{service.base_url}/open-apis/bot/v2/hook/t0ken"


def test_a_service_is_reached_and_not_sent_anything(service: WebhookFake) -> None:
    report = examined(webhook={"url": f"{service.base_url}/hook/s3cret"})
    assert report.marks() == {"it DNS": Mark.OK, "it TCP": Mark.OK, "it clock": Mark.OK}
    assert [(request.method, request.path) for request in service.requests] == []
    assert "s3cret" not in report.told()


def test_a_clock_that_is_off_is_a_warning_and_beyond_what_a_signature_may_be_a_failure(
    service: WebhookFake,
) -> None:
    for hours, secret, mark in ((2, None, Mark.WARNING), (0.5, "k", Mark.WARNING), (2, "k", Mark.FAILED)):
        feishu = {"url": bot(service)} | ({"secret": secret} if secret else {})
        assert examined(timedelta(hours=hours), feishu=feishu)["it clock"].mark == mark


def test_a_port_that_is_closed_is_told_with_the_key_and_not_with_the_address() -> None:
    finding = examined(webhook={"url": f"http://localhost:{free_port()}/s3cret"}).only_failure()
    assert "the port in receivers[3].webhook.url is wrong" in finding.cause
    assert "s3cret" not in f"{finding}"


def test_a_service_of_ones_own_is_verified_by_its_own_authority(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    with Service(ssl_context=serving(authority, "localhost")) as service:
        url = f"https://localhost:{service.port}/hook"
        good = examined(webhook={"url": url, "ca_file": str(tmp_path / "ca.crt")})
        bad = examined(webhook={"url": url})
        requests = [(request.method, request.path) for request in service.requests]
    assert set(good.marks().values()) == {Mark.OK}
    assert good["it clock"].text == "agrees with the service"
    assert bad.only_failure() is bad["it TLS"]
    assert "ca_file" in bad.only_failure().run
    assert requests == [("HEAD", "/")]


def test_certificates_of_the_environment_are_trusted_as_they_are_for_deliveries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "bundle.crt")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "bundle.crt"))
    with Service(ssl_context=serving(authority, "localhost")) as service:
        report = examined(webhook={"url": f"https://localhost:{service.port}/hook"})
    assert report["it TLS"].mark == Mark.OK


def test_behind_a_proxy_it_is_the_proxy_that_is_reached(
    service: WebhookFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:pr0xy-secret@localhost:{service.port}")
    report = examined(webhook={"url": "https://chat.example.com/s3cret"})
    assert report.marks() == {"it proxy DNS": Mark.OK, "it proxy TCP": Mark.OK, "it": Mark.OK}
    assert "shows with send-test" in report["it"].text
    assert "pr0xy-secret" not in report.told()


def test_a_proxy_that_is_away_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://localhost:{free_port()}")
    report = examined(webhook={"url": "https://chat.example.com/s3cret"})
    assert report.only_failure() is report["it proxy TCP"]
    assert "HTTPS_PROXY" in report.only_failure().cause


def test_a_service_that_is_mute_about_its_time_is_no_trouble(service: WebhookFake) -> None:
    service.stop()
    with Service() as hanging:
        hanging.hang()
        report = Report()
        settings = ReceiverSettings.model_validate({"name": "it", "webhook": {"url": f"{hanging.url}/hook"}})
        check_receiver(report.checkup, settings, "receivers[0]", seconds=0.2, now=lambda: NOW)
    assert report["it clock"].text == "the service does not tell its time"


def test_the_folder_of_a_file_is_looked_at(tmp_path: Path) -> None:
    assert examined(file={"path": str(tmp_path / "out.ndjson")})["it"].mark == Mark.OK
    finding = examined(file={"path": "/proc/out.ndjson"}).only_failure()
    assert finding.cause.startswith("receivers[3].file.path is on a read-only file system")


def test_standard_output_needs_nothing() -> None:
    assert examined(stdout={}).marks() == {}


def test_the_heartbeat_is_reached_and_not_given(service: WebhookFake) -> None:
    report = Report()
    check_heartbeat(report.checkup, f"{service.base_url}/ping/s3cret", seconds=5.0, now=lambda: NOW)
    assert report.marks() == {"heartbeat DNS": Mark.OK, "heartbeat TCP": Mark.OK}
    assert not service.requests
    assert "s3cret" not in report.told()
