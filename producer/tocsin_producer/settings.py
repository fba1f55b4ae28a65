"""The producer's configuration file."""

from collections.abc import Mapping
from datetime import time, timedelta
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from tocsin_producer.filter import Rule
from tocsin_schemas.broker import BrokerSettings
from tocsin_schemas.configuration import (
    ClusterField,
    Document,
    Duration,
    Listen,
    Number,
    PatternField,
    Settings,
    Size,
    StateFile,
    TopicRoot,
    check,
    load,
)
from tocsin_schemas.dial import Broker
from tocsin_schemas.logs import Format, Level
from tocsin_schemas.matching import Pattern, compile_pattern
from tocsin_schemas.topics import DEFAULT_ROOT

#: Node conditions are of type Normal, the bad ones as well as every recovery.
_NODE_CONDITIONS: Final = (
    "NodeNotReady|NodeReady|NodeHas.*Pressure|NodeHasInsufficient.*|NodeHasSufficient.*|NodeHasNo.*|RemovingNode"
)
_TYPES: Final = ("Normal", "Warning")
#: With this, no event is larger than the packets of 64 KiB that our broker takes, whatever its characters.
MESSAGE_LIMIT: Final = 8192
#: What K3s says at every start, whatever the state of the node.
_NOISE: Final = "InvalidDiskCapacity|CgroupV1|PossibleMemoryBackedVolumesOnDisk"


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

    def described(self) -> str:
        """Return it in one line, for people."""
        given = self.model_dump(exclude_defaults=True)
        return ", ".join(f"{key} {value}" for key, value in given.items())

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


def _check_reset(text: str) -> str:
    try:
        parsed = time.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"expected a time of day such as 00:00 (UTC) or 00:00+08:00, found {text!r}") from error
    if parsed.second or parsed.microsecond:
        raise ValueError("expected hours and minutes alone")
    return text


class FoldSettings(Settings):
    """How the repeats of an Event are folded."""

    interval: Duration = Field(
        default=timedelta(minutes=30),
        ge=timedelta(0),
        le=timedelta(days=1),
        description="An Event is published at its first occurrence, then when its count has doubled, or when it"
        " was last published so long ago and has occurred again; 0s publishes every occurrence.",
    )


class BudgetSettings(Settings):
    """How much may go over a metered link."""

    per_day: Size | None = Field(
        default=None,
        ge=256 * 1024,
        description="Traffic with the broker in a day, both ways, IP packets and all. With four fifths of it"
        " spent, only first occurrences and conditions of nodes go; with all of it, only a status that says how"
        " many events are held. Without it there is no bound. Counted on Linux only.",
    )
    reset_at: Annotated[str, AfterValidator(_check_reset)] = Field(
        default="00:00", description="When a new day begins: a time in UTC, or with an offset as in 00:00+08:00."
    )

    @field_validator("reset_at")
    @classmethod
    def _check_use(cls, text: str, info: ValidationInfo) -> str:
        if "per_day" in info.data and info.data["per_day"] is None:
            raise ValueError("does nothing without per_day")
        return text

    @property
    def reset_seconds(self) -> int:
        """When a new day begins, in seconds after midnight UTC."""
        reset_at = time.fromisoformat(self.reset_at)
        offset = reset_at.utcoffset() or timedelta(0)
        local = timedelta(hours=reset_at.hour, minutes=reset_at.minute)
        return int((local - offset).total_seconds()) % 86_400


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
    fold: FoldSettings = FoldSettings()
    budget: BudgetSettings = BudgetSettings()
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


def load_settings(path: Path, environment: Mapping[str, str]) -> tuple[ProducerSettings, Document]:
    """Read the file at `path` with `environment` over it.

    Raises:
        ConfigurationError: with everything that is wrong with it.
    """
    return load(ProducerSettings, path, environment=environment)


def check_settings(document: Document) -> ProducerSettings:
    """Check a configuration that did not come from one file alone.

    Raises:
        ConfigurationError: with everything that is wrong with it.
    """
    return check(ProducerSettings, document)
