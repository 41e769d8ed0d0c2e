"""A server that says to Weights & Biases' client what it wants to hear, and writes down what it is told.

    python wandb_server.py PORT HEARD.jsonl

It listens on this machine only. Each line of HEARD.jsonl is a request: a path that was POSTed to with its JSON, or PUT to with its length.
"""

import gzip
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, HEARD = int(sys.argv[1]), open(sys.argv[2], "w", encoding="utf-8")
HERE = f"http://127.0.0.1:{PORT}"

BUCKET = {
    "id": "bucket", "name": "run", "displayName": "run", "description": "", "sweepName": None, "historyLineCount": 0, "config": "{}",
    "project": {"id": "project", "name": "project", "entity": {"id": "entity", "name": "entity"}},
}


def answer(query, variables):
    if "upsertBucket" in query:
        return {"upsertBucket": {"bucket": BUCKET, "inserted": True}}
    if "createRunFiles" in query:
        files = [{"name": name, "uploadUrl": f"{HERE}/upload/{name}"} for name in variables.get("files", [])]
        return {"createRunFiles": {"runID": "run", "uploadHeaders": [], "files": files}}
    if "viewer" in query:
        viewer = {"id": "user", "entity": "entity", "username": "user", "flags": "{}", "teams": {"edges": []}}
        return {"viewer": viewer, "serverInfo": {"cliVersionInfo": {}, "latestLocalVersionInfo": None, "features": []}}
    return {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            data = b"".join(parts)
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

    def reply(self, what):
        data = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def note(self, what):
        HEARD.write(json.dumps(what) + "\n")
        HEARD.flush()

    def do_GET(self):
        self.reply({})

    def do_PUT(self):
        self.note({"PUT": self.path, "bytes": len(self.body())})
        self.reply({})

    def do_POST(self):
        try:
            told = json.loads(self.body())
        except ValueError:
            told = {}
        self.note({"POST": self.path, "json": told})
        query = told.get("query", "")
        self.reply({"data": answer(query, told.get("variables") or {})} if query else {})


ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
