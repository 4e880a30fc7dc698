"""The OTLP/gRPC port: had, or why it is not."""

from __future__ import annotations

import logging
import os

from aftertrace.errors import AftertraceError
from aftertrace.receive.receiver import Receiver
from aftertrace.serve import sockets
from aftertrace.serve.port import GRACE_S

PORT = 4317
_LOG = logging.getLogger("aftertrace.serve")


class GrpcPort:
    """``address`` (an URL) is empty until it listens, and ``problem`` says why it does not. Nothing is raised: HTTP
    and questions are served without it."""

    def __init__(self, receiver: Receiver, token: str) -> None:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what goes wrong is said by us, or to the caller
        self.address = ""
        self.problem = ""
        self._server = None
        try:
            from aftertrace.receive import grpc  # noqa: PLC0415  # its library is not there for each Python
        except ImportError as error:
            self.problem = f"OTLP/gRPC needs {error.name or 'grpcio'}: {error}"
        else:
            self._server = grpc.server(receiver, token)

    async def start(self, host: str, port: int) -> None:
        """Port 0 is any free one, -1 none."""
        if port < 0:
            self.problem = "switched off"
        elif self._server is not None:
            try:
                with sockets.listening(host, port) as sock:  # its error says more than gRPC's
                    name = sockets.name(sock)
                bound = self._server.add_insecure_port(f"{name[0]}:{port}")
                await self._server.start()
            except (AftertraceError, RuntimeError) as error:
                self.problem = str(error)
            else:
                self.address = f"http://{sockets.reached(name[0])}:{bound}"
        if self.problem and port >= 0:
            _LOG.warning("OTLP/gRPC is not taken: %s", self.problem)

    async def stop(self) -> None:
        """Calls that are under way are answered."""
        if self._server is not None and self.address:
            await self._server.stop(GRACE_S)
