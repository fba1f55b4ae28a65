"""Hints about what tocsin itself says of a cluster (notice.py)."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

from tocsin_consumer.hints.entry import Entry
from tocsin_consumer.notice import KIND, Reason

_LOGS: Final = "kubectl -n tocsin logs deploy/tocsin-producer --tail=50"
_DOCTOR: Final = "kubectl -n tocsin exec deploy/tocsin-producer -- tocsin-producer doctor"

CLUSTERS: Final = (
    Entry(
        reasons=(Reason.OFFLINE,),
        kind=KIND,
        zh="现场断电、断网，或采集端停止。若多个集群同时失联，先查消息服务器。",
        en="The site lost power or its link, or its producer is down. If several went at once, see the broker.",
        command="tocsin-consumer doctor",
    ),
    Entry(
        reasons=(Reason.ONLINE,),
        kind=KIND,
        zh="无需处理，积压的事件正在送达。若丢失数不为零，调大采集端的 outbox。",
        en="Nothing to do; what was held back comes now. If events were lost, give the producer a larger outbox.",
    ),
    Entry(
        reasons=(Reason.NEVER_SEEN,),
        kind=KIND,
        zh="采集端从未连上：未部署、账号或密码不对，或名称与 presence.clusters 不一致。在该集群上运行：",
        en="Its producer never connected: not deployed, a wrong account, or another name. On that cluster, run:",
        command=_DOCTOR,
    ),
    Entry(
        reasons=(Reason.UNSTABLE,),
        kind=KIND,
        zh="链路时断时续：信号弱、NAT 超时，或采集端反复重启。在该集群上看日志：",
        en="A weak signal, a NAT that forgets (broker.keepalive), or a producer that restarts. On that cluster:",
        command=_LOGS,
    ),
    Entry(
        reasons=(Reason.LOST,),
        kind=KIND,
        zh="断线时间超出发件箱容量，或消息服务器丢弃了消息。调大 outbox.max_messages 和 max_bytes，或排除噪声。",
        en="Outbox or broker's queue were too small for the outage. Enlarge them, or exclude noise at the edge.",
        command=_LOGS,
    ),
    Entry(
        reasons=(Reason.HELD,),
        kind=KIND,
        zh="当日流量预算将尽。找出最吵的事件并在采集端排除（events.exclude），或提高 budget.per_day。",
        en="The day's budget is nearly spent. Exclude what is noisy (events.exclude), or raise budget.per_day.",
        command="tocsin-consumer tail --cluster {cluster}",
    ),
    Entry(
        reasons=(Reason.STORM,),
        kind=KIND,
        zh="多半是一个根源：先看最早、最多的原因，以及是否断电、断网或刚发布。",
        en="Mostly there is one cause: look at the top reasons first, and for an outage or a rollout.",
        command="tocsin-consumer incidents list",
    ),
    Entry(
        reasons=(Reason.CALM,),
        kind=KIND,
        zh="仍在持续的会照常逐条通知。若常被噪声触发，在路由中丢弃，或在采集端排除。",
        en="What goes on is told by itself again. If noise brings this about, drop it in a route or at the edge.",
        command="tocsin-consumer incidents list",
    ),
    Entry(
        reasons=(Reason.BACKLOG,),
        kind=KIND,
        zh="通知多于接收方的限额，或它刚恢复。用 group_by、drop 减少通知，或分给多个接收方。",
        en="More was to be told than the receiver takes, or it was down. Group more, drop noise, or use several.",
        command="tocsin-consumer incidents list",
    ),
)
