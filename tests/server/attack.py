"""Strangers at the door of a server, as a program: ``python -m tests.server.attack HOST:PORT``, until its input ends.

A process of its own, so that what a call loses is the server's doing and not that of an interpreter shared with it.
"""

import http.client
import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from websockets.sync.client import connect as connect_now

IDLE, DRIPPING, GUESSERS = 200, 20, 3


@dataclass
class Attack:
    """What was done: tokens tried, and how many of them were answered by a refusal."""

    tried: int = 0
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, refused: bool) -> None:
        with self.lock:
            self.tried += 1
            self.refused += refused


def guess_by_http(address: str, attack: Attack, over: threading.Event) -> None:
    """Wrong tokens over one connection, as fast as they are answered."""
    connection = http.client.HTTPConnection(address, timeout=20)
    while not over.is_set():
        connection.request("GET", "/metrics", headers={"Authorization": "Bearer wrong wrong wrong wrong"})
        answer = connection.getresponse()
        answer.read()
        attack.count(answer.status in (401, 429))
    connection.close()


def guess_by_socket(address: str, attack: Attack, over: threading.Event) -> None:
    """Wrong tokens, each with a WebSocket of its own."""
    while not over.is_set():
        with connect_now(f"ws://{address}/signal", open_timeout=20) as page:
            page.send('{"type":"hello","role":"studio","token":"wrong wrong wrong wrong"}')
            attack.count(json.loads(page.recv(timeout=20))["type"] == "problem")


@contextmanager
def beaten(address: str) -> Iterator[Attack]:
    """200 idle sockets, 20 that send a request byte by byte, and wrong tokens without end."""
    host, port = address.split(":")
    over, attack = threading.Event(), Attack()

    def drip(slow: list[socket.socket]) -> None:
        while not over.wait(0.1):
            for each in list(slow):
                try:
                    each.sendall(b"X")
                except OSError:  # the server has had enough of it: come again
                    slow.remove(each)
                    slow.append(socket.create_connection((host, int(port))))

    sockets = [socket.create_connection((host, int(port))) for _ in range(IDLE)]
    slow = [socket.create_connection((host, int(port))) for _ in range(DRIPPING)]
    threads = [threading.Thread(target=guess_by_http, args=(address, attack, over)) for _ in range(GUESSERS)]
    threads += [
        threading.Thread(target=guess_by_socket, args=(address, attack, over)),
        threading.Thread(target=drip, args=(slow,)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield attack
    finally:
        over.set()
        for thread in threads:
            thread.join()
        for each in (*sockets, *slow):
            each.close()


if __name__ == "__main__":
    with beaten(sys.argv[1]) as attack:
        sys.stdout.write("begun\n")
        sys.stdout.flush()
        sys.stdin.read()
    sys.stdout.write(json.dumps({"tried": attack.tried, "refused": attack.refused}))
