"""Kinds of values that the settings of receivers have: time zones, templates, layouts, addresses, headers."""

import ipaddress
import re
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo
from pydantic_core import InitErrorDetails, PydanticCustomError

from tocsin_consumer import layout, samples
from tocsin_consumer.errors import RenderError
from tocsin_consumer.render import Template
from tocsin_consumer.view import View
from tocsin_schemas.configuration import Duration, ReadableFile, SecretFile
from tocsin_schemas.secret import read_secret

_EXAMPLE: Final = "https://example.com/hook"
_FEISHU_EXAMPLE: Final = "https://open.feishu.cn/open-apis/bot/v2/hook/<token>"
_FEISHU_PATH: Final = re.compile(r".*/open-apis/bot/v2/hook/[\w-]+/?")
_HOST: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.1
_HEADER_VALUE: Final = re.compile(r"(\S[^\r\n]*)?")  # what requests sends
_SECONDS: Final = timedelta(seconds=1)


def secret_in(path: Path) -> str:
    """Return what a file with a secret says."""
    return read_secret(path).strip()


def secret_of(value: SecretStr | None, file: Path | None) -> str:
    """Return a secret from its file or from itself; empty if there is neither."""
    return secret_in(file) if file is not None else (value.get_secret_value().strip() if value else "")


def check_one_url(path: Path | None, info: ValidationInfo) -> Path | None:
    """Ask for url or url_file, once it is known that what stands under url is one; a check of url_file."""
    if "url" in info.data and (info.data["url"] is None) == (path is None):
        raise ValueError(f"expected url or url_file, found {'neither' if path is None else 'both'}")
    return path


def _parse_time_zone(value: object) -> object:
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
    except RenderError as error:
        return str(error)
    for name, notification in samples.samples().items():
        try:
            template.render(View.of(notification, ZoneInfo("UTC"), language="en"))
        except RenderError as error:
            return f"sample {name}: {error}"
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


def _url_problem(url: str, example: str = _EXAMPLE) -> str | None:
    """Return what is wrong with the address of a webhook, without a word of it: it is a password."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname
        port = parts.port
    except ValueError:
        return f"expected a url such as {example}; its host or port is malformed"
    if not usable:
        return f"expected a url such as {example}"
    if re.search(r"\s", url):
        return "expected a url without spaces and line breaks"
    if port == 0 or not _is_host(parts.hostname or ""):
        return f"expected a url such as {example}; its host or port cannot be one"
    return None


def _is_host(host: str) -> bool:
    """Tell whether `host` is an address or a name that can be looked up."""
    try:
        if ":" in host:
            return bool(ipaddress.ip_address(host))
        return _HOST.fullmatch(host.encode("idna").decode()) is not None
    except ValueError:  # a label that is empty or too long
        return False


def _bot_url_problem(url: str) -> str | None:
    problem = _url_problem(url, _FEISHU_EXAMPLE)
    if problem is None and not _FEISHU_PATH.fullmatch(urlsplit(url).path):
        return f"expected the address of a custom bot, such as {_FEISHU_EXAMPLE}"
    return problem


def _check_url(url: SecretStr, *, bot: bool = False) -> SecretStr:
    problem = (_bot_url_problem if bot else _url_problem)(url.get_secret_value().strip())
    if problem:
        raise ValueError(problem)
    return url


def _check_url_file(path: Path, *, bot: bool = False) -> Path:
    problem = (_bot_url_problem if bot else _url_problem)(secret_in(path))
    if problem:
        raise ValueError(f"{path}: {problem}")
    return path


def _check_header_name(name: str) -> str:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("expected the name of a header, such as Authorization")
    return name


def _check_header(value: SecretStr) -> SecretStr:
    if not _HEADER_VALUE.fullmatch(value.get_secret_value()):
        raise ValueError("expected one line that does not begin with a space")
    _check_template(value.get_secret_value())
    return value


def _check_header_file(path: Path) -> Path:
    if not _HEADER_VALUE.fullmatch(secret_in(path)):
        raise ValueError(f"{path}: expected one line")
    return path


#: An IANA name such as Asia/Shanghai.
TimeZone = Annotated[ZoneInfo, BeforeValidator(_parse_time_zone)]
#: A template that compiles and fits every sample event.
TemplateText = Annotated[str, AfterValidator(_check_template)]
#: JSON of any shape whose texts are such templates.
LayoutField = Annotated[Any, AfterValidator(_check_layout)]
#: The address of something on the web, a secret, and of a bot of Feishu's.
WebUrl = Annotated[SecretStr, AfterValidator(_check_url)]
BotUrl = Annotated[SecretStr, AfterValidator(partial(_check_url, bot=True))]
#: A file with such an address in it.
WebUrlFile = Annotated[ReadableFile, AfterValidator(_check_url_file)]
BotUrlFile = Annotated[ReadableFile, AfterValidator(partial(_check_url_file, bot=True))]
#: A header: its name, its value, which is a template, and a file with a value.
HeaderName = Annotated[str, AfterValidator(_check_header_name)]
HeaderText = Annotated[SecretStr, AfterValidator(_check_header)]
HeaderSecretFile = Annotated[SecretFile, AfterValidator(_check_header_file)]
#: How long to wait for a service.
Timeout = Annotated[Duration, Field(ge=_SECONDS, le=timedelta(minutes=5))]
