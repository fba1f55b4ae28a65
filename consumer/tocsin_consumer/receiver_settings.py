"""The section `receivers` of the configuration file."""

import re
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from tocsin_consumer import layout, samples
from tocsin_consumer.errors import RenderError
from tocsin_consumer.labels import Language
from tocsin_consumer.render import Template, View
from tocsin_schemas.configuration import CaFile, Duration, Number, ReadableFile, SecretFile, Settings, Size
from tocsin_schemas.secret import read_secret

_FEISHU_PATH: Final = re.compile(r".*/open-apis/bot/v2/hook/[\w-]+/?")
_FEISHU_EXAMPLE: Final = "https://open.feishu.cn/open-apis/bot/v2/hook/<token>"
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.1
_SECONDS: Final = timedelta(seconds=1)


def parse_time_zone(value: object) -> object:
    """Return the time zone of an IANA name."""
    if isinstance(value, ZoneInfo):
        return value
    try:
        return ZoneInfo(str(value))
    except (KeyError, OSError, ValueError) as error:  # not found, a directory, not a name at all
        raise ValueError(f"expected an IANA time zone such as Asia/Shanghai or UTC, found {value!r}") from error


def _template_problem(source: str) -> str | None:
    """Return what is wrong with a template: it is rendered for every sample event."""
    try:
        template = Template(source)
        for notification in samples.samples().values():
            template.render(View.of(notification, ZoneInfo("UTC"), language="en"))
    except RenderError as error:
        return str(error)
    return None


def _check_template(source: str) -> str:
    problem = _template_problem(source)
    if problem is not None:
        raise ValueError(problem)
    return source


def _check_layout(shape: Any) -> Any:
    """Check every text of a layout; a problem is told with the line that it stands in."""
    details = [
        InitErrorDetails(type=PydanticCustomError("value_error", "{text}", {"text": text}), loc=place, input=None)
        for place, text in layout.problems(shape, _template_problem)
    ]
    if details:
        raise ValidationError.from_exception_data("layout", details)
    return shape


def _url_problem(url: str) -> str | None:
    """Return what is wrong with the address of a webhook, without a word of it: it is a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "expected a url such as https://example.com/hook; its host or port is malformed"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "expected a url such as https://example.com/hook"
    if re.search(r"\s", url):
        return "expected a url without spaces and line breaks"
    return None


def _feishu_url_problem(url: str) -> str | None:
    problem = _url_problem(url)
    if problem is None and not _FEISHU_PATH.fullmatch(urlsplit(url).path):
        return f"expected the address of a custom bot, such as {_FEISHU_EXAMPLE}"
    return problem.replace("https://example.com/hook", _FEISHU_EXAMPLE) if problem else None


def _check_url(url: SecretStr, *, feishu: bool = False) -> SecretStr:
    problem = (_feishu_url_problem if feishu else _url_problem)(url.get_secret_value())
    if problem:
        raise ValueError(problem)
    return url


def _secret_in(path: Path) -> str:
    return read_secret(path).strip()


def _check_url_file(path: Path, *, feishu: bool = False) -> Path:
    problem = (_feishu_url_problem if feishu else _url_problem)(_secret_in(path))
    if problem:
        raise ValueError(f"{path}: {problem}")
    return path


def _check_header_name(name: str) -> str:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("expected the name of a header, such as Authorization")
    return name


def _check_header(value: SecretStr) -> SecretStr:
    _check_template(value.get_secret_value())
    return value


#: An IANA name such as Asia/Shanghai.
TimeZone = Annotated[ZoneInfo, BeforeValidator(parse_time_zone)]
#: A template that compiles and fits every sample event.
TemplateText = Annotated[str, AfterValidator(_check_template)]
#: JSON of any shape whose texts are such templates.
LayoutField = Annotated[Any, AfterValidator(_check_layout)]
#: The address of something on the web; a secret, itself or in a file.
WebUrl = Annotated[SecretStr, AfterValidator(_check_url)]
WebUrlFile = Annotated[ReadableFile, AfterValidator(_check_url_file)]
Timeout = Annotated[Duration, Field(ge=_SECONDS, le=timedelta(minutes=5))]


class StdoutSettings(Settings):
    """Write to standard output."""

    format: Literal["text", "json"] = "text"
    template: TemplateText | None = Field(default=None, description="Text of one's own, for the format text.")

    @model_validator(mode="after")
    def _check_template_has_use(self) -> Self:
        if self.template is not None and self.format == "json":
            raise ValueError("expected no template with the format json, which has a form of its own")
        return self


class FileSettings(Settings):
    """Append to a file, one JSON object a line."""

    path: Path
    max_size: Size = Field(
        default=10 * 1024**2, ge=1024, description="The file is rotated before it grows larger."
    )
    backups: Number = Field(default=5, ge=0, le=1000, description="How many rotated files are kept.")


class HeaderFile(Settings):
    """The value of a header, in a file."""

    file: SecretFile


#: The tags are words that error messages leave out of the key.
HeaderValue = Annotated[
    Annotated[SecretStr, AfterValidator(_check_header), Tag("str")] | Annotated[HeaderFile, Tag("{file}")],
    Discriminator(lambda value: "{file}" if isinstance(value, dict | HeaderFile) else "str"),
]


class WebhookSettings(Settings):
    """Send an HTTP request."""

    url: WebUrl | None = None
    url_file: WebUrlFile | None = None
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    headers: dict[Annotated[str, AfterValidator(_check_header_name)], HeaderValue] = Field(
        default={}, description="Values are templates, or {file: path} for secrets."
    )
    layout: LayoutField = Field(default=None, description="The body; by default the whole event as JSON.")
    timeout: Timeout = timedelta(seconds=10)
    ca_file: CaFile | None = Field(default=None, description="CA certificates to trust instead of the system's.")

    @model_validator(mode="after")
    def _check_one_url(self) -> Self:
        check_exactly_one(self, "url", "url_file")
        return self

    @property
    def address(self) -> str:
        """Where to send to; a secret."""
        return secret_of(self.url, self.url_file)

    def header(self, name: str) -> str:
        """Return a header as it is configured, from its file if it has one; a secret."""
        value = self.headers[name]
        return _secret_in(value.file) if isinstance(value, HeaderFile) else value.get_secret_value()


class FeishuSettings(Settings):
    """Send to the custom bot of a Feishu or Lark group."""

    url: Annotated[SecretStr, AfterValidator(partial(_check_url, feishu=True))] | None = None
    url_file: Annotated[ReadableFile, AfterValidator(partial(_check_url_file, feishu=True))] | None = None
    secret: SecretStr | None = Field(default=None, min_length=1, description="Key of the bot's signature check.")
    secret_file: SecretFile | None = None
    keyword: str | None = Field(default=None, min_length=1, max_length=100, description="The bot's keyword.")
    title: TemplateText | None = Field(default=None, description="Title of the card.")
    template: TemplateText | None = Field(default=None, description="Body of the card, in Feishu's Markdown.")
    card: LayoutField = Field(default=None, description="A whole card of one's own.")
    text: TemplateText | None = Field(default=None, description="What is sent when the card is refused.")
    timeout: Timeout = timedelta(seconds=10)

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        check_exactly_one(self, "url", "url_file")
        if self.secret is not None and self.secret_file is not None:
            raise ValueError("expected either secret or secret_file, found both")
        if self.card is not None and (self.title is not None or self.template is not None):
            raise ValueError("expected either card or title and template, found both")
        if self.card is not None and not isinstance(self.card, dict):
            raise ValueError("expected a card as keys and values")
        return self

    @property
    def address(self) -> str:
        """Where to send to; a secret."""
        return secret_of(self.url, self.url_file)

    @property
    def signing_key(self) -> str | None:
        """The key of the signature, if the bot asks for one; a secret."""
        return secret_of(self.secret, self.secret_file) or None


class RateLimitSettings(Settings):
    """At most `count` deliveries in any span of `per`, besides what the service permits."""

    count: Number = Field(ge=1, le=100_000)
    per: Duration = Field(ge=_SECONDS, le=timedelta(days=1))


#: How long it may take until a request is under way (a name that is looked up, a handshake), and all besides.
_CONNECTING: Final = timedelta(seconds=30)
_SLACK: Final = timedelta(minutes=1)
#: The kinds of receivers; each is a key of a receiver, and of the table in receivers/.
KINDS: Final = ("stdout", "file", "webhook", "feishu")


class ReceiverSettings(Settings):
    """Somewhere to deliver to: a name, and one of the kinds."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[\w.-]+$")
    time_zone: TimeZone | None = Field(default=None, description="Instead of the file's.")
    language: Language | None = Field(default=None, description="Instead of the file's.")
    max_age: Duration = Field(
        default=timedelta(hours=24),
        ge=timedelta(minutes=1),
        description="After this an undelivered notification becomes a dead letter.",
    )
    rate_limit: RateLimitSettings | None = None
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
        """After how long one delivery is stuck: four requests that are late (signed twice, of two forms)."""
        timeout = getattr(getattr(self, self.kind), "timeout", timedelta())
        return 4 * (timeout + _CONNECTING) + _SLACK

    @property
    def kind(self) -> str:
        """Which of the kinds it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)


def check_exactly_one(settings: Settings, *names: str) -> None:
    """Raise ValueError unless exactly one of the fields `names` is given."""
    given = [name for name in names if getattr(settings, name) is not None]
    if len(given) != 1:
        raise ValueError(f"expected {' or '.join(names)}, found {' and '.join(given) or 'neither'}")


def secret_of(value: SecretStr | None, file: Path | None) -> str:
    """Return a secret from its file or from itself; empty if there is neither."""
    return _secret_in(file) if file is not None else (value.get_secret_value().strip() if value else "")
