"""The consumer's configuration file."""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Self
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tocsin_consumer.contradictions import located, problems_across, raise_any, repeated, together
from tocsin_consumer.dispatch import Timing
from tocsin_consumer.hint_settings import HintSettings
from tocsin_consumer.inhibit import DEFAULT_RULES, InhibitSettings
from tocsin_consumer.labels import Language
from tocsin_consumer.match import MatchField, MatchSettings
from tocsin_consumer.presence import Rules
from tocsin_consumer.receiver_fields import TimeZone, WebUrl, WebUrlFile, check_one_url, secret_of
from tocsin_consumer.receiver_settings import RateLimitSettings, ReceiverSettings
from tocsin_consumer.silence import RecurringSilence
from tocsin_consumer.silence_settings import SilenceSettings
from tocsin_consumer.storm import StormRules
from tocsin_schemas import configuration, logs, topics
from tocsin_schemas.broker import BrokerSettings
from tocsin_schemas.configuration import (
    ClusterField,
    Document,
    Duration,
    Listen,
    Settings,
    TopicRoot,
)

_SECOND: Final = timedelta(seconds=1)
_DAY: Final = timedelta(days=1)
#: What the events of one incident have in common, where nothing else is said.
GROUP_BY: Final = ("cluster", "namespace", "reason")


def _check_store(url: str) -> str:
    """Accept a file of SQLite's; the value is not repeated, since a database's url may hold a password."""
    if urlsplit(url).scheme != "sqlite":
        raise ValueError(
            "expected an SQLite url such as sqlite:////var/lib/tocsin/tocsin.db; this version knows no other store"
        )
    parts = urlsplit(url)
    if parts.netloc or parts.query or parts.fragment:
        raise ValueError("expected the path of a file behind sqlite:///, without a host, options and fragments")
    if unquote(parts.path).strip("/") in ("", ":memory:"):
        raise ValueError("expected the path of a file behind sqlite:///; memory would forget at each restart")
    return url


class RouteSettings(Settings):
    """A node of the routing tree; what it does not say, it has from the node above.

    Events that a node takes and that have the same values in the fields of `group_by` are one incident.
    """

    receivers: list[str] | None = Field(default=None, description="Whom to tell; an empty list drops.")
    match: MatchSettings | None = Field(default=None, description="Which events it takes; by default all.")
    drop: list[MatchSettings] = Field(default=[], description="Which of those it drops.")
    routes: list["RouteSettings"] = Field(default=[], description="Finer routes; the first that matches takes.")
    continue_: bool = Field(
        default=False, alias="continue", description="Whether the routes behind this one are asked as well."
    )
    group_by: list[MatchField] | None = Field(
        default=None,
        description=f"What the events of one incident have in common; default: {', '.join(GROUP_BY)}.",
    )
    group_wait: Duration | None = Field(
        default=None,
        le=_DAY,
        description="How long after its first event an incident is told; default: 10s.",
    )
    group_interval: Duration | None = Field(
        default=None,
        ge=_SECOND,
        le=_DAY,
        description="How long after that, at the earliest, what is new in it is told; default: 5m.",
    )
    repeat_interval: Duration | None = Field(
        default=None,
        ge=_SECOND,
        le=timedelta(days=7),
        description="How often it is told again while it goes on without news; default: 4h.",
    )
    quiet_after: Duration | None = Field(
        default=None,
        ge=timedelta(minutes=1),
        le=timedelta(days=7),
        description="After how long without an event a problem whose end nobody says is over; default: 90m.",
    )
    send_recovered: bool | None = Field(
        default=None, description="Whether it is told that a problem is over which was told; default: true."
    )
    send_quiet: bool | None = Field(
        default=None, description="Whether it is told that nothing more is heard of one; default: false."
    )

    def timing(self, above: Timing) -> Timing:
        """Return when to tell what: as in `above`, but for what is said here."""
        return replace(
            above,
            **{option.name: said for option in fields(Timing) if (said := getattr(self, option.name)) is not None},
        )


class LogSettings(Settings):
    """What is logged to standard error, and how."""

    level: logs.Level = Field(default="info", description="With debug, every event is told.")
    format: logs.Format = Field(default="text", description="Lines for people, or JSON for programs.")


class PresenceSettings(Settings):
    """When a cluster counts as gone, and as back."""

    offline_after: Duration = Field(
        default=timedelta(minutes=5),
        ge=_SECOND,
        le=timedelta(days=7),
        description="How long a cluster is offline before that is told.",
    )
    steady_after: Duration = Field(
        default=timedelta(minutes=1),
        le=timedelta(days=7),
        description="How long it has to be back before that is told.",
    )
    silent_after: Duration = Field(
        default=timedelta(minutes=150),
        ge=_SECOND,
        le=timedelta(days=7),
        description="After how long without a word it counts as gone; producers report at least every hour.",
    )
    clusters: list[ClusterField] = Field(
        default=[], description="Clusters that there should be: one that was never seen is told."
    )

    @property
    def rules(self) -> Rules:
        """The same, for the code that decides."""
        return Rules(self.offline_after, self.steady_after, self.silent_after)

    @field_validator("clusters")
    @classmethod
    def _check_repeated(cls, clusters: list[str]) -> list[str]:
        raise_any(((index,), text) for index, text in repeated(clusters))
        return clusters


class StormSettings(Settings):
    """When incidents are told together in a digest, and no longer one by one."""

    cluster: RateLimitSettings | None = Field(
        default=RateLimitSettings(count=30, per=timedelta(minutes=5)),
        description="So many incidents of one cluster are told one by one to a receiver; null for any number.",
    )
    fleet: RateLimitSettings | None = Field(
        default=RateLimitSettings(count=60, per=timedelta(minutes=5)),
        description="So many of all clusters together; null for any number.",
    )
    calm_after: Duration = Field(
        default=timedelta(minutes=10),
        ge=_SECOND,
        le=_DAY,
        description="A storm is over once in so long no more came than half of what may be told one by one.",
    )

    @property
    def rules(self) -> StormRules:
        """The same, for the code that decides."""
        return StormRules(
            cluster=self.cluster.limit if self.cluster else None,
            fleet=self.fleet.limit if self.fleet else None,
            calm_after=self.calm_after,
        )


class HttpSettings(Settings):
    """Where `/healthz`, `/readyz` and `/metrics` can be asked for; without this section nobody listens."""

    listen: Listen = Field(description="Host and port, such as 127.0.0.1:8081.")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(f"//{self.listen}")
        return str(parts.hostname), int(parts.port or 0)


class HeartbeatSettings(Settings):
    """What to request regularly while all is well, so that someone notices when the consumer is dead."""

    url: WebUrl | None = Field(default=None, description="Such as `https://hc-ping.com/<uuid>`; better in a file.")
    url_file: WebUrlFile | None = Field(default=None, validate_default=True, description="File with it.")
    every: Duration = Field(
        default=timedelta(minutes=1), ge=_SECOND, le=timedelta(days=1), description="How often."
    )

    _one_url = field_validator("url_file")(check_one_url)

    @property
    def address(self) -> str:
        """What to request; a secret."""
        return secret_of(self.url, self.url_file)


class ConsumerSettings(Settings):
    """The whole file. A field is checked after those above it, which it may refer to."""

    broker: BrokerSettings
    topic_root: TopicRoot = Field(
        default=topics.DEFAULT_ROOT,
        description="The first levels of every topic; the same on both sides and in the broker's ACL.",
    )
    store: Annotated[str, AfterValidator(_check_store)] = Field(
        default="sqlite:////var/lib/tocsin/tocsin.db",
        description="Where events and deliveries are kept: sqlite:/// and the path of a file.",
    )
    retention: Duration = Field(
        default=timedelta(days=30),
        validate_default=True,
        description="How long events are kept, and repeats of them recognised.",
    )
    time_zone: TimeZone = Field(default=ZoneInfo("UTC"), description="Of the times in notifications.")
    language: Language = Field(default="en", description="Of the built-in texts in notifications.")
    presence: PresenceSettings = PresenceSettings()
    storm: StormSettings = StormSettings()
    receivers: list[ReceiverSettings] = Field(min_length=1)
    route: RouteSettings
    inhibit: list[InhibitSettings] = Field(
        default_factory=lambda: list(DEFAULT_RULES),
        description="What is not told because something else explains it; `[]` is nothing. By default, a cluster "
        "that is offline inhibits all in it, and a node that is not ready its Pods ([details](silences.md)).",
    )
    silences: list[SilenceSettings] = Field(
        default=[], description="What is not told in windows that recur ([details](silences.md))."
    )
    hints: list[HintSettings] = Field(
        default=[], description="Hints of your own; the first that matches goes before the built-in ones."
    )
    http: HttpSettings | None = None
    heartbeat: HeartbeatSettings | None = None
    log: LogSettings = LogSettings()

    @property
    def client_id(self) -> str:
        """Our name at the broker: where nothing is given, it is made from the account."""
        return self.broker.client_id or f"tocsin-consumer-{self.broker.username}"

    @property
    def single(self) -> tuple[str, ...]:
        """The receivers that are told of each event as it comes, and not of incidents."""
        return tuple(receiver.name for receiver in self.receivers if not receiver.is_grouped)

    @property
    def recurring_silences(self) -> list[RecurringSilence]:
        """The silences of the file."""
        return [silence.recurring(self.time_zone) for silence in self.silences]

    @field_validator("inhibit", "silences")
    @classmethod
    def _check_names(
        cls, named: list[InhibitSettings] | list[SilenceSettings]
    ) -> list[InhibitSettings] | list[SilenceSettings]:
        names = [one.name for one in named]
        raise_any(((index, "name"), text) for index, text in repeated(names))
        return named

    @field_validator("broker")
    @classmethod
    def _check_client_id(cls, broker: BrokerSettings) -> BrokerSettings:
        if broker.client_id is None and broker.username is None:
            raise located([(("client_id",), "is required where there is no username to make it from")])
        return broker

    @field_validator("retention")
    @classmethod
    def _check_retention(cls, retention: timedelta, info: ValidationInfo) -> timedelta:
        """A broker may repeat what it queued for as long as the session lives; we have to remember longer."""
        broker = info.data.get("broker")
        if broker is not None and retention <= broker.session_expiry:
            raise ValueError("expected more than broker.session_expiry, or repeats would not be recognised")
        return retention

    @model_validator(mode="wrap")
    @classmethod
    def _check_across(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Tell what contradicts another part of the file even where a part is wrong by itself."""
        problems = list(problems_across(values))
        try:
            settings = handler(values)
        except ValidationError as error:
            raise together(error, problems) from error
        raise_any(problems)
        return settings


def load_settings(path: Path, environment: Mapping[str, str]) -> tuple[ConsumerSettings, Document]:
    """Read the file at `path` with `environment` over it.

    Raises:
        ConfigurationError: with everything that is wrong.
    """
    return configuration.load(ConsumerSettings, path, environment=environment)
