"""The producer's configuration file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from tocsin_producer.filter import Rule
from tocsin_schemas.broker import BrokerSettings
from tocsin_schemas.configuration import (
    ClusterField,
    Listen,
    Number,
    PatternField,
    Settings,
    Size,
    StateFile,
    TopicRoot,
    load,
)
from tocsin_schemas.dial import Broker
from tocsin_schemas.logs import Format, Level
from tocsin_schemas.matching import Pattern, compile_pattern
from tocsin_schemas.topics import DEFAULT_ROOT

#: Node conditions are of type Normal, the bad ones as well as every recovery.
_NODE_CONDITIONS: Final = (
    "NodeNotReady|NodeReady|NodeHas.*Pressure|NodeHasInsufficient.*|NodeHasSufficient.*|NodeHasNo.*"
)
_TYPES: Final = ("Normal", "Warning")
#: With this, no event is larger than the packets of 64 KiB that our broker takes, whatever its characters.
MESSAGE_LIMIT: Final = 8192
#: What K3s says at every start, whatever the state of the node.
_NOISE: Final = "InvalidDiskCapacity|CgroupV1"

_PLANNED: Final = {
    "fold": "folding repeats comes with a later version; remove this key",
}


def _check_type(pattern: Pattern) -> Pattern:
    if not any(map(compile_pattern(pattern), _TYPES)):
        raise ValueError(f"expected what matches {' or '.join(_TYPES)}, found {pattern!r}")
    return pattern


def _check_exclusion(rule: "RuleSettings") -> "RuleSettings":
    if rule == RuleSettings():
        raise ValueError("expected at least one field; a rule without any excludes every event")
    return rule


class RuleSettings(Settings):
    """A rule on events: all fields given must hold."""

    type: Annotated[PatternField, AfterValidator(_check_type)] | None = Field(
        default=None, description="Normal or Warning."
    )
    reason: PatternField | None = Field(default=None, description="Such as BackOff.")
    kind: PatternField | None = Field(default=None, description="Kind of the involved object, such as Pod.")
    namespace: PatternField | None = Field(
        default=None,
        description="Namespace of the involved object; _cluster for objects without one.",
    )
    name: PatternField | None = Field(default=None, description="Name of the involved object.")
    component: PatternField | None = Field(default=None, description="What reported it, such as kubelet.")
    message: PatternField | None = Field(default=None, description="The whole message.")
    min_count: Number = Field(default=1, ge=1, description="Occurrences before it matches.")

    def rule(self) -> Rule:
        """Return what the filter needs."""
        return Rule(self.model_dump(exclude={"min_count"}, exclude_none=True), self.min_count)


class EventSettings(Settings):
    """Which events are published."""

    include: list[RuleSettings] = Field(
        default=[RuleSettings(type="Warning"), RuleSettings(type="Normal", kind="Node", reason=_NODE_CONDITIONS)],
        min_length=1,
        description="An event that any of these rules matches is published …",
    )
    exclude: list[Annotated[RuleSettings, AfterValidator(_check_exclusion)]] = Field(
        default=[RuleSettings(reason=_NOISE)],
        description="… unless any of these does.",
    )


class OutboxSettings(Settings):
    """What waits for the link."""

    path: StateFile | None = Field(
        default=None, description="State file; without one, a restart forgets what waits and lists anew."
    )
    max_messages: Number = Field(
        default=2000,
        ge=1,
        le=1_000_000,
        description="Beyond this the least severe and oldest goes, and is counted.",
    )
    max_bytes: Size = Field(default=1024**2, ge=64 * 1024, description="The same for their size.")


class HttpSettings(Settings):
    """Probes and metrics."""

    listen: Listen | None = Field(
        default=None,
        description="Where /healthz, /readyz and /metrics are answered; without it, nowhere.",
    )


class LogSettings(Settings):
    """What goes to standard error."""

    level: Level = Field(default="info", description="With debug, every event is told.")
    format: Format = Field(default="text", description="Lines for people, or JSON for programs.")


class ProducerSettings(Settings):
    """The whole file."""

    cluster: ClusterField = Field(
        description="Its name in topics and alerts: lower case letters, digits and dashes, at most 63.",
    )
    broker: BrokerSettings
    topic_root: TopicRoot = Field(
        default=DEFAULT_ROOT,
        description="The first levels of every topic; the same on both sides and in the broker's ACL.",
    )
    events: EventSettings = EventSettings()
    outbox: OutboxSettings = OutboxSettings()
    message_limit: Number = Field(
        default=1024,
        ge=16,
        le=MESSAGE_LIMIT,
        description="Characters of an event's message; a longer one is cut, and ends in an ellipsis.",
    )
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()

    @property
    def connection(self) -> Broker:
        """Where the broker is, and who we are to it: where nothing is given, the cluster."""
        return self.broker.connection(client_id=f"tocsin-producer-{self.cluster}", username=self.cluster)


def load_settings(path: Path, environment: Mapping[str, str]) -> ProducerSettings:
    """Read the configuration file.

    Raises:
        ConfigurationError: with everything that is wrong with it.
    """
    settings, _ = load(ProducerSettings, path, environment=environment, planned=_PLANNED)
    return settings
