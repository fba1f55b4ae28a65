"""An MQTT client that tells what the broker lets it do."""

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.schemas.session_harness import unique
from tests.stage.broker import USUAL_PORT, Account, Broker
from tests.waiting import until

#: The port of our listener for clients with a certificate.
CERTIFICATE_PORT = 8884
SUCCESS = "Success"
NOT_AUTHORIZED = "Not authorized"
_TURN_SECONDS = 0.01


class Client:
    """One connection over TLS and MQTT 5, never made again by itself; its work is done while it is waited for.

    Args:
        broker: the broker.
        username: the account to name.
        password: its password.
        certificate: the folder with `client.crt` and `client.key`.
        port: the listener's port in our configuration.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        username: str | None = None,
        password: str | None = None,
        certificate: Path | None = None,
        port: int = USUAL_PORT,
    ) -> None:
        #: What the broker answered to CONNECT, or how TLS failed.
        self.answer = ""
        self.properties: Any = None
        self.messages: list[tuple[str, bytes]] = []
        self._lost = ""
        self._acknowledged: dict[int, str] = {}
        self._subscribed: dict[int, list[str]] = {}
        self._client = self._make(broker, certificate)
        if username is not None:
            self._client.username_pw_set(username, password)
        self._address = ("localhost", broker.ports[port])

    def _make(self, broker: Broker, certificate: Path | None) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, unique(), protocol=mqtt.MQTTv5, reconnect_on_failure=False
        )
        context = ssl.create_default_context(cafile=broker.ca_file)
        if certificate is not None:
            context.load_cert_chain(certificate / "client.crt", certificate / "client.key")
        client.tls_set_context(context)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        return client

    def __enter__(self) -> Self:
        try:
            self._client.connect(*self._address, keepalive=60)
        except OSError as error:
            self.answer = str(error)
            return self
        self._wait(lambda: self.answer or self._lost, "the broker does not answer")
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError, ValueError):
            self._client.disconnect()

    def set_will(self, topic: str, payload: bytes) -> None:
        """Let the broker publish this when the connection breaks; before it is made."""
        self._client.will_set(topic, payload, qos=1)

    def cut(self) -> None:
        """Let the connection break without a word."""
        sock: Any = self._client.socket()
        sock.shutdown(socket.SHUT_RDWR)
        self.wait_until_lost()

    def wait_until_lost(self) -> None:
        """Wait until the connection has ended."""
        self._wait(lambda: self._lost, "still connected")

    def publish(self, topic: str, payload: bytes = b"payload", *, retain: bool = False) -> str:
        """Publish with QoS 1, and return what the broker answers or why it has hung up."""
        assert self.answer == SUCCESS, self.answer
        mid = self._client.publish(topic, payload, qos=1, retain=retain).mid
        self._wait(lambda: mid in self._acknowledged or self._lost, "no answer to a message")
        return self._acknowledged.get(mid) or self._lost

    def subscribe(self, *topic_filters: str) -> list[str]:
        """Subscribe with QoS 1, and return the broker's answers."""
        _, mid = self._client.subscribe([(topic_filter, 1) for topic_filter in topic_filters])
        self._wait(lambda: mid in self._subscribed, "no answer to a subscription")
        return self._subscribed.pop(mid or 0)

    def wait_for(self, topic: str, payload: bytes | None = None) -> None:
        """Wait until a message has come on `topic`, with `payload` if one is given."""

        def came() -> bool:
            return any(where == topic and payload in (None, what) for where, what in self.messages)

        self._wait(came, f"nothing came on {topic}")

    def topics(self) -> list[str]:
        """Return the topics of all messages so far."""
        return [topic for topic, _ in self.messages]

    def _wait(self, holds: Callable[[], object], otherwise: str) -> None:
        def turn() -> object:
            self._client.loop(_TURN_SECONDS)
            return holds()

        until(turn, otherwise=otherwise)

    def _on_connect(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, properties: Any) -> None:
        self.properties = properties
        self.answer = str(reason)

    def _on_disconnect(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._lost = str(reason)

    def _on_message(self, _client: Any, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        self.messages.append((message.topic, bytes(message.payload)))

    def _on_publish(self, _client: Any, _userdata: Any, mid: int, reason: Any, _properties: Any) -> None:
        self._acknowledged[mid] = str(reason)

    def _on_subscribe(self, _client: Any, _userdata: Any, mid: int, reasons: Any, _properties: Any) -> None:
        self._subscribed[mid] = [str(reason) for reason in reasons]


def by_password(broker: Broker, account: Account, *, port: int = USUAL_PORT) -> Client:
    """Return a client of `account` with its password as it is now."""
    return Client(broker, username=account.username, password=account.password, port=port)


def by_certificate(broker: Broker, folder: Path, *, username: str | None = None) -> Client:
    """Return a client with the certificate in `folder`, whatever `username` it claims."""
    return Client(broker, username=username, certificate=folder, port=CERTIFICATE_PORT)
