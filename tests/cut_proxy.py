"""A TCP proxy whose connections a test can cut, or let hang, and restore."""

import contextlib
import select
import socket
import threading


class CutProxy:
    """Listens on a port of its own and passes bytes on to a server of this machine."""

    def __init__(self, port):
        self._target = ("127.0.0.1", port)
        self._state = "up"
        self._pairs = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        """Close every connection, and each new one at once."""
        with self._lock:
            self._state = "cut"
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            _close(pair)

    def hang(self):
        """Pass nothing on any more, but keep the connections."""
        self._state = "hanging"

    def restore(self):
        """Be a good proxy again; connections that hung are closed."""
        hung = self._state == "hanging"
        if hung:
            self.cut()
        self._state = "up"

    def close(self):
        """Stop listening."""
        self.cut()
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._state == "cut":
                client.close()
                continue
            try:
                server = socket.create_connection(self._target, timeout=5)
            except OSError:
                client.close()
                continue
            pair = (client, server)
            with self._lock:
                self._pairs.add(pair)
            threading.Thread(target=self._pump, args=(pair,), daemon=True).start()

    def _pump(self, pair):
        other = {pair[0]: pair[1], pair[1]: pair[0]}
        with contextlib.suppress(OSError, ValueError):
            while True:
                ready, _, _ = select.select(pair, (), (), 0.2)
                if self._state == "hanging":
                    threading.Event().wait(0.05)
                    continue
                for source in ready:
                    data = source.recv(1 << 16)
                    if not data:
                        raise OSError("closed")
                    other[source].sendall(data)
        with self._lock:
            self._pairs.discard(pair)
        _close(pair)


def _close(pair):
    for one in pair:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
