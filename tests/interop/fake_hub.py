"""A hub on the loopback: just what huggingface_hub asks of one to fetch the files of a model."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SHA = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serving(folder, name="org/tiny"):
    """Yields the address of a hub with one model, the files of `folder`, and the list of paths it was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            path = self.path.partition("?")[0]
            if path in (f"/api/models/{name}", f"/api/models/{name}/revision/{SHA}"):
                files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
                info = {"id": name, "sha": SHA, "siblings": [{"rfilename": file} for file in files]}
                return self.answer(json.dumps(info).encode(), "application/json")
            file = folder / path.removeprefix(f"/{name}/resolve/{SHA}/")
            if path.startswith(f"/{name}/resolve/{SHA}/") and file.is_file():
                return self.answer(file.read_bytes(), "application/octet-stream")
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None

        do_HEAD = do_GET

        def answer(self, content, kind):
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", SHA)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
