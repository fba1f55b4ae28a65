"""What notices say, in each language: a title, a sentence or two, and figures beside them. Pure."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from tocsin_consumer.clock import local_time
from tocsin_consumer.labels import LABELS, Language, duration, zone_name
from tocsin_consumer.notice import DIGESTS, FLEET_NAME, KIND, Facts, Notice, Reason, as_event
from tocsin_schemas.event import EventPayload

_UTC: Final = ZoneInfo("UTC")
_TIME: Final = "%Y-%m-%d %H:%M:%S"

_TITLES: Final[dict[Language, dict[Reason, str]]] = {
    "zh": {
        Reason.OFFLINE: "集群失联",
        Reason.ONLINE: "集群已恢复连接",
        Reason.NEVER_SEEN: "集群从未上线",
        Reason.UNSTABLE: "集群连接不稳定",
        Reason.LOST: "事件丢失",
        Reason.HELD: "事件暂缓送达",
        Reason.STORM: "告警风暴",
        Reason.CALM: "告警风暴已平息",
        Reason.BACKLOG: "积压通知已合并",
    },
    "en": {
        Reason.OFFLINE: "Cluster offline",
        Reason.ONLINE: "Cluster back online",
        Reason.NEVER_SEEN: "Cluster never seen",
        Reason.UNSTABLE: "Cluster link unstable",
        Reason.LOST: "Events lost",
        Reason.HELD: "Events held back",
        Reason.STORM: "Alert storm",
        Reason.CALM: "Alert storm over",
        Reason.BACKLOG: "Waiting notifications merged",
    },
}
_LABELS: Final[dict[Language, dict[str, str]]] = {
    "zh": {
        "offline_since": "失联时间",
        "last_heard": "最后消息",
        "expected_since": "开始等待",
        "online_since": "恢复时间",
        "away_seconds": "失联时长",
        "held": "积压事件",
        "lost_since": "丢失始于",
        "lost": "丢失事件",
        "lost_in_outbox": "发件箱满而丢弃",
        "lost_at_broker": "发布后未收到",
        "drops": "断线次数",
        "hold_seconds": "保持多久后通知",
        "storm_since": "风暴始于",
        "incidents": "事件组",
        "going_on": "仍在持续",
        "problems": "问题",
        "occurrences": "发生次数",
        "reasons": "主要原因（× 事件组数）",
        "clusters": "主要集群（× 事件组数）",
        "objects": "主要对象（× 事件组数）",
        "others": "另有 {} 个",
    },
    "en": {
        "offline_since": "Offline since",
        "last_heard": "Last heard",
        "expected_since": "Expected since",
        "online_since": "Back since",
        "away_seconds": "Away for",
        "held": "Held back",
        "lost_since": "Lost since",
        "lost": "Lost",
        "lost_in_outbox": "Given up, outbox full",
        "lost_at_broker": "Published, never came",
        "drops": "Drop-outs",
        "hold_seconds": "Told after",
        "storm_since": "Since",
        "incidents": "Incidents",
        "going_on": "Still going on",
        "problems": "Problems",
        "occurrences": "Occurrences",
        "reasons": "Top reasons (× incidents)",
        "clusters": "Top clusters (× incidents)",
        "objects": "Top objects (× incidents)",
        "others": "{} more",
    },
}


_CASES: Final = {
    Reason.ONLINE: "back",
    Reason.NEVER_SEEN: "never",
    Reason.UNSTABLE: "unstable",
    Reason.LOST: "lost",
    Reason.HELD: "held",
    Reason.STORM: "storm",
    Reason.CALM: "calm",
    Reason.BACKLOG: "merged",
}
#: What is the case (`_case`) → what is said about it, with facts by their names.
_SENTENCES: Final[dict[Language, dict[str, str]]] = {
    "zh": {
        "offline": "自 {offline_since} 起失联，最后消息 {last_heard}。期间的事件会积压在集群侧，恢复后送达。",
        "unheard": "首次查看时（{offline_since}）已失联，失联开始时间未知。",
        "silent": "自 {offline_since} 起没有任何事件或状态，但也未收到离线通知：链路或消息服务器可能已中断。",
        "back": "失联 {away_seconds}后恢复。积压事件 {held} 条，丢失 {lost} 条。",
        "first": "首次上线。",
        "steady": "多次断线（{drops} 次）后连接已稳定。积压事件 {held} 条，丢失 {lost} 条。",
        "never": (
            "自 {expected_since} 起等待，从未上线。请检查该集群的采集端、消息服务器账号以及 presence.clusters。"
        ),
        "unstable": "近期第 {drops} 次断线。此后仅在状态保持 {hold_seconds}后通知。",
        "lost": "共 {lost} 条：采集端发件箱已满丢弃 {lost_in_outbox} 条，发布后未收到 {lost_at_broker} 条。",
        "held": (
            "目前积压 {held} 条：链路的每日流量预算将尽或已用尽。重置（budget.reset_at）之前，"
            "只送达首次发生的事件和节点状态，用尽后全部暂缓；积压事件在重置后送达。"
        ),
        "storm": (
            "自 {storm_since} 起 {incidents} 组事件、{problems} 个问题、{occurrences} 次，"
            "其中 {going_on} 组仍在持续。平息之前只发送摘要。"
        ),
        "calm": (
            "风暴始于 {storm_since}，共 {incidents} 组事件、{problems} 个问题、{occurrences} 次，"
            "其中 {going_on} 组仍在持续。此后恢复逐条通知。"
        ),
        "merged": (
            "接收方来不及接收：较早的 {incidents} 组事件（{going_on} 组仍在持续）合并于此，最新的仍逐条发送。"
        ),
    },
    "en": {
        "offline": (
            "Offline since {offline_since}, last heard {last_heard}. "
            "What happens there is held back, and comes when it returns."
        ),
        "unheard": "Offline when first looked at ({offline_since}); since when is not known.",
        "silent": (
            "Neither an event nor a status since {offline_since}, though nobody has said that it is offline: "
            "its link or its broker may be down."
        ),
        "back": "Back after {away_seconds}. Events held back: {held}, lost: {lost}.",
        "first": "Seen for the first time.",
        "steady": "Steady again after {drops} drop-outs. Events held back: {held}, lost: {lost}.",
        "never": (
            "Expected since {expected_since}, and never seen. "
            "Check its producer, its account at the broker, and presence.clusters."
        ),
        "unstable": "Drop-out number {drops} of late. From now on a state that lasts {hold_seconds} is told.",
        "lost": (
            "{lost} in all. Given up by the producer, whose outbox was full: {lost_in_outbox}; "
            "published and never received: {lost_at_broker}."
        ),
        "held": (
            "{held} so far: the daily budget of its link is nearly or all spent. Until it is reset "
            "(budget.reset_at), only first occurrences and conditions of nodes come, and with all of it spent, "
            "nothing. What is held comes after that."
        ),
        "storm": (
            "Since {storm_since}. Incidents: {incidents}, still going on: {going_on}, problems: {problems}, "
            "occurrences: {occurrences}. Until it calms down, digests are told instead of each."
        ),
        "calm": (
            "It began at {storm_since}. Incidents: {incidents}, still going on: {going_on}, problems: {problems}, "
            "occurrences: {occurrences}. From now on each is told by itself again."
        ),
        "merged": (
            "More was to be told than could be sent. Incidents that are told here together: {incidents}, still "
            "going on: {going_on}; the newest are told one by one."
        ),
    },
}
#: What of it is left to say where the facts stand in rows; of the cases that are missing here, nothing.
_REMARKS: Final[dict[Language, dict[str, str]]] = {
    "zh": {
        "offline": "期间的事件会积压在集群侧，恢复后送达。",
        "unheard": "首次查看时已失联，失联开始时间未知。",
        "silent": "没有任何事件或状态，但也未收到离线通知：链路或消息服务器可能已中断。",
        "first": "首次上线。",
        "steady": "多次断线后连接已稳定。",
        "never": "请检查该集群的采集端、消息服务器账号以及 presence.clusters。",
        "unstable": "链路反复断开，此后仅通知能保持下去的状态。",
        "held": (
            "链路的每日流量预算将尽或已用尽。重置（budget.reset_at）之前，"
            "只送达首次发生的事件和节点状态，用尽后全部暂缓；积压事件在重置后送达。"
        ),
        "storm": "平息之前只发送摘要。",
        "calm": "此后恢复逐条通知。",
        "merged": "接收方来不及接收，较早的合并于此，最新的仍逐条发送。",
    },
    "en": {
        "offline": "What happens there is held back, and comes when it returns.",
        "unheard": "It was offline when first looked at; since when is not known.",
        "silent": (
            "Neither an event nor a status has come, though nobody has said that it is offline: "
            "its link or its broker may be down."
        ),
        "first": "Seen for the first time.",
        "steady": "Its link is steady again after many drop-outs.",
        "never": "Check its producer, its account at the broker, and presence.clusters.",
        "unstable": "Its link comes and goes. From now on only a state that lasts is told.",
        "held": (
            "The daily budget of its link is nearly or all spent. Until it is reset (budget.reset_at), "
            "only first occurrences and conditions of nodes come, and with all of it spent, nothing. "
            "What is held comes after that."
        ),
        "storm": "Until it calms down, digests are told instead of each incident.",
        "calm": "From now on each incident is told by itself again.",
        "merged": "More was to be told than could be sent: the older is told here, the newest one by one.",
    },
}


@dataclass(frozen=True, slots=True)
class Words:
    """What to show of a notice: all in a `message`, or labels with their values in `rows` above a `remark`."""

    title: str
    message: str
    rows: tuple[tuple[str, str], ...] = ()
    #: What the rows leave to be said, which may be nothing; None where there is the message alone.
    remark: str | None = None


def words(reason: Reason, facts: Facts, time_zone: ZoneInfo, *, language: Language) -> Words:
    """Return what a notice says in `language`, its times in `time_zone`."""
    given = facts.model_dump(exclude_none=True, exclude={"cause"})
    shown = {name: _shown(name, value, time_zone, language) for name, value in given.items()}
    case = _case(reason, facts)
    message = _SENTENCES[language][case].format_map(_Lenient(shown))
    rows = tuple(_rows(given, shown, time_zone, language))
    remark = _REMARKS[language].get(case, "") if rows else None
    return Words(_TITLES[language][reason], message, rows, remark)


def label(name: str, language: Language) -> str:
    """Return what a figure is called."""
    return _LABELS[language][name]


def cluster_name(cluster: str, reason: str, language: Language) -> str:
    """Return what the cluster of a message is called; that of a digest of many is all of them."""
    return LABELS[language]["fleet"] if cluster == FLEET_NAME and reason in DIGESTS else cluster


def kind_name(kind: str, reason: str, language: Language) -> str:
    """Return what a kind of object is called: that of notices is ours, and all others are names of Kubernetes'."""
    return LABELS[language]["cluster"] if kind == KIND and reason in set(Reason) else kind


def event_of(notice: Notice, *, uid: str) -> EventPayload:
    """Return `notice` as an event, with the English words in UTC for those who read nothing else of it."""
    return as_event(notice, uid=uid, message=words(notice.reason, notice.facts, _UTC, language="en").message)


class _Lenient(dict[str, str]):
    """A cluster can say what only we should: a fact that is missing from such a notice is no error."""

    def __missing__(self, key: str) -> str:
        return "?"


def _case(reason: Reason, facts: Facts) -> str:
    if reason == Reason.OFFLINE:
        return "silent" if facts.cause == "silence" else "unheard" if facts.last_heard is None else "offline"
    if reason == Reason.ONLINE and facts.away_seconds is None:
        return "first" if facts.drops is None else "steady"
    return _CASES[reason]


def _rows(
    given: dict[str, Any], shown: dict[str, str], time_zone: ZoneInfo, language: Language
) -> Iterator[tuple[str, str]]:
    """Yield labels and values; the first time names the zone of all of them."""
    zone_is_told = False
    for name, value in shown.items():
        label = _LABELS[language][name]
        if _is_time(name) and not zone_is_told:
            label = f"{label} ({zone_name(local_time(given[name], time_zone))})"
            zone_is_told = True
        yield label, value


def _shown(name: str, value: int, time_zone: ZoneInfo, language: Language) -> str:
    if name.endswith("_seconds"):
        return duration(timedelta(seconds=value), language)
    return local_time(value, time_zone).strftime(_TIME) if _is_time(name) else str(value)


def _is_time(name: str) -> bool:
    return name == "last_heard" or name.endswith("_since")
