"""A publisher on the loopback device: the files of a folder, ranges of them, and stalls."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Publisher:
    """Serves ``folder``; ``asked`` has the name and range of each request.

    A name in ``stalls`` is sent as far as the number of bytes there, and no further until the
    client goes away.
    """

    def __init__(self, folder):
        self.folder, self.asked, self.stalls = Path(folder), [], {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer._answer(self, self.path.rpartition("/")[2])

            def log_message(self, *words):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.http.shutdown()
        self.http.server_close()

    def _answer(self, handler, name):
        wanted = handler.headers.get("Range")
        self.asked.append((name, wanted))
        if not (self.folder / name).is_file():
            return handler.send_error(404)
        content = (self.folder / name).read_bytes()
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        start = 0
        if wanted and handler.headers.get("If-Range") == tag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(content)}")
            handler.send_header("Content-Length", "0")
            return handler.end_headers()
        handler.send_response(206 if start else 200)
        if start:
            place = f"bytes {start}-{len(content) - 1}/{len(content)}"
            handler.send_header("Content-Range", place)
        handler.send_header("ETag", tag)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        stop = self.stalls.pop(name, None)
        handler.wfile.write(content[start:stop])
        if stop is not None:
            handler.wfile.flush()
            handler.connection.recv(1)  # returns when the client is gone
        handler.close_connection = True
        return None
