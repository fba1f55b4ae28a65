"""The section `broker` of both configuration files."""

import re
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from tocsin_schemas.configuration import CaFile, Duration, ReadableFile, SecretFile, Settings
from tocsin_schemas.dial import load_certificate
from tocsin_schemas.session import Broker

#: Scheme → port by default, and whether TLS and WebSockets are spoken.
_SCHEMES: Final = {
    "mqtt": (1883, False, False),
    "mqtts": (8883, True, False),
    "ws": (80, False, True),
    "wss": (443, True, True),
}


_EXAMPLE: Final = "expected a url such as mqtts://broker.example.com:8883 (mqtt, mqtts, ws or wss)"


def _check_url(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError as error:  # brackets that hold no IPv6 address
        raise ValueError(_EXAMPLE) from error
    if parts.scheme not in _SCHEMES or not re.fullmatch(r"[^\s\x00-\x1f\\]+", parts.hostname or ""):
        raise ValueError(_EXAMPLE)
    if parts.username is not None or parts.password is not None:
        raise ValueError("expected a url without an account; write username and password_file instead")
    if parts.query or parts.fragment or (parts.path not in ("", "/") and not _SCHEMES[parts.scheme][2]):
        raise ValueError("expected nothing behind the port")
    if not _has_port(parts):
        raise ValueError("expected a port from 1 to 65535")
    return url


def _has_port(parts: SplitResult) -> bool:
    """Whether the port is one, or there is none."""
    try:
        return parts.port != 0 and not parts.netloc.endswith(":")
    except ValueError:
        return False


class BrokerSettings(Settings):
    """How to reach the MQTT broker."""

    # A field is checked against those above it.

    url: Annotated[str, AfterValidator(_check_url)] = Field(
        description="mqtt://, mqtts:// (TLS), ws:// or wss:// with host and, if it is not the usual one, port.",
    )
    username: str | None = Field(
        default=None, description="Account; a producer's is its cluster's name by default."
    )
    password: SecretStr | None = Field(default=None, description="Better in a file.")
    password_file: SecretFile | None = Field(
        default=None, description="File with the password; read anew at each connect."
    )
    ca_file: CaFile | None = Field(default=None, description="CA certificates to trust instead of the system's.")
    cert_file: ReadableFile | None = Field(default=None, description="Our certificate, for mutual TLS.")
    key_file: ReadableFile | None = Field(default=None, validate_default=True, description="Its private key.")
    client_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description=(
            "Our name at the broker, to which the session belongs: another name is a new one, and two clients "
            "with one name take it from each other. By default it is made of the cluster, or a consumer's "
            "username."
        ),
    )
    keepalive: Duration = Field(
        default=timedelta(seconds=240),
        ge=timedelta(seconds=10),
        le=timedelta(hours=18),
        description="After how long a silence we ask whether the broker is still there.",
    )
    connect_timeout: Duration = Field(
        default=timedelta(seconds=20),
        ge=timedelta(seconds=1),
        le=timedelta(minutes=5),
        description="How long a connection may take until the broker has accepted it.",
    )
    session_expiry: Duration = Field(
        default=timedelta(days=7),
        ge=timedelta(minutes=1),
        le=timedelta(days=365),
        description="How long the broker keeps our session while we are away (MQTT 5).",
    )

    @field_validator("password_file")
    @classmethod
    def _check_password(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is not None and info.data.get("password") is not None:
            raise ValueError("expected either password or password_file, found both")
        return path

    @field_validator("ca_file", "cert_file", "key_file")
    @classmethod
    def _check_use(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        """Refuse keys that would do nothing."""
        url = info.data.get("url")
        if path is not None and url is not None and not _SCHEMES[urlsplit(url).scheme][1]:
            raise ValueError("is for a url with mqtts or wss only")
        return path

    @field_validator("key_file")
    @classmethod
    def _check_certificate(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if "cert_file" not in info.data:
            return path
        certificate = info.data["cert_file"]
        if (certificate is None) != (path is None):
            raise ValueError("expected cert_file and key_file together, found only one of them")
        if certificate is not None:
            load_certificate(ssl.create_default_context(), str(certificate), str(path))
        return path

    def connection(self, *, client_id: str, username: str | None = None, clean_start: bool = False) -> Broker:
        """Return what the session needs; `client_id` and `username` serve where the section has none."""
        parts = urlsplit(self.url)
        port, tls, websocket = _SCHEMES[parts.scheme]
        return Broker(
            host=parts.hostname or "",
            port=parts.port or port,
            client_id=self.client_id or client_id,
            tls=tls,
            websocket_path=(parts.path or "/mqtt") if websocket else None,
            username=self.username or username,
            password=self.password.get_secret_value() if self.password else None,
            password_file=_path(self.password_file),
            ca_file=_path(self.ca_file),
            cert_file=_path(self.cert_file),
            key_file=_path(self.key_file),
            keepalive_seconds=int(self.keepalive.total_seconds()),
            connect_timeout_seconds=self.connect_timeout.total_seconds(),
            session_expiry_seconds=int(self.session_expiry.total_seconds()),
            clean_start=clean_start,
        )


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)
