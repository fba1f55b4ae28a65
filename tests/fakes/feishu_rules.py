"""What the webhook of a Feishu custom bot asks of a request, each rule on its own.

Source of the rules, the error codes and their wording: "Custom bot usage guide"
(https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot). What the guide leaves open follows what
users of the service have reported: a refused card is HTTP 200 with code 11246 and the inner `ErrCode` in the
message, a path that nobody serves is HTTP 404 with 99991201.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.fakes.feishu_card import check_card
from tests.fakes.feishu_shape import CardError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.fakes.faults import Request

HOOK = "/open-apis/bot/v2/hook/"
MAX_BODY_BYTES = 20 * 1024
SIGNATURE_VALID_SECONDS = 3600

BAD_REQUEST = 9499
FREQUENCY_LIMITED = 11232
CARD_REFUSED = 11246
TOKEN_INVALID = 19001
PARAM_INVALID = 19002
SIGN_MISMATCH = 19021
IP_NOT_ALLOWED = 19022
KEY_WORDS_NOT_FOUND = 19024
NO_SUCH_PATH = 99991201

FREQUENCY_LIMITED_MESSAGE = "frequency limited psm[lark.oapi.app_platform_runtime]appID[1500]"

POST_NODES = {"text": {"text"}, "a": {"text", "href"}, "at": {"user_id"}, "img": {"image_key"}}


@dataclass(frozen=True)
class Bot:
    """How a bot is set up: its token, and the security settings that its owner has switched on.

    `allowed_ips` are addresses or networks; None lets everybody in. A limit of None is no limit.
    """

    token: str = "demo-token"
    secret: str | None = None
    keywords: tuple[str, ...] = ()
    allowed_ips: tuple[str, ...] | None = None
    per_second: int | None = 5
    per_minute: int | None = 100


class RefusedError(Exception):
    """The service says no: with a code, a message for the client, and the reason for the reader of a test."""

    def __init__(self, code: int, message: str, *, reason: str = "", status: int = 200) -> None:
        self.code = code
        self.message = message
        self.status = status
        super().__init__(f"{code} {message}" + (f": {reason}" if reason else ""))


def bad_request(reason: str) -> RefusedError:
    """Return the error for a body that is wrong in any way, which says nothing about what is wrong."""
    return RefusedError(BAD_REQUEST, "Bad Request", reason=reason)


def token_of(request: Request) -> str:
    """Return the token that was addressed; a final slash is forgiven (Apprise sends one)."""
    if request.method != "POST" or not request.path.startswith(HOOK):
        raise RefusedError(NO_SUCH_PATH, "resource not find", reason=request.path, status=404)
    return request.path.removeprefix(HOOK).rstrip("/")


def payload_of(request: Request) -> Mapping[str, Any]:
    """Return the body: a JSON object of at most 20 KB, sent as application/json."""
    if len(request.body) > MAX_BODY_BYTES:
        raise bad_request(f"the body has {len(request.body)} bytes, {MAX_BODY_BYTES} are allowed")
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise bad_request(f"Content-Type is {content_type!r}")
    return _parsed(request)


def _parsed(request: Request) -> Mapping[str, Any]:
    try:
        payload = request.json()
    except ValueError as error:
        raise bad_request(f"malformed JSON: {error}") from error
    if not isinstance(payload, dict):
        raise bad_request("the body is not a JSON object")
    return payload


def check_token(bot: Bot, token: str) -> None:
    """The address must be that of the bot."""
    if token != bot.token:
        raise RefusedError(TOKEN_INVALID, "param invalid: incoming webhook access token invalid")


def check_ip(bot: Bot, client: str) -> None:
    """The sender must be on the list, when there is one."""
    networks = [ipaddress.ip_network(network) for network in bot.allowed_ips or ()]
    if bot.allowed_ips is not None and not any(ipaddress.ip_address(client) in one for one in networks):
        raise RefusedError(IP_NOT_ALLOWED, "Ip Not Allowed")


def signature(secret: str, timestamp: str) -> str:
    """HMAC-SHA256 of nothing, keyed with the timestamp and the secret, in base64."""
    digest = hmac.new(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def check_signature(bot: Bot, payload: Mapping[str, Any], now: float) -> None:
    """With a secret, `sign` must match `timestamp`, which lies within one hour of now."""
    if bot.secret is None:
        return
    timestamp, sign = str(payload.get("timestamp", "")), str(payload.get("sign", ""))
    problem = _signature_problem(bot.secret, timestamp, sign, now=now)
    if problem:
        message = "sign match fail or timestamp is not within one hour from current time"
        raise RefusedError(SIGN_MISMATCH, message, reason=problem)


def _signature_problem(secret: str, timestamp: str, sign: str, *, now: float) -> str:
    if not timestamp.isdecimal():
        return f"timestamp is {timestamp!r}, not seconds"
    if abs(now - int(timestamp)) > SIGNATURE_VALID_SECONDS:
        return f"timestamp is {now - int(timestamp):.0f} s old"
    if not hmac.compare_digest(sign.encode(), signature(secret, timestamp).encode()):
        return "sign does not match"
    return ""


def check_keywords(bot: Bot, payload: Mapping[str, Any]) -> None:
    """With keywords, one of them must occur in a value of `text` or `title`; links and the rest do not count."""
    said = "\n".join(_keyword_texts(payload))
    if bot.keywords and not any(keyword in said for keyword in bot.keywords):
        raise RefusedError(KEY_WORDS_NOT_FOUND, "Key Words Not Found")


def _keyword_texts(value: object) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _keyword_texts(item)
    elif isinstance(value, dict):
        for name, child in value.items():
            said = child.get("content") if isinstance(child, dict) else child
            if name in {"text", "title"} and isinstance(said, str):
                yield said
            yield from _keyword_texts(child)


def check_content(payload: Mapping[str, Any]) -> None:
    """The body must have the form of its msg_type."""
    msg_type = payload.get("msg_type")
    if not msg_type:
        raise RefusedError(PARAM_INVALID, "params error, msg_type need")
    if msg_type == "interactive":
        _check_interactive(payload)
        return
    content = payload.get("content")
    if not isinstance(content, dict):
        raise bad_request("content is not an object")
    _check_plain_content(msg_type, content)


def _check_plain_content(msg_type: object, content: Mapping[str, Any]) -> None:
    match msg_type:
        case "post":
            _check_post(content)
        case "text":
            _check_string(content, "text")
        case "image":
            _check_string(content, "image_key")
        case "share_chat":
            _check_string(content, "share_chat_id")
        case _:
            raise bad_request(f"unknown msg_type: {msg_type!r}")


def _check_interactive(payload: Mapping[str, Any]) -> None:
    """A card stands at the top as `card`; `content` is how applications send theirs."""
    card = payload.get("card")
    if not isinstance(card, dict):
        raise RefusedError(PARAM_INVALID, "params error, unknown card value", reason="no object `card`")
    try:
        check_card(card)
    except CardError as error:
        raise RefusedError(CARD_REFUSED, str(error)) from error


def _check_string(content: Mapping[str, Any], name: str) -> None:
    if not isinstance(content.get(name), str) or not content[name]:
        raise bad_request(f"content.{name} is not a string with something in it")


def _check_post(content: Mapping[str, Any]) -> None:
    """A post has languages; each has lines of nodes, and a title perhaps."""
    post = content.get("post")
    if not isinstance(post, dict) or not post:
        raise bad_request("content.post is not an object with languages")
    for name, language in post.items():
        if not isinstance(language, dict) or not isinstance(language.get("title", ""), str):
            raise bad_request(f"content.post.{name} has no title and content")
        _check_post_lines(language.get("content"), f"content.post.{name}.content")


def _check_post_lines(lines: object, where: str) -> None:
    if not isinstance(lines, list) or not all(isinstance(line, list) for line in lines):
        raise bad_request(f"{where} is not a list of lists")
    for node in (node for line in lines for node in line):
        if not _is_post_node(node):
            raise bad_request(f"{where} has an unknown node: {node!r}")


def _is_post_node(node: object) -> bool:
    """The guide documents four tags, with these properties at least."""
    if not isinstance(node, dict) or not isinstance(node.get("tag"), str):
        return False
    required = POST_NODES.get(node["tag"])
    return required is not None and all(isinstance(node.get(name), str) for name in required)
