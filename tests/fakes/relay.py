"""A link that can fail: relays TCP connections to where they were meant to go, as badly as it is told to."""

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any, Final, Self, TypeAlias

from tests.fakes.listener import Listener

#: How much may be on its way at once before whoever sends has to wait.
_CHUNKS: Final = 64
_CHUNK_SIZE: Final = 65_536
_NARROW_SIZE: Final = 64
#: Close by RST instead of FIN.
_LINGER: Final = struct.pack("ii", 1, 0)


#: When a piece of data is due, and the data; nothing is the end.
Piece: TypeAlias = tuple[float, bytes]
Read: TypeAlias = Callable[[], Awaitable[bytes]]
Write: TypeAlias = Callable[[bytes], None]


class Way(Enum):
    """Up is from the side that connects, down is back to it."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a link does; by default it passes everything on at once.

    Args:
        delay_seconds: how long everything takes, each way.
        bytes_per_second: how much passes at most, each way.
        refuses: nobody listens.
        is_mute: connections are taken, and not a word is said on them.
        loses: on these ways packets vanish, with no reset. A connection that lost something stays lost for good,
            as one that a NAT has forgotten; new ones get no word until this is over.
        stalls_after: a new connection carries so many bytes down, and then nothing more (a TLS handshake breaks
            off in the middle of the server's certificate).
        cuts_after: a new connection is reset when it has carried so many bytes up, in the middle of a packet.
    """

    delay_seconds: float = 0.0
    bytes_per_second: float | None = None
    refuses: bool = False
    is_mute: bool = False
    loses: frozenset[Way] = frozenset()
    stalls_after: int | None = None
    cuts_after: int | None = None


CLEAR: Final = Conditions()
REFUSED: Final = Conditions(refuses=True)


@dataclass(eq=False)
class Passage:
    """One connection through the relay, what the client sent on it, and what the link does to it in particular."""

    client: asyncio.StreamWriter
    broker: asyncio.StreamWriter
    stalls_after: int | None
    cuts_after: int | None
    sent: bytearray = field(default_factory=bytearray)
    received: int = 0
    dead: set[Way] = field(default_factory=set)

    def admit(self, way: Way, data: bytes) -> bytes:
        """Return what of `data` gets through."""
        if way in self.dead:
            return b""
        if way is Way.UP:
            data = data if self.cuts_after is None else data[: self.cuts_after - len(self.sent)]
            self.sent += data
            return data
        data = data if self.stalls_after is None else data[: self.stalls_after - self.received]
        self.received += len(data)
        return data

    def is_cut(self) -> bool:
        """Whether it has carried all that it may."""
        return self.cuts_after is not None and len(self.sent) >= self.cuts_after

    def reset(self) -> None:
        """Break it off at both ends."""
        self.dead.clear()
        for writer in (self.client, self.broker):
            _reset(writer)


class Relay:
    """Listens on `port` of 127.0.0.1 and relays to the port `target`; `sent` and `received` count the bytes.

    With a `context` it speaks TLS to the side that connects, and plain to the other.
    """

    def __init__(self, target: int, *, context: ssl.SSLContext | None = None) -> None:
        self._target = target
        self._context = context
        self._listener = Listener(0, self._admit)
        self.port = self._listener.port
        self.passages: list[Passage] = []
        self.sent = self.received = 0
        self._conditions = CLEAR
        self._callers: set[asyncio.StreamWriter] = set()
        self._open: set[Passage] = set()
        self._never = asyncio.Event()  # one for all, since a loop does not keep tasks that nobody else knows
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"relay-{self.port}")

    def __enter__(self) -> Self:
        self._thread.start()
        self._listener.accept()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # What is done to the link

    @property
    def conditions(self) -> Conditions:
        """What the link is like."""
        return self._conditions

    @property
    def is_up(self) -> bool:
        """Whether it takes connections."""
        return not self._conditions.refuses

    def change(self, conditions: Conditions) -> None:
        """Be like this from now on, for the connections that there are as well."""
        self._conditions = conditions
        self._do(self._lose)
        if conditions.refuses:
            self._listener.refuse()
        else:
            self._listener.accept()

    def reset(self) -> None:
        """Break every connection off, and take new ones."""
        self._do(self._reset)

    def cut(self) -> None:
        """Break every connection off, and take none until `restore`."""
        self.change(REFUSED)
        self.reset()

    def restore(self) -> None:
        """Be a good link again."""
        self.change(CLEAR)

    def _do(self, action: Callable[[], None]) -> None:
        """Do it in the thread that owns the connections, and wait until it is done."""

        async def act() -> None:
            action()

        asyncio.run_coroutine_threadsafe(act(), self._loop).result()

    def _lose(self) -> None:
        for passage in self._open:
            passage.dead |= self._conditions.loses

    def _reset(self) -> None:
        for passage in self._open:
            passage.reset()
        for caller in self._callers:
            _reset(caller)

    # What the link does

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Do what comes before the first byte of MQTT."""

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        """Return what the client says, or nothing at its end."""
        return await reader.read(_CHUNK_SIZE)

    def write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Say `data` to the client."""
        writer.write(data)

    def _admit(self, sock: socket.socket) -> None:
        asyncio.run_coroutine_threadsafe(self._serve(sock), self._loop)

    async def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError, EOFError, ValueError):
            reader, writer = await self._meet(sock)
            self._callers.add(writer)
            try:
                await self._attend(reader, writer)
            finally:
                self._callers.discard(writer)
                writer.close()

    async def _meet(self, sock: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await self._loop.connect_accepted_socket(lambda: protocol, sock, ssl=self._context)
        return reader, asyncio.StreamWriter(transport, protocol, reader, self._loop)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conditions = self._conditions
        if conditions.is_mute or conditions.loses:
            while await reader.read(_CHUNK_SIZE):
                continue
            return
        await self.greet(reader, writer)
        broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._target)
        passage = Passage(writer, broker_writer, conditions.stalls_after, conditions.cuts_after)
        self.passages.append(passage)
        self._open.add(passage)
        try:
            await _first(
                self._carry(passage, Way.UP, partial(self.read, reader), broker_writer.write),
                self._carry(
                    passage, Way.DOWN, partial(Relay.read, self, broker_reader), partial(self.write, writer)
                ),
            )
        finally:
            self._open.discard(passage)
            broker_writer.close()

    async def _carry(self, passage: Passage, way: Way, read: Read, write: Write) -> None:
        """Pass on what comes, each piece when it is due; return at the end of what comes."""
        pieces: asyncio.Queue[Piece] = asyncio.Queue(_CHUNKS)
        intake = asyncio.create_task(self._take_in(pieces, read))
        try:
            while data := await _when_due(pieces):
                for part in self._parts(data):
                    await self._take_time(len(part))
                    self._give_out(passage, way, part, write)
                    if passage.is_cut():
                        passage.reset()
            if way in passage.dead:
                await self._never.wait()  # the end is lost as well
        finally:
            intake.cancel()

    async def _take_in(self, pieces: asyncio.Queue[Piece], read: Read) -> None:
        data = b"some"
        while data:
            try:
                data = await read()
            except (OSError, EOFError, ValueError):
                data = b""
            await pieces.put((self._loop.time() + self._conditions.delay_seconds, data))

    def _parts(self, data: bytes) -> Iterator[bytes]:
        """Cut `data` where the link is narrow, so that who widens it need not wait."""
        size = _CHUNK_SIZE if self._conditions.bytes_per_second is None else _NARROW_SIZE
        return (data[start : start + size] for start in range(0, len(data), size))

    async def _take_time(self, size: int) -> None:
        if self._conditions.bytes_per_second is not None:
            await asyncio.sleep(size / self._conditions.bytes_per_second)

    def _give_out(self, passage: Passage, way: Way, data: bytes, write: Write) -> None:
        admitted = passage.admit(way, data)
        if way is Way.UP:
            self.sent += len(admitted)
        else:
            self.received += len(admitted)
        if admitted:
            write(admitted)


async def _when_due(pieces: asyncio.Queue[Piece]) -> bytes:
    due_at, data = await pieces.get()
    await asyncio.sleep(due_at - asyncio.get_running_loop().time())
    return data


async def _first(*ways: Coroutine[Any, Any, None]) -> None:
    """Wait until one of them has ended, and end the others."""
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)  # closed transports let their sockets go in the next turn


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):  # closed already
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    writer.transport.abort()
