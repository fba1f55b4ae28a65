from __future__ import annotations

import json
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.consumer.receivers.leaks import assert_hidden, failure
from tests.consumer.views import SHANGHAI, view
from tests.fakes import faults, feishu_rules
from tests.fakes import feishu as service
from tests.fakes.faults import Answer as FakeAnswer
from tests.fakes.faults import json_answer
from tests.fakes.feishu import FeishuFake
from tests.fakes.feishu_rules import Bot
from tocsin_consumer.errors import PermanentError, RenderError, TemporaryError
from tocsin_consumer.receiver_settings import FeishuSettings
from tocsin_consumer.receivers.feishu import (
    BODY_LIMIT,
    FeishuReceiver,
    FormRefusedError,
    SignatureRefusedError,
    fitting,
    judge,
    sign,
)
from tocsin_consumer.receivers.http import Answer, Webhook
from tocsin_consumer.samples import samples
from tocsin_consumer.wording import cluster_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.feishu import Message

_SECRET = "s3cr3t-of-the-bot"
_TOKEN = "0f1e2d3c-4b5a-6978"
_CLOCK = 1_795_461_534.0
_OLD_BODY = (
    "**EventType:**  {{ type }}\n**EventKind:**  {{ kind }}\n**EventReason:**  {{ reason }}\n"
    "**EventTime:**  {{ last_at | time }}\n**EventMessage:**  {{ message }}"
)


@pytest.fixture
def fake() -> Iterator[FeishuFake]:
    with FeishuFake(Bot(token=_TOKEN, secret=_SECRET, per_second=None), clock=lambda: _CLOCK) as fake:
        yield fake


def _receiver(fake: FeishuFake, *, timeout_seconds: float = 5.0, **settings: Any) -> FeishuReceiver:
    return FeishuReceiver(
        "ops",
        FeishuSettings.model_validate({"url": fake.url, "secret": _SECRET, **settings}),
        time_zone=SHANGHAI,
        language="zh",
        webhook=Webhook(fake.url, timeout=timedelta(seconds=timeout_seconds)),
        clock=lambda: _CLOCK,
    )


def _deliver(fake: FeishuFake, name: str = "back-off", **settings: Any) -> str:
    with closing(_receiver(fake, **settings)) as receiver:
        return str(receiver.deliver(receiver.render(samples()[name])))


def _shown(fake: FeishuFake, name: str = "back-off", **settings: Any) -> Message:
    _deliver(fake, name, **settings)
    return fake.messages[-1]


# Signature.


def test_the_signature_is_that_of_the_documentation() -> None:
    assert sign("demo", 1599360473) == {
        "timestamp": "1599360473",
        "sign": "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8=",
    }


def test_each_try_is_signed_anew(fake: FeishuFake) -> None:
    times = iter([_CLOCK - 7200, _CLOCK])
    receiver = FeishuReceiver(
        "ops",
        FeishuSettings.model_validate({"url": fake.url, "secret": _SECRET}),
        time_zone=SHANGHAI,
        language="zh",
        clock=lambda: next(times),
    )
    with closing(receiver):
        receiver.deliver(receiver.render(samples()["back-off"]))
    assert [refusal.code for refusal in fake.refused] == [feishu_rules.SIGN_MISMATCH]
    assert len(fake.messages) == 1


def test_a_signature_that_is_refused_twice_is_permanent_with_a_hint(fake: FeishuFake) -> None:
    with pytest.raises(PermanentError, match="code 19021: .* check secret, and the clock of this machine"):
        _deliver(fake, secret="another")
    assert len(fake.refused) == 2


def test_without_a_secret_nothing_is_signed(fake: FeishuFake) -> None:
    fake.bot = Bot(token=_TOKEN)
    message = _shown(fake, secret=None)
    assert not {"timestamp", "sign"} & message.payload.keys()


# What people see.


@pytest.mark.parametrize("name", samples())
def test_every_sample_is_taken_and_pings_nobody(fake: FeishuFake, name: str) -> None:
    assert _deliver(fake, name) == "success"
    message = fake.messages[-1]
    assert message.msg_type == "interactive"
    assert message.mentions == ()
    assert message.title == view(name, language="zh").title
    said = samples()[name].event
    assert message.tags[0].startswith(cluster_name(said.cluster, said.reason, "zh"))


def test_a_legacy_deployment_is_understood(fake: FeishuFake) -> None:
    fake.legacy = True
    assert _deliver(fake) == "success"


def test_the_card_of_the_old_exporter_can_be_had(fake: FeishuFake) -> None:
    message = _shown(fake, title="XXX IoT K3S 集群告警", template=_OLD_BODY)
    assert message.title == "XXX IoT K3S 集群告警"
    assert message.body.splitlines() == [
        "EventType:  Warning",
        "EventKind:  Pod",
        "EventReason:  BackOff",
        "EventTime:  2026-11-24 03:18:52",
        f"EventMessage:  {view().message}",
    ]


def test_a_hostile_message_is_inert_in_a_body_of_ones_own(fake: FeishuFake) -> None:
    message = _shown(fake, "hostile", template="**{{ reason }}** {{ message }}")
    assert message.mentions == ()
    assert message.body == f"Unhealthy {view('hostile').message}"


def test_what_a_template_itself_mentions_is_mentioned(fake: FeishuFake) -> None:
    assert _shown(fake, template="<at id=all></at> {{ reason }}").mentions == ("all",)


def test_a_whole_card_of_ones_own_is_sent(fake: FeishuFake) -> None:
    card = {
        "config": {"wide_screen_mode": True},
        "header": {"title": {"tag": "plain_text", "content": "{{ cluster }}"}, "template": "red"},
        "elements": [
            {"tag": "div", "text": {"tag": "lark_md", "content": "**{{ reason }}** {{ message }}"}},
            {"tag": "div", "text": {"tag": "plain_text", "content": "{{ message }}"}},
        ],
    }
    message = _shown(fake, "hostile", card=card)
    assert message.title == "edge-042"
    assert message.mentions == ()
    assert message.body == "\n".join([f"Unhealthy {view('hostile').message}", view("hostile").message])
    assert message.payload["card"]["config"] == {"wide_screen_mode": True}


@pytest.mark.parametrize("form", [{}, {"template": "{{ reason }}"}, {"card": {"elements": []}}])
def test_a_keyword_passes_the_bot_that_asks_for_it(fake: FeishuFake, form: dict[str, Any]) -> None:
    fake.bot = Bot(token=_TOKEN, secret=_SECRET, keywords=("集群告警",))
    assert "集群告警" in _shown(fake, keyword="集群告警", **form).visible_text()
    fake.arm(service.refuse_cards())
    assert _shown(fake, keyword="集群告警", **form).msg_type == "text"


@pytest.mark.parametrize("name", ["警告", "warning", "text", "plain_text", "schema", "fill", "edge"])
@pytest.mark.parametrize("form", [{}, {"template": "{{ reason }}"}, {"card": {"elements": []}}])
def test_a_keyword_counts_in_texts_and_titles_only(fake: FeishuFake, form: dict[str, Any], name: str) -> None:
    fake.bot = Bot(token=_TOKEN, secret=_SECRET, keywords=(name,))
    assert _deliver(fake, keyword=name, **form) == "success"


def test_a_card_without_the_keyword_of_the_bot_is_sent_as_a_text(fake: FeishuFake) -> None:
    fake.bot = Bot(token=_TOKEN, secret=_SECRET, keywords=("生产",))
    assert _shown(fake, text="生产 {{ reason }}").msg_type == "text"


def test_a_keyword_that_is_said_anyway_is_not_repeated(fake: FeishuFake) -> None:
    assert "BackOff" not in _shown(fake, keyword="BackOff").body


def test_a_keyword_that_is_missing_is_permanent_with_a_hint(fake: FeishuFake) -> None:
    fake.bot = Bot(token=_TOKEN, secret=_SECRET, keywords=("集群告警",))
    with pytest.raises(PermanentError, match="code 19024: .* set keyword"):
        _deliver(fake)
    assert [refusal.code for refusal in fake.refused] == [19024, 19024]  # the card, and then the text


# Size.


def test_a_message_is_shortened_until_it_fits(fake: FeishuFake) -> None:
    message = _shown(fake, "long-message")
    sent = json.dumps(message.payload, ensure_ascii=False, separators=(",", ":")).encode()
    assert BODY_LIMIT - 10 < len(sent) <= 20_000
    assert "…\n建议" in message.body


def test_a_message_that_fits_is_not_shortened() -> None:
    event = view("failed-scheduling")
    whole = fitting(event, lambda seen: {"text": seen.message}, limit=len(event.message) + 11)
    assert json.loads(whole)["text"] == event.message


@pytest.mark.parametrize("limit", range(30, 60))
def test_a_cut_falls_between_characters_and_uses_the_room(limit: int) -> None:
    fitted = fitting(view("long-message"), lambda seen: {"text": seen.message}, limit=limit)
    assert limit - 12 < len(fitted.encode()) <= limit
    assert json.loads(fitted)["text"].endswith("…")


def test_a_form_that_is_too_large_without_the_message_is_told(fake: FeishuFake) -> None:
    with (
        closing(_receiver(fake, template="x" * 20_000 + "{{ message }}")) as receiver,
        pytest.raises(RenderError, match="bytes without the event's message"),
    ):
        receiver.render(samples()["back-off"])


# What the service answers.


def _answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, body if isinstance(body, bytes) else json.dumps(body).encode(), headers or {})


@pytest.mark.parametrize(
    "body",
    [
        {"code": 0, "msg": "success"},
        {"StatusCode": 0, "StatusMessage": "success"},
        {"StatusCode": 0, "code": 0, "data": {}, "msg": "success"},
    ],
)
def test_a_code_of_zero_is_a_success(body: dict[str, Any]) -> None:
    assert judge(_answer(body)) == "success"


@pytest.mark.parametrize(
    "answer",
    [
        _answer({"code": 11232, "msg": "frequency limited psm[lark.oapi.app_platform_runtime]appID[1500]"}),
        _answer({"code": 9499, "msg": "too many request"}, 400),
        _answer({"code": 99991400, "msg": "request trigger frequency limit"}, 400),
        _answer({"code": 0}, 500),
        _answer({"code": 1}, 503),
        _answer({"code": 0}, 429),
        _answer(b"<html>Bad Gateway</html>", 502),
        _answer(b"<html>log in to the hotel</html>"),
        _answer(b"\xff\xfe"),
        _answer(b"[" * 60_000),
        _answer(b""),
        _answer([]),
        _answer({}),
        _answer({"code": True}),
        _answer({"code": "0"}),
        _answer({"code": None, "StatusCode": 0}),
        _answer(b"nothing", 408),
    ],
)
def test_busy_and_unintelligible_is_temporary(answer: Answer) -> None:
    with pytest.raises(TemporaryError):
        judge(answer)


def test_a_busy_service_is_left_alone_for_a_second_or_as_long_as_it_says() -> None:
    with pytest.raises(TemporaryError) as raised:
        judge(_answer({"code": 11232, "msg": ""}))
    assert raised.value.retry_after == timedelta(seconds=1)
    with pytest.raises(TemporaryError) as raised:
        judge(_answer({"code": 99991400, "msg": ""}, 429, {"x-ogw-ratelimit-reset": "30"}))
    assert raised.value.retry_after == timedelta(seconds=30)


@pytest.mark.parametrize("code", [9499, 11246, 19002, 200621, 230099, 300305, 424242])
def test_a_code_about_the_form_may_not_be_about_another_form(code: int) -> None:
    with pytest.raises(FormRefusedError, match=f"code {code}: Bad Request"):
        judge(_answer({"code": code, "msg": "Bad Request"}))


@pytest.mark.parametrize(("code", "hint"), [(19001, "url"), (19022, "whitelist")])
def test_a_code_about_the_bot_is_permanent_for_every_form(code: int, hint: str) -> None:
    with pytest.raises(PermanentError, match=hint) as raised:
        judge(_answer({"code": code, "msg": "no"}))
    assert not isinstance(raised.value, FormRefusedError | SignatureRefusedError)


def test_an_address_that_nobody_serves_is_permanent() -> None:
    with pytest.raises(PermanentError, match="HTTP 404"):
        judge(_answer(b"not found", 404))


def test_an_error_beside_the_old_fields_of_a_success_is_an_error(fake: FeishuFake) -> None:
    fake.arm(service.contradictory_success(11232, "frequency limited"))
    with pytest.raises(TemporaryError):
        _deliver(fake)


# Falling back to a text.


@pytest.mark.parametrize("code", [9499, 11246, 230099, 424242])
@pytest.mark.parametrize("name", samples())
def test_a_card_that_is_refused_is_sent_as_a_text_that_pings_nobody(
    fake: FeishuFake, name: str, code: int
) -> None:
    fake.arm(service.refuse_cards(code, "Bad Request"))
    assert _deliver(fake, name) == f"success, as text: the card was refused: code {code}: Bad Request"
    message = fake.messages[-1]
    assert message.msg_type == "text"
    assert message.mentions == ()
    shown = view(name, language="zh")
    assert shown.title.replace("<", "<\u200b") in message.body
    assert shown.message[:5].replace("<", "<\u200b") in message.body


def test_a_card_of_ones_own_that_is_wrong_is_sent_as_a_text(fake: FeishuFake) -> None:
    message = _shown(fake, card={"schema": "2.0", "nonsense": 1}, text="{{ cluster }}: {{ reason }}")
    assert message.body == "edge-042: BackOff"
    assert fake.refused[0].code == feishu_rules.CARD_REFUSED


def test_a_text_of_ones_own_may_mention_and_the_event_may_not(fake: FeishuFake) -> None:
    fake.arm(service.refuse_cards())
    text = '<at user_id="ou_1">on call</at> {{ message }}'
    assert _shown(fake, "hostile", text=text).mentions == ("ou_1",)


def test_a_text_that_is_refused_as_well_is_permanent(fake: FeishuFake) -> None:
    fake.arm(service.api_error(9499, "Bad Request"), times=2)
    with pytest.raises(PermanentError, match="code 9499: Bad Request"):
        _deliver(fake)


def test_nothing_but_a_refused_form_is_sent_as_a_text(fake: FeishuFake) -> None:
    fake.arm(service.api_error(19022, "Ip Not Allowed"))
    with pytest.raises(PermanentError):
        _deliver(fake)
    fake.arm(service.frequency_limited())
    with pytest.raises(TemporaryError):
        _deliver(fake)
    assert len(fake.refused) == 2
    assert not fake.messages


def test_the_limits_stay_below_those_of_the_service_whatever_the_network_bunches_up() -> None:
    with FeishuFake() as fake, closing(_receiver(fake)) as receiver:
        assert {(limit.count, limit.per.total_seconds()) for limit in receiver.limits} == {(5, 1.2), (100, 62)}


# Secrets.


def _echoed(status: int, code: int) -> Any:
    """Answer as a proxy that repeats what it was asked, secrets and all."""

    def outcome(body: bytes) -> FakeAnswer:
        said = f"https://open.feishu.cn/open-apis/bot/v2/hook/{_TOKEN} {_SECRET} {json.loads(body)['sign']}"
        return json_answer({"code": code, "msg": said}, status=status)

    return outcome


@pytest.mark.parametrize("status", [200, 400, 404, 500])
@pytest.mark.parametrize("code", [9499, 11232, 19001, 19021])
def test_a_service_that_repeats_secrets_cannot_make_us_show_them(
    fake: FeishuFake, status: int, code: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = _echoed(status, code)
    monkeypatch.setattr(fake, "answer", lambda request: reply(request.body))
    signature = sign(_SECRET, int(_CLOCK))["sign"]
    with closing(_receiver(fake)) as receiver:
        _, shown = failure(receiver, receiver.render(samples()["back-off"]), caplog=caplog)
    assert_hidden(shown, (_TOKEN, _SECRET, signature))


@pytest.mark.parametrize("fault", [faults.hang(), faults.close(), faults.body(b"garbage"), faults.http_error(502)])
def test_no_failure_shows_a_secret(
    fake: FeishuFake, fault: faults.Fault, caplog: pytest.LogCaptureFixture
) -> None:
    fake.arm(fault)
    with closing(_receiver(fake, timeout_seconds=0.1)) as receiver:
        error, shown = failure(receiver, receiver.render(samples()["back-off"]), caplog=caplog)
    assert isinstance(error, TemporaryError)
    assert_hidden(shown, (_TOKEN, _SECRET))


def test_no_success_logs_a_secret(fake: FeishuFake, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        _deliver(fake)
    assert_hidden(caplog.text, (_TOKEN, _SECRET))


def test_a_rendering_has_nothing_of_the_signature(fake: FeishuFake) -> None:
    with closing(_receiver(fake)) as receiver:
        rendering = receiver.render(samples()["back-off"])
    assert set(json.loads(rendering.content)) == {"msg_type", "card"}
    assert_hidden(repr(rendering), (_TOKEN, _SECRET))
