from __future__ import annotations

import json
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.consumer.receivers.leaks import assert_hidden, failure
from tests.consumer.views import SHANGHAI
from tests.fakes import faults
from tests.fakes.faults import Answer
from tests.fakes.webhook import WebhookFake
from tocsin_consumer.document import document
from tocsin_consumer.errors import PermanentError, RenderError, TemporaryError
from tocsin_consumer.receiver_settings import WebhookSettings
from tocsin_consumer.receivers.http import Webhook
from tocsin_consumer.receivers.receiver import Receipt
from tocsin_consumer.receivers.webhook import WebhookReceiver
from tocsin_consumer.samples import samples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.faults import Request

_BACK_OFF = samples()["back-off"]


@pytest.fixture
def fake() -> Iterator[WebhookFake]:
    with WebhookFake() as fake:
        yield fake


def _receiver(url: str, *, webhook: Webhook | None = None, **settings: Any) -> WebhookReceiver:
    return WebhookReceiver(
        "hook",
        WebhookSettings.model_validate({"url": url, **settings}),
        time_zone=SHANGHAI,
        language="en",
        webhook=webhook,
    )


def _sent(fake: WebhookFake, name: str = "back-off", **settings: Any) -> Request:
    with closing(_receiver(fake.url, **settings)) as receiver:
        assert receiver.deliver(receiver.render(samples()[name])) == Receipt("HTTP 200")
    return fake.requests[-1]


@pytest.mark.parametrize("name", samples())
def test_without_a_layout_the_whole_event_is_sent(fake: WebhookFake, name: str) -> None:
    request = _sent(fake, name)
    said = request.json()
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/json"
    assert said["msg"] == samples()[name].event.msg
    assert said == document(samples()[name])


def test_a_layout_gives_the_body_its_shape(fake: WebhookFake) -> None:
    layout = {
        "title": "{{ reason }} {{ last_at | time }}",
        "wide": True,
        "n": 5,
        "none": None,
        "rows": [["{{ kind }}"]],
    }
    assert _sent(fake, layout=layout).json() == {
        "title": "BackOff 2026-11-24 03:18:52",
        "wide": True,
        "n": 5,
        "none": None,
        "rows": [["Pod"]],
    }


def test_a_hostile_message_stays_inside_its_text(fake: WebhookFake) -> None:
    said = _sent(fake, "hostile", layout={"text": "{{ event.msg }}"}).json()
    assert said == {"text": samples()["hostile"].event.msg}


def test_a_layout_that_is_one_text_is_sent_as_it_is(fake: WebhookFake) -> None:
    request = _sent(fake, layout="{{ reason }} 重启")
    assert request.body.decode() == "BackOff 重启"
    assert request.headers["content-type"] == "text/plain; charset=utf-8"


def test_method_and_content_type_are_as_configured(fake: WebhookFake) -> None:
    request = _sent(fake, method="PUT", headers={"content-type": "application/vnd.x+json"})
    assert request.method == "PUT"
    assert request.headers["content-type"] == "application/vnd.x+json"


def test_headers_are_templates_and_files(fake: WebhookFake, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("Bearer s3cr3t\n", encoding="utf-8")
    headers = {"Title": "{{ title }}", "X-Fixed": "1", "Authorization": {"file": str(tmp_path / "token")}}
    request = _sent(fake, headers=headers)
    assert request.headers["title"].encode("latin-1").decode() == "BackOff · production/api-7c9f6d5b8-x2x7p"
    assert request.headers["x-fixed"] == "1"
    assert request.headers["authorization"] == "Bearer s3cr3t"


def test_no_message_can_add_a_header(fake: WebhookFake) -> None:
    assert "\\x1b" in _sent(fake, "hostile", headers={"X-Message": "{{ message }}"}).headers["x-message"]


def test_a_rendering_shows_no_header_that_may_be_secret(fake: WebhookFake) -> None:
    headers = {"Authorization": "Bearer s3cr3t", "X-Reason": "{{ reason }}"}
    with closing(_receiver(fake.url, headers=headers)) as receiver:
        assert receiver.render(_BACK_OFF).headers == {"X-Reason": "BackOff"}


def test_a_header_that_does_not_fit_names_itself(fake: WebhookFake) -> None:
    with closing(_receiver(fake.url, headers={"X-N": "{{ 1 // (count - 5) }}"})) as receiver:
        event = _BACK_OFF.event.model_copy(update={"count": 5})
        with pytest.raises(RenderError, match=r"^headers\.X-N: line 1: "):
            receiver.render(type(_BACK_OFF)(event, _BACK_OFF.received_at))


def test_the_wait_that_a_service_asks_for_is_passed_on(fake: WebhookFake) -> None:
    fake.reply = Answer(429, headers={"Retry-After": "7"})
    with closing(_receiver(fake.url)) as receiver, pytest.raises(TemporaryError) as raised:
        receiver.deliver(receiver.render(_BACK_OFF))
    assert raised.value.retry_after == timedelta(seconds=7)


def test_what_a_service_says_about_a_refusal_is_passed_on(fake: WebhookFake) -> None:
    fake.reply = Answer(400, b'{"error": "no channel"}')
    with (
        closing(_receiver(fake.url)) as receiver,
        pytest.raises(PermanentError, match='^HTTP 400: {"error": "no channel"}$'),
    ):
        receiver.deliver(receiver.render(_BACK_OFF))


def _echo(status: int) -> Any:
    """Answer as proxies do that repeat what they were asked."""

    def reply(request: Request) -> Answer:
        said = f"no {request.path} for {request.headers['authorization']}: {json.dumps(dict(request.headers))}"
        return Answer(status, said.encode(), {"Location": request.path})

    return reply


@pytest.mark.parametrize("status", [301, 400, 404, 429, 500])
def test_a_service_that_repeats_secrets_cannot_make_us_show_them(
    fake: WebhookFake, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    fake.reply = _echo(status)
    url, secrets = f"{fake.url}/T0ken-in-path?key=k3y-in-query", ("T0ken-in-path", "k3y-in-query", "s3cr3t")
    with closing(_receiver(url, headers={"Authorization": "Bearer s3cr3t"})) as receiver:
        _, shown = failure(receiver, receiver.render(_BACK_OFF), caplog=caplog)
    assert_hidden(shown, secrets)
    assert len(fake.requests) == 1


@pytest.mark.parametrize("fault", [faults.hang(), faults.close()])
def test_no_failure_of_a_connection_shows_a_secret(
    fake: WebhookFake, fault: faults.Fault, caplog: pytest.LogCaptureFixture
) -> None:
    fake.arm(fault)
    url = f"{fake.url}/T0ken-in-path?key=k3y-in-query"
    webhook = Webhook(url, timeout=timedelta(seconds=0.1))
    with closing(_receiver(url, webhook=webhook)) as receiver:
        _, shown = failure(receiver, receiver.render(_BACK_OFF), caplog=caplog)
    assert_hidden(shown, ("T0ken-in-path", "k3y-in-query"))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_failure_to_connect_shows_a_secret(
    fake: WebhookFake, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"{fake.url}/T0ken-in-path?key=k3y-in-query".replace("http:", f"{scheme}:")
    with fake.refusing_connections(), closing(_receiver(url)) as receiver:
        _, shown = failure(receiver, receiver.render(_BACK_OFF), caplog=caplog)
    assert_hidden(shown, ("T0ken-in-path", "k3y-in-query"))


def test_an_account_in_the_url_is_a_secret(fake: WebhookFake, caplog: pytest.LogCaptureFixture) -> None:
    fake.reply = lambda request: Answer(403, f"not {request.headers.get('authorization')} pa55word".encode())
    with closing(_receiver(fake.url.replace("http://", "http://me:pa55word@"))) as receiver:
        _, shown = failure(receiver, receiver.render(_BACK_OFF), caplog=caplog)
    assert_hidden(shown, ("pa55word",))
