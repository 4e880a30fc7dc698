"""As much of the Debug Adapter Protocol as a person at an editor uses: the client's side."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

type Message = dict[str, Any]


class Client:
    """Connects to an adapter at a port of this machine, as soon as it listens there."""

    def __init__(self, port: int) -> None:
        until = time.monotonic() + 30
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
                break
            except ConnectionRefusedError:
                assert time.monotonic() < until
                time.sleep(0.05)
        self._stream = self._socket.makefile("rb")
        self._sequence = 0
        self._waiting: list[Message] = []  # events that nobody asked for yet

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def send(self, command: str, **arguments: Any) -> int:
        self._sequence += 1
        body = {"seq": self._sequence, "type": "request", "command": command, "arguments": arguments}
        data = json.dumps(body).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
        return self._sequence

    def ask(self, command: str, **arguments: Any) -> Message:
        """The body of the answer."""
        return self.answer(self.send(command, **arguments))

    def answer(self, sequence: int) -> Message:
        while True:
            message = self._receive()
            if message["type"] == "response" and message["request_seq"] == sequence:
                assert message["success"], message
                body: Message = message.get("body") or {}
                return body
            self._waiting.append(message)

    def event(self, name: str) -> Message:
        """The body of the next event of this name."""
        while True:
            for message in self._waiting:
                if message["type"] == "event" and message["event"] == name:
                    self._waiting.remove(message)
                    body: Message = message.get("body") or {}
                    return body
            self._waiting.append(self._receive())

    def _receive(self) -> Message:
        length = 0
        while line := self._stream.readline().strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        assert length, "the adapter has closed the connection"
        message: Message = json.loads(self._stream.read(length))
        return message
