"""Serves /srv on port 80 until its input ends."""
import functools
import http.server
import os
import sys
import threading


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass


s = http.server.ThreadingHTTPServer(("", 80), functools.partial(Handler, directory="/srv"))
threading.Thread(target=s.serve_forever, daemon=True).start()
print("up", flush=True)
sys.stdin.read()
os._exit(0)
