"""A relay that speaks WebSocket (RFC 6455) to the client; each frame carries whatever the broker had ready."""

import asyncio
import base64
import hashlib
import ssl

from tests.fakes.relay import Relay

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class WebSocketRelay(Relay):
    """A relay that speaks WebSocket at `path`, and knows no other."""

    def __init__(self, target: int, *, context: ssl.SSLContext | None = None, path: str = "/mqtt") -> None:
        super().__init__(target, context=context)
        self._path = path

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
        headers = dict(header.split(": ", 1) for header in lines if header)
        headers = {name.lower(): value for name, value in headers.items()}
        if line.split(" ")[1] != self._path or headers["sec-websocket-protocol"] != "mqtt":
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            raise ValueError(line)
        digest = hashlib.sha1(headers["sec-websocket-key"].encode() + _MAGIC).digest()  # noqa: S324 - RFC 6455
        writer.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}\r\n"
            "Sec-WebSocket-Protocol: mqtt\r\n\r\n".encode()
        )

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        """Return the payload of one frame; a client masks all of them."""
        opcode, length = await reader.readexactly(2)
        if opcode & 0x0F == 8:
            return b""
        length &= 0x7F
        if length >= 126:
            length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8))
        mask = await reader.readexactly(4)
        return bytes(byte ^ mask[index % 4] for index, byte in enumerate(await reader.readexactly(length)))

    def write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        length = len(data)
        if length < 126:
            size = bytes([length])
        elif length < 65_536:
            size = b"\x7e" + length.to_bytes(2)
        else:
            size = b"\x7f" + length.to_bytes(8)
        writer.write(b"\x82" + size + data)
