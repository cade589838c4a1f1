"""Relay connections from a port of this computer to a machine of the lab, which has a network of its own.

A socket stays in the network namespace in which it was made, whoever uses it: the listening socket belongs to
the computer, the connection to the machine to the lab. So nothing is routed, and no address can collide.
"""

from __future__ import annotations

import contextlib
import socket
import threading

_BUFFER = 1 << 18
_CONNECT_S = 10
_ORPHAN_MS = 5000


def serve(listening: socket.socket, target: tuple[str, int]) -> None:
    """Accept connections while this process lives, and relay each to ``target``.

    Args:
        listening: A listening TCP socket.
        target: Address and port; reached from the network namespace of the calling thread.
    """
    while True:
        client, _ = listening.accept()
        threading.Thread(target=_relay, args=(client, target), daemon=True).start()


def _relay(client: socket.socket, target: tuple[str, int]) -> None:
    with client:
        try:
            machine = socket.create_connection(target, _CONNECT_S)
        except OSError:
            return  # the client sees its connection closed, as from a machine that is down
        with machine:
            machine.settimeout(None)
            for end in (client, machine):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            up = threading.Thread(target=_pump, args=(client, machine), daemon=True)
            up.start()
            _pump(machine, client)
            up.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Copy until ``source`` ends, then close that half of ``sink`` too."""
    buffer = bytearray(_BUFFER)
    view = memoryview(buffer)
    with contextlib.suppress(OSError):
        while size := source.recv_into(buffer):
            sink.sendall(view[:size])
    with contextlib.suppress(OSError):
        # A machine without power never answers; the thread would wait a quarter of an hour.
        sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _ORPHAN_MS)
        sink.shutdown(socket.SHUT_WR)
