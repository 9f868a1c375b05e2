"""A candidate behind HTTP, in plain Python: python endpoint.py [PORT]. In gnomon.toml: model = "http://127.0.0.1:8001"."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def answer(request):
    """The model: flights that leave late arrive late."""
    if "features" not in request:
        return {"error": "this model takes features"}
    score = min(1.0, max(0.0, (request["features"].get("dep_delay") or 0) / 60))
    return {"label": "late" if score >= 0.5 else "on_time", "score": score}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open
    disable_nagle_algorithm = True  # else an answer waits 40 ms for the asker's acknowledgement

    def do_POST(self):
        assert self.headers["X-Gnomon-Shadow"] == "1"  # nothing that writes, mails or pays may follow
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"answers": [answer(request) for request in asked["requests"]]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 8001), Handler).serve_forever()
