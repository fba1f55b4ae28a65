import threading
from datetime import timedelta

import pytest

from tests.fakes.faults import Answer
from tests.fakes.webhook import WebhookFake
from tests.waiting import until
from tocsin_consumer.heartbeat import Heartbeat
from tocsin_consumer.receivers.http import Webhook

TOKEN = "5f1b7c9e-secret-token"


def heartbeat(url: str, problems: list[str], *, every: timedelta = timedelta(minutes=1)) -> Heartbeat:
    webhook = Webhook(f"{url}/{TOKEN}", timeout=timedelta(seconds=5))
    return Heartbeat(webhook, problems=lambda: problems, every=every)


def close(beating: Heartbeat) -> None:
    beating._webhook.close()


def test_the_address_is_requested_while_all_is_well_and_not_while_anything_is_wrong(
    caplog: pytest.LogCaptureFixture,
) -> None:
    problems: list[str] = []
    with WebhookFake() as service:
        beating = heartbeat(service.url, problems)
        beating.step()
        assert [request.method for request in service.requests] == ["GET"]
        problems.append("not connected to the broker")
        beating.step()
        beating.step()
        assert len(service.requests) == 1
        problems.clear()
        beating.step()
        assert len(service.requests) == 2
        close(beating)
    assert caplog.messages == ["no heartbeat is sent: not connected to the broker"]


def test_a_service_that_does_not_take_it_is_told_once_and_never_by_its_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    with WebhookFake() as service:
        beating = heartbeat(service.url, [])
        for status in (500, 404, 200):
            service.reply = Answer(status)
            beating.step()
        close(beating)
    beating = heartbeat(service.url, [])  # nobody listens there any more
    beating.step()
    close(beating)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings[0] == "the heartbeat was not taken: HTTP 500"
    assert len(warnings) == 2
    assert TOKEN not in caplog.text
    assert "the heartbeat is taken again after 2 failures" in caplog.messages


def test_whatever_fails_is_told_without_its_text(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(TOKEN)

    monkeypatch.setattr(Webhook, "send", fail)
    heartbeat("http://127.0.0.1:1", []).step()
    assert caplog.messages == ["the heartbeat failed: RuntimeError"]


def test_a_running_heartbeat_goes_on_until_it_is_told_to_stop() -> None:
    stop = threading.Event()
    with WebhookFake() as service:
        beating = heartbeat(service.url, [], every=timedelta(milliseconds=1))
        thread = threading.Thread(target=beating.run, args=(stop,), daemon=True)
        thread.start()
        until(lambda: len(service.requests) > 3)
        stop.set()
        thread.join(20)
        assert not thread.is_alive()
