"""One connection to the broker: the only module that touches paho-mqtt.

paho's own thread and its own queue are not used, for reasons that were measured:

* paho resends its whole queue at a reconnect, past every window, and a restart loses it. Here each connection
  is a new paho client, so what the broker has not acknowledged is the handler's to hand over again.
* An acknowledgement that another thread sends while paho reconnects goes out before CONNECT, a protocol error.
  Here an acknowledgement belongs to one `Connection`, and a closed connection sends nothing.
* An exception in a callback ends paho's thread silently. Here callbacks only note what came, and the handler
  is called outside of paho.
"""

import socket
import ssl
import struct
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers
from paho.mqtt.reasoncodes import ReasonCode

from tocsin_schemas.dial import Attempt, Broker, drain, explain, look_up, open_socket, traffic, wait
from tocsin_schemas.handler import Handler, Received, Will

if TYPE_CHECKING:
    from collections.abc import Callable

#: The versions of the protocol, by their level in CONNECT.
MQTT_3_1_1: Final[int] = mqtt.MQTTv311
MQTT_5: Final[int] = mqtt.MQTTv5
#: How many unacknowledged messages a broker takes that says nothing of it (MQTT 5, 3.2.2.3.3).
RECEIVE_MAXIMUM: Final = 65_535
#: How long a broker may keep a message that is not retained (MQTT 5): as long as our broker keeps a session.
EXPIRY_SECONDS: Final = 14 * 86_400
#: What every payload of the wire is (MQTT 5).
CONTENT_TYPE: Final = "application/json"
#: How often a keepalive interval is looked at: a ping is late by at most this part of it.
_LOOKS_PER_KEEPALIVE: Final = 4

#: How much is read at a time, which is some dozen messages; and some hundred of the shortest that there can be.
_READ_BYTES: Final = 8 * 1024

#: Packets that need nothing to be done once they are written, with the QoS that they have here.
_JOINED: Final = frozenset({mqtt.PUBLISH, mqtt.PUBACK})

#: Code of a PUBACK that is no failure, although nobody gets the message.
_NO_MATCHING_SUBSCRIBERS: Final = 0x10
_SUCCESS: Final = ReasonCode(PacketTypes.PUBACK)
_UNHEARD: Final = ReasonCode(PacketTypes.PUBACK, identifier=_NO_MATCHING_SUBSCRIBERS)
#: What a PUBACK says behind its id when the message was taken (MQTT 5, section 3.4.2): a reason, or none for a
#: success, and that there are no properties, or nothing of them.
_TAKEN: Final = {
    b"": _SUCCESS,
    b"\x00": _SUCCESS,
    b"\x00\x00": _SUCCESS,
    b"\x10": _UNHEARD,
    b"\x10\x00": _UNHEARD,
}
_NOTHING_MORE: Final = Properties(PacketTypes.PUBACK)  # type: ignore[no-untyped-call] # paho leaves it untyped

#: How a connection ends when nobody says why.
WORDLESS: Final = "closed without a word"

_HINTS: Final = {
    "Not authorized": "check username and password_file, and that the broker knows this account",
    "Bad user name or password": "check username and password_file",
    "Client identifier not valid": "the broker refuses this client id",
    "Session taken over": "another client connects with the same client id",
}


class ConnectionLostError(Exception):
    """A connection could not be made or has ended; the text says why."""


class Connection:
    """One accepted or attempted connection: a paho client that is thrown away with it.

    Raises:
        OSError: the file of a secret cannot be read.
        ValueError: a file is not what it should be.
    """

    def __init__(self, broker: Broker, *, will: Will | None, receive_maximum: int, protocol: int) -> None:
        self._broker = broker
        self._notes: deque[Callable[[Handler], None]] = deque()
        self._lost: str | None = None
        self._socket_error: str | None = None
        self._dropped = threading.Event()
        self.speaks_5 = protocol == MQTT_5
        self._dialled = False
        #: How many unacknowledged messages the broker takes at a time.
        self.receive_maximum = RECEIVE_MAXIMUM
        self._packet_limit: int | None = None
        self._unheard: set[int] = set()
        self._optional: set[int | None] = set()
        #: What was answered to each subscription: why it is refused, or None.
        self.subscribed: dict[int | None, str | None] = {}
        self.accepted = False
        self.refused: str | None = None
        self._client = self._make_client(will, protocol)
        self._client.connect_async(
            broker.host,
            broker.port,
            keepalive=broker.keepalive_seconds,
            **_session_options(broker, receive_maximum) if self.speaks_5 else {},
        )

    def _make_client(self, will: Will | None, protocol: int) -> "_Client":
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._broker.client_id,
            clean_session=None if self.speaks_5 else self._broker.clean_start,
            protocol=MQTTProtocolVersion(protocol),
            transport="websockets" if self._broker.websocket_path is not None else "tcp",
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.aim(self._broker, self._broker.tls_context() if self._broker.tls else None, self._dropped)
        client.max_inflight_messages_set(0)  # the window is the handler's
        client.username_pw_set(self._broker.username, self._broker.read_password())
        if will is not None:
            properties = _content(PacketTypes.WILLMESSAGE) if self.speaks_5 else None
            client.will_set(will.topic, will.payload, qos=1, retain=True, properties=properties)
        self._listen(client)
        return client

    def _listen(self, client: mqtt.Client) -> None:
        """Let paho's callbacks note what came; the notes are read outside of them."""

        def on_connect(_c: Any, _u: Any, flags: Any, reason: Any, properties: Any) -> None:
            self._packet_limit = getattr(properties, "MaximumPacketSize", None)
            self.receive_maximum = getattr(properties, "ReceiveMaximum", RECEIVE_MAXIMUM)
            if reason.is_failure:
                self.refused = str(reason)
                return
            self.accepted = True
            present = bool(flags.session_present)
            self._notes.append(lambda handler: handler.on_connected(self, session_present=present))

        def on_disconnect(_c: Any, _u: Any, flags: Any, reason: Any, _p: Any) -> None:
            told = flags.is_disconnect_packet_from_server or reason != "Unspecified error"
            self._lost = self._lost or (str(reason) if told else self._socket_error or WORDLESS)

        def on_publish(_c: Any, _u: Any, mid: int, reason: Any, _p: Any) -> None:
            self._note_acknowledged(mid, reason)

        def on_message(_c: Any, _u: Any, message: mqtt.MQTTMessage) -> None:
            # paho's `topic` property raises on a topic that is not UTF-8; a bad sender must not stop us.
            topic = bytes(message._topic).decode("utf-8", "replace")  # noqa: SLF001
            received = Received(topic, bytes(message.payload), message.mid, message.retain)
            self._notes.append(lambda handler: handler.on_message(self, received))

        def on_subscribe(_c: Any, _u: Any, mid: int, reasons: Any, _p: Any) -> None:
            refusal = next((str(reason) for reason in reasons if reason.is_failure), None)
            self.subscribed[mid] = refusal
            if refusal is not None and mid not in self._optional:
                self._lost = f"subscription refused: {refusal}"

        def on_log(_c: Any, _u: Any, _level: int, text: str) -> None:
            # paho tells an error of the socket to its log only
            self._socket_error = text.removeprefix("failed to receive on socket: ")

        client.on_connect = on_connect
        client.on_disconnect = on_disconnect
        client.on_publish = on_publish
        client.on_message = on_message
        client.on_subscribe = on_subscribe
        client.on_log = on_log

    def _note_acknowledged(self, mid: int, reason: Any) -> None:
        refusal = str(reason) if reason.is_failure else None
        if reason.value == _NO_MATCHING_SUBSCRIBERS:
            self._unheard.add(mid)
        self._notes.append(lambda handler: handler.on_acknowledged(self, mid, refusal))

    @property
    def is_unanswered(self) -> bool:
        """Whether a CONNECT went out and the broker neither accepted nor refused it."""
        return self._dialled and not self.accepted and self.refused is None

    @property
    def look_seconds(self) -> float:
        """How long a turn may last, so that pings go out in time; the broker may have shortened the keepalive."""
        return self._client.keepalive / _LOOKS_PER_KEEPALIVE

    def open(self, wakeup: socket.socket, stop: threading.Event) -> None:
        """Connect, and wait until the broker has accepted us.

        Raises:
            ConnectionLostError: it did not, for the reason given.
        """
        deadline = time.monotonic() + self._broker.connect_timeout_seconds
        self._dial(wakeup, stop, deadline)
        self._dialled = True
        while not self.accepted:
            self.turn(wakeup, _time_left(stop, deadline))

    def _dial(self, wakeup: socket.socket, stop: threading.Event, deadline: float) -> None:
        attempt = Attempt(self._reconnect)
        attempt.start()
        try:
            while not attempt.result():
                readable, _ = wait([wakeup, attempt.finished], [], _time_left(stop, deadline, self._client.whom))
                if wakeup in readable:
                    drain(wakeup)
        except (OSError, ValueError) as error:  # ValueError: a host name or a WebSocket answer out of form
            raise ConnectionLostError(explain(error)) from error
        finally:
            attempt.close()

    def _reconnect(self) -> None:
        """Open the socket and send CONNECT; whoever no longer waits for it has called `drop`."""
        self._client.reconnect()
        if self._dropped.is_set():
            self.drop()

    def turn(self, wakeup: socket.socket, timeout: float) -> None:
        """Write what is to be written, wait until something can be read or `timeout` seconds, and read it.

        What the network does not take at once is written when it does.

        Raises:
            ConnectionLostError: the connection has ended.
        """
        if self._client.want_write():
            self._client.loop_write()
        sock: Any = self._client.socket()
        if sock is not None:
            # What is read or decrypted already, the system cannot see.
            pending = self._client.has_unread or (hasattr(sock, "pending") and sock.pending() > 0)
            writers = [sock] if self._client.want_write() else []
            readable, writable = wait([sock, wakeup], writers, 0.0 if pending else timeout)
            if wakeup in readable:
                drain(wakeup)
            if pending or sock in readable:
                self._client.read()
            if sock in writable:
                self._client.loop_write()
            self._client.loop_misc()
        if self._client.socket() is None or self._lost is not None:
            raise ConnectionLostError(self._why_lost())

    def _why_lost(self) -> str:
        if self.refused is not None:
            return _with_hint(f"refused by the broker: {self.refused}", self.refused)
        reason = self._lost or WORDLESS
        if not self.accepted:
            return f"connection lost before the broker answered: {reason}{self._guess()}"
        return _with_hint(f"connection lost: {reason}", reason)

    def _guess(self) -> str:
        """Return the likely cause of a broker that hangs up on a CONNECT."""
        if not self._broker.tls:
            return " (does it want TLS on this port?)"
        return "" if self._broker.cert_file else " (does it want a certificate of ours?)"

    def tell(self, handler: Handler) -> None:
        """Give `handler` what paho's callbacks have noted."""
        while self._notes:
            self._notes.popleft()(handler)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Hand a message over with QoS 1 and return its id, which `Handler.on_acknowledged` will name.

        It goes out with the next turn, together with all that is handed over before that.

        Where the broker speaks MQTT 5 it learns the content type of what is retained, and may forget what is not
        after `EXPIRY_SECONDS`; there a content type would be a part of each of many messages for nobody's use.

        Raises:
            ValueError: MQTT cannot carry the topic or the size, or the broker has said that it takes no such size.
        """
        properties = (_RETAINED if retain else _EXPIRING) if self.speaks_5 else None
        self._check_size(topic, payload, properties)
        return self._client.gather(topic, payload, retain=retain, properties=properties)

    def _check_size(self, topic: str, payload: bytes, properties: Properties | None) -> None:
        """Refuse here what the broker would answer by hanging up, with all that is under way."""
        if self._packet_limit is None:
            return
        size = _publish_size(topic, payload, properties)
        if size > self._packet_limit:
            raise ValueError(f"{size} bytes, and the broker takes packets of {self._packet_limit} at most")

    def subscribe(self, *topic_filters: str) -> None:
        """Ask for messages with QoS 1; a refusal ends the connection with its reason."""
        self._client.subscribe([(topic_filter, 1) for topic_filter in topic_filters])

    def look(self, topic: str) -> int | None:
        """Ask for what is retained on `topic` and for what comes there, with QoS 0; a refusal changes nothing.

        Return the id by which `subscribed` will have the answer.
        """
        _, mid = self._client.subscribe(topic, 0)
        self._optional.add(mid)
        return mid

    def traffic(self) -> int:
        """Return how many bytes of IP packets this connection has taken so far, both ways; see `dial.traffic`."""
        sock: Any = self._client.socket()
        return 0 if sock is None else traffic(getattr(sock, "_socket", sock))  # paho's WebSocket has one

    def was_unheard(self, mid: int) -> bool:
        """Whether the broker said of the message `mid`, which it took, that nobody gets it (MQTT 5); ask once."""
        unheard = mid in self._unheard
        self._unheard.discard(mid)  # in the long run nothing but these would grow
        return unheard

    def acknowledge(self, *messages: Received) -> None:
        """Tell the broker that it need not send `messages` again; on a connection that is gone, do nothing."""
        # A message that was sent with QoS 0 has no id, and a broker hangs up on an acknowledgement of id 0.
        mids = [message.mid for message in messages if message.mid]
        if mids and not self._dropped.is_set():
            self._client.acknowledge(mids)

    def close(self) -> None:
        """Disconnect cleanly, so that the will stays unsent, and let the socket go."""
        with suppress(OSError, ValueError):
            self._client.disconnect()
            self._client.loop_write()
        self.drop()

    def drop(self) -> None:
        """Let the socket go without a word: the broker publishes the will."""
        self._dropped.set()
        sock = self._client.socket()
        if sock is not None:
            with suppress(OSError):
                sock.close()


class _Client(mqtt.Client):
    """A paho client on a socket that is ours to open: paho leaves one open when a handshake on it fails.

    It reads and writes many packets at once, where paho reads a packet in four pieces, writes each one alone, and
    puts each into words for its log.
    """

    #: Whose answer is waited for, if not the broker's.
    whom = ""

    _is_gathering = False
    _unread = b""
    _position = 0
    _reads = 0

    @property
    def has_unread(self) -> bool:
        """Whether something has been read that paho has not asked for."""
        return self._position < len(self._unread)

    def read(self) -> None:
        """Handle what has been read; what has to be read then is for a turn in which that is still wanted."""
        before = self._reads
        while self.loop_read() == mqtt.MQTT_ERR_SUCCESS and self.has_unread and self._reads == before:
            continue

    def gather(self, topic: str, payload: bytes, *, retain: bool, properties: Properties | None) -> int:
        """Publish with QoS 1 at the next `loop_write`, with what else waits then; return the message's id."""
        self._is_gathering = True
        try:
            return self.publish(topic, payload, qos=1, retain=retain, properties=properties).mid
        finally:
            self._is_gathering = False

    def loop_write(self) -> MQTTErrorCode:
        if self._is_gathering:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        self._join()
        return super().loop_write()

    def _join(self) -> None:
        """Make one of the packets that wait: one write, one TLS record and few segments carry them all."""
        packets = self._out_packet
        if len(packets) > 1 and all(
            packet["command"] & 0xF0 in _JOINED and not packet["pos"] for packet in packets
        ):
            joined = b"".join(packet["packet"] for packet in packets)
            first = packets[0]
            first["packet"], first["to_process"] = joined, len(joined)
            packets.clear()
            packets.append(first)

    def acknowledge(self, mids: list[int]) -> None:
        """Send a PUBACK for each of `mids`, all in one write (section 3.4 of the standards)."""
        packets = b"".join(struct.pack("!BBH", mqtt.PUBACK, 2, mid) for mid in mids)
        self._packet_queue(mqtt.PUBACK, packets, 0, 1)

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        """Handle an acknowledgement; paho makes a copy of its table of all reasons for each, or two."""
        packet = bytes(self._in_packet["packet"])
        mid, reason = packet[:2], _TAKEN.get(packet[2:])
        if cmd != "PUBACK" or len(mid) < 2 or reason is None or self.protocol != MQTT_5:
            return super()._handle_pubackcomp(cmd)
        with self._out_message_mutex:
            if (number := int.from_bytes(mid)) in self._out_messages:
                return self._do_on_publish(number, reason, _NOTHING_MORE)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _sock_recv(self, bufsize: int) -> bytes:
        if not self.has_unread:
            self._unread = super()._sock_recv(_READ_BYTES)
            self._position = 0
            self._reads += 1
        start = self._position
        self._position = min(start + bufsize, len(self._unread))
        return self._unread[start : self._position]

    def _easy_log(self, level: LogLevel, fmt: str, *args: Any) -> None:
        if level == LogLevel.MQTT_LOG_ERR:
            super()._easy_log(level, fmt, *args)

    def aim(self, broker: Broker, context: ssl.SSLContext | None, given_up: threading.Event) -> None:
        """Say where `reconnect` shall connect to, whether with TLS, and what tells that nobody waits for it."""
        self._target, self._context, self._given_up = broker, context, given_up

    def _create_socket(self) -> Any:
        """Return a socket for CONNECT, which must not go out late: it would end the connection made since."""
        sock = self._open()
        if self._given_up.is_set():
            sock.close()
            raise ConnectionAbortedError
        return sock

    def _open(self) -> Any:
        self.whom = " from DNS"
        addresses = look_up(self._target)
        self.whom = ""
        sock = open_socket(self._target, addresses, self._context)
        if self._target.websocket_path is None:
            return sock
        try:
            return mqtt._WebsocketWrapper(  # noqa: SLF001 - paho's WebSocket, which it knows how to close
                sock,
                self._target.host,
                self._target.port,
                is_ssl=self._context is not None,
                path=self._target.websocket_path,
                extra_headers=None,
            )
        except BaseException:
            sock.close()
            raise


def _time_left(stop: threading.Event, deadline: float, whom: str = "") -> float:
    """Return the seconds until `deadline`, by which `whom` (the broker, if empty) has to answer.

    Raises:
        ConnectionLostError: there are none, or we are to stop.
    """
    left = deadline - time.monotonic()
    if stop.is_set() or left <= 0:
        raise ConnectionLostError("stopped while connecting" if stop.is_set() else f"no answer in time{whom}")
    return left


def _session_options(broker: Broker, receive_maximum: int) -> dict[str, Any]:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho leaves it untyped
    properties.SessionExpiryInterval = broker.session_expiry_seconds
    properties.ReceiveMaximum = receive_maximum
    return {"clean_start": broker.clean_start, "properties": properties}


class _Packed(Properties):
    """Properties that stay as they are once packed, which takes paho longer than all else of a message."""

    _packed = b""

    def pack(self) -> bytes:
        if not self._packed:
            packed = super().pack()  # type: ignore[no-untyped-call] # paho leaves it untyped
            object.__setattr__(self, "_packed", packed)  # paho's own takes none but MQTT's properties
        return self._packed


def _content(packet_type: int) -> Properties:
    properties = _Packed(packet_type)  # type: ignore[no-untyped-call] # paho leaves it untyped
    properties.ContentType = CONTENT_TYPE
    return properties


def _expiring() -> Properties:
    properties = _Packed(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho leaves it untyped
    properties.MessageExpiryInterval = EXPIRY_SECONDS
    return properties


#: What goes with a message that is retained, and with one that is not; to make these takes longer than to send it.
_RETAINED: Final = _content(PacketTypes.PUBLISH)
_EXPIRING: Final = _expiring()


def _publish_size(topic: str, payload: bytes, properties: Properties | None) -> int:
    """Return how long a PUBLISH packet with QoS 1 is (section 3.3 of the standards)."""
    packed = properties.pack() if properties else b""  # type: ignore[no-untyped-call] # paho leaves it untyped
    rest = 2 + len(topic.encode()) + 2 + len(packed) + len(payload)
    return 1 + len(VariableByteIntegers.encode(rest)) + rest  # type: ignore[no-untyped-call] # as above


def _with_hint(text: str, reason: str) -> str:
    hint = _HINTS.get(reason)
    return f"{text} ({hint})" if hint else text
