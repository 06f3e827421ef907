"""A web server on this machine, which can break off and refuse ranges."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Web:
    """`files` by path; `breaks`: bytes after which the next answers break off; `log` of (path, Range header)."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.breaks: list[int] = []
        self.errors: list[int] = []
        self.ranges = True
        self.log: list[tuple[str, str | None]] = []
        self.address = ""


@pytest.fixture
def web(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    state = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path, asked = self.path.partition("?")[0], self.headers.get("Range")
            state.log.append((path, asked))
            if state.errors or path not in state.files:
                return self.send_error(state.errors.pop(0) if state.errors else 404)
            data, start = state.files[path], 0
            if asked and state.ranges:
                start = int(asked.removeprefix("bytes=").partition("-")[0])
                if start >= len(data):
                    return self.send_error(416)
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data[start:][: state.breaks.pop(0) if state.breaks else None])
            return None

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()
