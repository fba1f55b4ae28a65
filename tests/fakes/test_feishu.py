from __future__ import annotations

import http.client
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes import faults, feishu
from tests.fakes.client import Reply, send
from tests.fakes.feishu import Bot, FeishuFake, Message
from tests.fakes.feishu_rules import MAX_BODY_BYTES, signature

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1599360473.0
SECRET = "demo"
TEXT = {"msg_type": "text", "content": {"text": "BackOff in production/api-7c9"}}
CARD = {
    "msg_type": "interactive",
    "card": {
        "schema": "2.0",
        "header": {"title": {"tag": "plain_text", "content": "BackOff"}, "template": "red"},
        "body": {"elements": [{"tag": "div", "text": {"tag": "plain_text", "content": "<at id=all></at>"}}]},
    },
}
POST = {"msg_type": "post", "content": {"post": {"en_us": {"content": [[{"tag": "text", "text": "hello"}]]}}}}


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fake(clock: Clock) -> Iterator[FeishuFake]:
    with FeishuFake(clock=clock) as running:
        yield running


def post(fake: FeishuFake, payload: object = TEXT) -> Reply:
    return send(fake.url, payload)


def code_of(reply: Reply) -> int:
    assert reply.json().keys() == {"code", "data", "msg"}
    assert reply.json()["data"] == {}
    return int(reply.json()["code"])


def signed(payload: dict[str, Any], timestamp: float = NOW, secret: str = SECRET) -> dict[str, Any]:
    seconds = str(int(timestamp))
    return {**payload, "timestamp": seconds, "sign": signature(secret, seconds)}


def padded(length: int) -> bytes:
    empty = json.dumps({"msg_type": "text", "content": {"text": ""}}).encode()
    return empty.replace(b'""', b'"' + b"x" * (length - len(empty)) + b'"')


@pytest.mark.parametrize("payload", [TEXT, CARD, POST], ids=["text", "card", "post"])
def test_a_message_is_shown_and_answered_with_the_documented_body(payload: object, fake: FeishuFake) -> None:
    reply = post(fake, payload)
    assert reply.status == 200
    assert reply.body == b'{"StatusCode":0,"StatusMessage":"success","code":0,"data":{},"msg":"success"}'
    (message,) = fake.wait_for(1)
    assert message.payload == payload
    assert message.arrived_at == datetime.fromtimestamp(NOW, UTC)


def test_old_deployments_answer_with_the_old_fields_only() -> None:
    with FeishuFake(legacy=True) as fake:
        assert post(fake).body == b'{"StatusCode":0,"StatusMessage":"success"}'


def test_a_message_is_read_as_a_person_sees_it(fake: FeishuFake) -> None:
    post(fake, CARD)
    (message,) = fake.wait_for(lambda message: message.title == "BackOff")
    assert message.visible_text() == "BackOff\n<at id=all></at>"
    assert message.mentions == ()


def test_a_message_that_pings_everybody_says_so(fake: FeishuFake) -> None:
    post(fake, {"msg_type": "text", "content": {"text": 'look <at user_id="all">all</at>'}})
    assert fake.messages[0].mentions == ("all",)


def test_messages_are_handed_on_as_they_come() -> None:
    seen: list[Message] = []
    with FeishuFake(on_message=seen.append) as fake:
        post(fake)
        assert seen == list(fake.messages)


def test_waiting_in_vain_names_what_was_refused(fake: FeishuFake) -> None:
    post(fake, {})
    with pytest.raises(TimeoutError, match="19002 params error, msg_type need"):
        fake.wait_for(1, timeout_seconds=0)


def test_a_token_must_be_known(fake: FeishuFake) -> None:
    reply = send(f"{fake.base_url}/open-apis/bot/v2/hook/other", TEXT)
    assert (reply.status, code_of(reply)) == (200, 19001)
    fake.bot = replace(fake.bot, token="other")
    assert send(f"{fake.url}/", TEXT).json()["code"] == 0


@pytest.mark.parametrize(("method", "path"), [("POST", "/"), ("GET", "/open-apis/bot/v2/hook/demo-token")])
def test_nothing_else_is_served(method: str, path: str, fake: FeishuFake) -> None:
    reply = send(fake.base_url + path, b"", method=method)
    assert (reply.status, code_of(reply)) == (404, 99991201)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("body", [b"{", b"", b"[]", b'"text"', b"\xff", b"[" * 20000])
def test_a_malformed_body_is_a_bad_request(body: bytes, status: int) -> None:
    with FeishuFake(bad_request_status=status) as fake:
        reply = send(fake.url, body)
    assert (reply.status, reply.json()) == (status, {"code": 9499, "data": {}, "msg": "Bad Request"})
    assert fake.refused[0].body == body


@pytest.mark.parametrize(("content_type", "code"), [("text/plain", 9499), ("application/json; charset=utf-8", 0)])
def test_the_content_type_must_be_json(content_type: str, code: int, fake: FeishuFake) -> None:
    reply = send(fake.url, TEXT, headers={"Content-Type": content_type})
    assert reply.json()["code"] == code


def test_a_body_has_20_kb_at_most(fake: FeishuFake) -> None:
    assert send(fake.url, padded(MAX_BODY_BYTES)).json()["code"] == 0
    assert code_of(send(fake.url, padded(MAX_BODY_BYTES + 1))) == 9499
    assert "20481 bytes" in fake.refused[0].reason


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({}, 19002),
        ({"msg_type": "interactive", "content": CARD["card"]}, 19002),
        ({"msg_type": "interactive", "card": json.dumps(CARD["card"])}, 19002),
        ({"msg_type": "audio", "content": {}}, 9499),
        ({"msg_type": ["text"], "content": {}}, 9499),
        ({"msg_type": "text"}, 9499),
        ({"msg_type": "text", "content": {"text": ""}}, 9499),
        ({"msg_type": "text", "content": {"text": 7}}, 9499),
        ({"msg_type": "image", "content": {}}, 9499),
        ({"msg_type": "share_chat", "content": {}}, 9499),
        ({"msg_type": "post", "content": {}}, 9499),
        ({"msg_type": "post", "content": {"post": {"en_us": []}}}, 9499),
        ({"msg_type": "post", "content": {"post": {"en_us": {"content": [{}]}}}}, 9499),
        ({"msg_type": "post", "content": {"post": {"en_us": {"content": [[{"tag": "b", "text": ""}]]}}}}, 9499),
        ({"msg_type": "post", "content": {"post": {"en_us": {"content": [[{"tag": "a", "text": ""}]]}}}}, 9499),
    ],
)
def test_the_content_must_have_the_form_of_its_type(payload: object, code: int, fake: FeishuFake) -> None:
    assert code_of(post(fake, payload)) == code
    assert len(fake.messages) == 0


@pytest.mark.parametrize(
    ("msg_type", "content"), [("image", {"image_key": "img_1"}), ("share_chat", {"share_chat_id": "oc_1"})]
)
def test_the_other_documented_types_are_shown(msg_type: str, content: object, fake: FeishuFake) -> None:
    assert post(fake, {"msg_type": msg_type, "content": content}).json()["code"] == 0


def test_a_wrong_card_is_refused_with_the_place_in_the_message(fake: FeishuFake) -> None:
    reply = post(
        fake,
        {"msg_type": "interactive", "card": {"schema": "2.0", "body": {"elements": [{"tag": "hr", "size": 1}]}}},
    )
    assert (reply.status, code_of(reply)) == (200, 11246)
    assert "property: size, path: ROOT -> body -> elements -> [0](tag: hr)" in reply.json()["msg"]


def test_the_signature_is_the_documented_one() -> None:
    assert signature("demo", "1599360473") == "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="


@pytest.mark.parametrize("age_seconds", [0, 3600, -3600])
def test_a_signature_is_good_for_an_hour(age_seconds: int, fake: FeishuFake) -> None:
    fake.bot = replace(fake.bot, secret=SECRET)
    assert post(fake, signed(TEXT, NOW - age_seconds)).json()["code"] == 0


@pytest.mark.parametrize(
    "payload",
    [
        TEXT,
        signed(TEXT, NOW - 3601),
        signed(TEXT, NOW + 3601),
        signed(TEXT, NOW * 1000),
        signed(TEXT, secret="other"),
        {**signed(TEXT), "sign": "é"},
        {**signed(TEXT), "timestamp": "yesterday"},
    ],
)
def test_a_wrong_signature_is_refused(payload: object, fake: FeishuFake) -> None:
    fake.bot = replace(fake.bot, secret=SECRET)
    reply = post(fake, payload)
    assert (reply.status, code_of(reply)) == (200, 19021)
    assert reply.json()["msg"] == "sign match fail or timestamp is not within one hour from current time"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (TEXT, 0),
        (CARD, 0),
        (POST, 19024),
        ({"msg_type": "post", "content": {"post": {"en_us": {"title": "BackOff", "content": []}}}}, 0),
        (
            {
                "msg_type": "post",
                "content": {
                    "post": {"zh_cn": {"content": [[{"tag": "a", "text": "x", "href": "https://BackOff"}]]}}
                },
            },
            19024,
        ),
        (
            {
                "msg_type": "interactive",
                "card": {"schema": "2.0", "body": {"elements": [{"tag": "markdown", "content": "BackOff"}]}},
            },
            19024,
        ),
    ],
)
def test_a_keyword_must_stand_in_a_text_or_a_title(payload: object, code: int, fake: FeishuFake) -> None:
    fake.bot = replace(fake.bot, keywords=("nothing", "BackOff"))
    reply = post(fake, payload)
    assert (reply.status, reply.json()["code"]) == (200, code)


@pytest.mark.parametrize(("allowed", "code"), [(("10.0.0.1",), 19022), (("127.0.0.0/8",), 0), ((), 19022)])
def test_an_address_must_be_on_the_list(allowed: tuple[str, ...], code: int, fake: FeishuFake) -> None:
    fake.bot = replace(fake.bot, allowed_ips=allowed)
    assert post(fake).json()["code"] == code


def test_five_messages_a_second_are_admitted(fake: FeishuFake, clock: Clock) -> None:
    replies = [post(fake) for _ in range(6)]
    assert [reply.json()["code"] for reply in replies] == [0] * 5 + [11232]
    assert replies[-1].status == 200
    assert replies[-1].json()["msg"] == "frequency limited psm[lark.oapi.app_platform_runtime]appID[1500]"
    clock.now += 1
    assert post(fake).json()["code"] == 0


def test_a_hundred_messages_a_minute_are_admitted(fake: FeishuFake, clock: Clock) -> None:
    codes = []
    for _ in range(101):
        codes.append(post(fake).json()["code"])
        clock.now += 0.5
    assert codes == [0] * 100 + [11232]
    clock.now = NOW + 60
    assert post(fake).json()["code"] == 0


def test_the_limits_can_be_switched_off() -> None:
    with FeishuFake(Bot(per_second=None, per_minute=None), clock=Clock()) as fake:
        assert {post(fake).json()["code"] for _ in range(150)} == {0}


def test_any_code_can_be_answered(fake: FeishuFake) -> None:
    fake.arm(feishu.api_error(9499, "too many request", status=400))
    reply = post(fake)
    assert (reply.status, reply.json()["msg"], code_of(reply)) == (400, "too many request", 9499)
    assert fake.refused[0].reason == "fault: code 9499"
    assert post(fake).json()["code"] == 0


def test_the_gateway_says_when_to_come_back(fake: FeishuFake) -> None:
    fake.arm(feishu.gateway_limited(12))
    reply = post(fake)
    assert (reply.status, code_of(reply), reply.headers["x-ogw-ratelimit-reset"]) == (429, 99991400, "12")


def test_the_platform_can_be_under_load(fake: FeishuFake) -> None:
    fake.arm(feishu.frequency_limited())
    assert code_of(post(fake)) == 11232


def test_a_success_can_have_an_error_inside(fake: FeishuFake) -> None:
    fake.arm(feishu.contradictory_success(11246, "card"))
    reply = post(fake)
    assert (reply.status, reply.json()["StatusCode"], reply.json()["code"]) == (200, 0, 11246)
    assert len(fake.messages) == 0


@pytest.mark.parametrize("code", [9499, 11246])
def test_cards_can_be_refused_while_texts_pass(code: int, fake: FeishuFake) -> None:
    fake.arm(feishu.refuse_cards(code), times=None)
    assert [post(fake, payload).json()["code"] for payload in (CARD, TEXT, CARD)] == [code, 0, code]
    assert send(fake.url, b"{").json()["code"] == 9499


def test_a_message_can_be_shown_although_its_sender_never_learns(fake: FeishuFake) -> None:
    fake.arm(faults.close(handled=True))
    with pytest.raises(http.client.RemoteDisconnected):
        post(fake)
    assert len(fake.messages) == 1


def test_it_runs_by_hand_and_prints_every_message() -> None:
    command = [sys.executable, "-m", "tests.fakes.feishu", "--port", "0", "--token", "t", "--secret", SECRET]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("listening on ").strip()
        try:
            send(url, signed(CARD, datetime.now(UTC).timestamp()))
        finally:
            process.terminate()
        output = process.stdout.read()
    assert process.returncode == 0
    assert output.split(" ", 1)[1] == "interactive\nBackOff\n<at id=all></at>\n"
