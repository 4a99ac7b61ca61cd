"""The server's side of a WebSocket (RFC 6455), as far as an echo needs it."""

import base64
import hashlib
import struct

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept(key):
    """Return what proves to a client that its handshake was understood."""
    return base64.b64encode(hashlib.sha1(key.encode() + _MAGIC).digest()).decode()


def echo(reader, writer):
    """Send each message back until the client closes; its close is answered."""
    while frame := receive(reader):
        opcode, data = frame
        writer.write(bytes([0x80 | opcode]) + _length(len(data)) + data)
        writer.flush()
        if opcode == 8:
            return


def receive(reader):
    """Read one masked frame: its opcode and data (None where the connection has ended)."""
    head = reader.read(2)
    if len(head) < 2:
        return None
    size = head[1] & 0x7F
    if size == 126:
        (size,) = struct.unpack(">H", reader.read(2))
    elif size == 127:
        (size,) = struct.unpack(">Q", reader.read(8))
    mask, data = reader.read(4), reader.read(size)
    return head[0] & 0x0F, bytes(b ^ mask[i % 4] for i, b in enumerate(data))


def _length(size):
    if size < 126:
        return bytes([size])
    return struct.pack(">BH", 126, size) if size < 65536 else struct.pack(">BQ", 127, size)
