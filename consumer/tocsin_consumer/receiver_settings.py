"""The section `receivers` of the configuration file."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, SecretStr, Tag, ValidationInfo, field_validator, model_validator

from tocsin_consumer.labels import Language
from tocsin_consumer.rate_limit import RateLimit
from tocsin_consumer.receiver_fields import (
    BotUrl,
    BotUrlFile,
    HeaderName,
    HeaderSecretFile,
    HeaderText,
    LayoutField,
    TemplateText,
    Timeout,
    TimeZone,
    WebUrl,
    WebUrlFile,
    check_one_url,
    secret_in,
    secret_of,
)
from tocsin_schemas.configuration import CaFile, Duration, Number, SecretFile, Settings, Size, StateFile


class StdoutSettings(Settings):
    """Write to standard output."""

    format: Literal["text", "json"] = Field(default="text", description="Readable lines, or an object a line.")
    template: TemplateText | None = Field(default=None, description="Text of one's own, for the format text.")

    @field_validator("template")
    @classmethod
    def _check_use(cls, template: str | None, info: ValidationInfo) -> str | None:
        if template is not None and info.data.get("format") == "json":
            raise ValueError("expected no template with the format json, which has a form of its own")
        return template


class FileSettings(Settings):
    """Append to a file, one JSON object a line."""

    path: StateFile = Field(description="The file; its directory has to be there.")
    max_size: Size = Field(
        default=10 * 1024**2, ge=1024, description="The file is rotated before it grows larger."
    )
    backups: Number = Field(default=5, ge=0, le=1000, description="How many rotated files are kept.")


class HeaderFile(Settings):
    """The value of a header, in a file."""

    file: HeaderSecretFile


#: The tags are words that error messages leave out of the key.
HeaderValue = Annotated[
    Annotated[HeaderText, Tag("str")] | Annotated[HeaderFile, Tag("{file}")],
    Discriminator(lambda value: "{file}" if isinstance(value, dict | HeaderFile) else "str"),
]


class WebhookSettings(Settings):
    """Send an HTTP request."""

    url: WebUrl | None = Field(default=None, description="Where to; better in a file.")
    url_file: WebUrlFile | None = Field(default=None, validate_default=True, description="File with the url.")
    method: Literal["POST", "PUT", "PATCH"] = Field(default="POST", description="Of the request.")
    headers: dict[HeaderName, HeaderValue] = Field(
        default={}, description="Values are templates, or {file: path} for secrets."
    )
    layout: LayoutField = Field(default=None, description="The body; by default the whole event as JSON.")
    timeout: Timeout = Field(default=timedelta(seconds=10), description="How long an answer may take to begin.")
    ca_file: CaFile | None = Field(default=None, description="CA certificates to trust instead of the system's.")

    _one_url = field_validator("url_file")(check_one_url)

    @property
    def address(self) -> str:
        """Where to send to; a secret."""
        return secret_of(self.url, self.url_file)

    def header(self, name: str) -> str:
        """Return a header as it is configured, from its file if it has one; a secret."""
        value = self.headers[name]
        return secret_in(value.file) if isinstance(value, HeaderFile) else value.get_secret_value()


class FeishuSettings(Settings):
    """Send to the custom bot of a Feishu or Lark group."""

    url: BotUrl | None = Field(default=None, description="The bot's address; better in a file.")
    url_file: BotUrlFile | None = Field(default=None, validate_default=True, description="File with the url.")
    secret: SecretStr | None = Field(default=None, min_length=1, description="Key of the bot's signature check.")
    secret_file: SecretFile | None = Field(default=None, description="File with the key.")
    keyword: str | None = Field(default=None, min_length=1, max_length=100, description="The bot's keyword.")
    title: TemplateText | None = Field(default=None, description="Title of the card.")
    template: TemplateText | None = Field(default=None, description="Body of the card, in Feishu's Markdown.")
    card: LayoutField = Field(default=None, description="A whole card of one's own.")
    text: TemplateText | None = Field(default=None, description="What is sent when the card is refused.")
    timeout: Timeout = Field(default=timedelta(seconds=10), description="How long an answer may take to begin.")

    _one_url = field_validator("url_file")(check_one_url)

    @field_validator("secret_file")
    @classmethod
    def _check_one_secret(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is not None and info.data.get("secret") is not None:
            raise ValueError("expected either secret or secret_file, found both")
        return path

    @field_validator("card")
    @classmethod
    def _check_card(cls, card: Any, info: ValidationInfo) -> Any:
        if card is not None and not isinstance(card, dict):
            raise ValueError("expected a card as keys and values")
        if card is not None and (info.data.get("title") is not None or info.data.get("template") is not None):
            raise ValueError("expected either card or title and template, found both")
        return card

    @property
    def address(self) -> str:
        """Where to send to; a secret."""
        return secret_of(self.url, self.url_file)

    @property
    def signing_key(self) -> str | None:
        """The key of the signature, if the bot asks for one; a secret."""
        return secret_of(self.secret, self.secret_file) or None


class RateLimitSettings(Settings):
    """At most `count` requests in any span of `per`, besides what the service permits."""

    count: Number = Field(ge=1, le=100_000, description="So many requests …")
    per: Duration = Field(ge=timedelta(seconds=1), le=timedelta(days=1), description="… in so long.")

    @property
    def limit(self) -> RateLimit:
        """The same, for the code that keeps to it."""
        return RateLimit(self.count, self.per)


#: How long it may take until a request is under way (a name that is looked up, a handshake), and all besides.
_CONNECTING: Final = timedelta(seconds=30)
_SLACK: Final = timedelta(minutes=1)
#: The kinds of receivers; each is a key of a receiver, and of the table in receivers/.
KINDS: Final = ("stdout", "file", "webhook", "feishu")
_LOGS: Final = frozenset({"stdout", "file"})


class ReceiverSettings(Settings):
    """Somewhere to deliver to: a name, and one of the kinds."""

    name: str = Field(
        min_length=1,
        max_length=64,
        pattern=r"^[\w.-]+$",
        description="What routes call it: letters, digits, . _ -",
    )
    time_zone: TimeZone | None = Field(default=None, description="Instead of the file's.")
    language: Language | None = Field(default=None, description="Instead of the file's.")
    max_age: Duration = Field(
        default=timedelta(hours=24),
        ge=timedelta(minutes=1),
        description="After this an undelivered notification becomes a dead letter.",
    )
    rate_limit: RateLimitSettings | None = None
    grouped: bool | None = Field(
        default=None,
        description="Whether it is told of incidents, or of each event as it comes; default: false for stdout and "
        "file, true for all others.",
    )
    stdout: StdoutSettings | None = None
    file: FileSettings | None = None
    webhook: WebhookSettings | None = None
    feishu: FeishuSettings | None = None

    @model_validator(mode="before")
    @classmethod
    def _check_one_kind(cls, values: Any) -> Any:
        if isinstance(values, dict):
            found = [kind for kind in KINDS if kind in values]
            if len(found) != 1:
                others = ", ".join(found) or ", ".join(sorted(map(str, values.keys() - cls.model_fields.keys())))
                raise ValueError(f"expected exactly one of {', '.join(KINDS)}, found {others or 'none of them'}")
            if values[found[0]] is None:
                raise ValueError(f"expected settings; where all are optional, write {found[0]}: {{}}")
        return values

    @property
    def patience(self) -> timedelta:
        """After how long one delivery is stuck: four requests that are late (signed twice, of two forms).

        Each may take its timeout until its answer begins, and as long again for the rest.
        """
        timeout = getattr(getattr(self, self.kind), "timeout", timedelta())
        return 4 * (2 * timeout + _CONNECTING) + _SLACK

    @property
    def is_grouped(self) -> bool:
        """Whether it is told of incidents: people are, logs are not."""
        return self.kind not in _LOGS if self.grouped is None else self.grouped

    @property
    def kind(self) -> str:
        """Which of the kinds it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)
