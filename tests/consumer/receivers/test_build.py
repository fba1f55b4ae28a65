import ast
import json
from contextlib import closing
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tocsin_consumer import receivers
from tocsin_consumer.rate_limit import RateLimit
from tocsin_consumer.receiver_settings import ReceiverSettings
from tocsin_consumer.receivers import RECEIVERS, build
from tocsin_consumer.samples import samples

_HOOK = "https://open.feishu.cn/open-apis/bot/v2/hook/demo"
_KINDS: dict[str, dict[str, Any]] = {
    "stdout": {},
    "file": {"path": "/tmp/events"},  # noqa: S108 - it is never opened
    "webhook": {"url": "https://example.com/hook"},
    "feishu": {"url": _HOOK},
}


def _settings(kind: str, **settings: Any) -> ReceiverSettings:
    return ReceiverSettings.model_validate({"name": "x", kind: _KINDS[kind], **settings})


@pytest.mark.parametrize("kind", RECEIVERS)
def test_every_kind_can_be_built_and_renders_every_sample(kind: str) -> None:
    with closing(build(_settings(kind), time_zone=ZoneInfo("UTC"), language="en")) as receiver:
        assert receiver.name == "x"
        assert all(receiver.render(notification).content for notification in samples().values())


@pytest.mark.parametrize("kind", RECEIVERS)
def test_a_configured_rate_limit_comes_on_top_of_the_service_s(kind: str) -> None:
    free = build(_settings(kind), time_zone=ZoneInfo("UTC"), language="en")
    limited = build(
        _settings(kind, rate_limit={"count": 2, "per": "1m"}), time_zone=ZoneInfo("UTC"), language="en"
    )
    with closing(free), closing(limited):
        assert len(limited.limits) == len(free.limits) + 1
        assert limited.limits[-1] == RateLimit(2, _settings(kind).max_age / 24 / 60)


def test_zone_and_language_are_the_receiver_s_or_else_the_file_s() -> None:
    own = _settings("feishu", time_zone="Asia/Shanghai", language="zh")
    with (
        closing(build(own, time_zone=ZoneInfo("UTC"), language="en")) as receiver,
        closing(build(_settings("feishu"), time_zone=ZoneInfo("UTC"), language="en")) as other,
    ):
        said = json.loads(receiver.render(samples()["back-off"]).content)["card"]["config"]["summary"]["content"]
        assert "警告" in said
        assert "UTC+8" in receiver.render(samples()["back-off"]).content
        assert "(UTC)" in other.render(samples()["back-off"]).content


def test_no_receiver_imports_another() -> None:
    folder = Path(receivers.__file__).parent
    services = {"stdout", "file", "webhook", "feishu"}
    for service in services:
        tree = ast.parse((folder / f"{service}.py").read_text(encoding="utf-8"))
        imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {
            f"{node.module}.{alias.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert not imported & {f"tocsin_consumer.receivers.{other}" for other in services - {service}}
