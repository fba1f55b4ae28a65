"""The words of the built-in texts, in every language that a receiver may speak."""

from datetime import datetime, timedelta
from typing import Final, Literal

Language = Literal["zh", "en"]

#: Language → what is said → how. Units of time have their number in front.
LABELS: Final[dict[Language, dict[str, str]]] = {
    "zh": {
        "critical": "严重",
        "warning": "警告",
        "info": "提示",
        "recovered": "恢复",
        "open": "持续",
        "quiet": "未再出现",
        "new": "新增",
        "still": "仍在持续",
        "lasted": "历时",
        "recovered_at": "恢复",
        "objects": "{} 个对象",
        "others": "等（另有 {} 个）",  # noqa: RUF001 - Chinese brackets
        "at": "时间",
        "first": "首次",
        "last": "最近",
        "received": "收到",
        "delayed": "迟到",
        "container": "容器",
        "node": "节点",
        "notice": "tocsin 通知",
        "hint": "建议",
        "cluster": "集群",
        "fleet": "全部集群",
        "colon": "：",  # noqa: RUF001 - the Chinese one
        "days": "{} 天",
        "hours": "{} 小时",
        "minutes": "{} 分钟",
        "seconds": "{} 秒",
    },
    "en": {
        "critical": "critical",
        "warning": "warning",
        "info": "info",
        "recovered": "recovered",
        "open": "open",
        "quiet": "quiet",
        "new": "new",
        "still": "still going on",
        "lasted": "lasted",
        "recovered_at": "Recovered",
        "objects": "{} objects",
        "others": "and {} more",
        "at": "At",
        "first": "First",
        "last": "Last",
        "received": "Received",
        "delayed": "late by",
        "container": "container",
        "node": "node",
        "notice": "notice from tocsin",
        "hint": "Hint",
        "cluster": "Cluster",
        "fleet": "all clusters",
        "colon": ": ",
        "days": "{} d",
        "hours": "{} h",
        "minutes": "{} min",
        "seconds": "{} s",
    },
}

_UNITS: Final = (("days", 86400), ("hours", 3600), ("minutes", 60), ("seconds", 1))


def duration(length: timedelta, language: Language) -> str:
    """Return `length` in at most two neighbouring units, rounded down: `2 h 5 min`, `2 小时 5 分钟`, `0 s`."""
    left = max(0, int(length.total_seconds()))
    numbers = []
    for _, seconds in _UNITS:
        number, left = divmod(left, seconds)
        numbers.append(number)
    start = next((index for index, number in enumerate(numbers) if number), len(_UNITS) - 1)
    labels = LABELS[language]
    shown = [(name, number) for (name, _), number in zip(_UNITS, numbers, strict=True)][start : start + 2]
    return " ".join(labels[name].format(number) for name, number in shown if number or len(shown) == 1)


def zone_name(at: datetime) -> str:
    """Return the time zone of `at` by its offset: UTC, UTC+8, UTC+5:30."""
    minutes = int((at.utcoffset() or timedelta()).total_seconds() // 60)
    hours, rest = divmod(abs(minutes), 60)
    if not minutes:
        return "UTC"
    return f"UTC{'-' if minutes < 0 else '+'}{hours}" + (f":{rest:02}" if rest else "")


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the English of the tools: `1 object`, `2 objects`."""
    return f"{number} {plural(number, noun)}"


def plural(number: int, noun: str) -> str:
    """Return the noun for so many, in the English of the tools."""
    if number == 1:
        return noun
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
