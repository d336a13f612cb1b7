#!/usr/bin/env python3
"""The client against five servers, on both drivers: those of PyPI's aiohttp and httpbin, nginx, Node, and our own httpbin.

    run.py EXAMPLES AIOHTTP_PYTHON HTTPBIN_PYTHON

EXAMPLES has the built `client_peers` and `httpbin`, the others are interpreters that have the two packages.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
BASE = ["keep_alive", "head", "no_content", "not_modified", "chunked", "gzip", "redirect", "cookies", "post",
        "post_chunked", "large", "expect"]
# What not all of them can, in the order in which it is tried; `many` leaves many connections and is the last.
MORE = {"nginx": ["close"], "Node": ["trailers", "close"]}


class Server:
    """A server process; it is ready when its output has a URL, or when its port answers if that is known."""

    def __init__(self, command, port=None, **more):
        self.command = [str(part) for part in command]
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
        self.port = port or self.announced()
        deadline = time.monotonic() + 20
        while not self.answers():
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.process.kill()
                sys.exit(f"{self.command[0]} does not start: {self.process.stdout.read()}")
            time.sleep(0.05)

    def announced(self):
        for line in self.process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                return int(found[1])
        sys.exit(f"{self.command} says no URL")

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def nginx(directory, upstream):
    port = free_port()
    # Started by root, its worker is somebody else.
    directory.chmod(0o755)
    (directory / "files/etag").mkdir(parents=True)
    (directory / "files/etag/abc").write_text("the content")
    (directory / "files/gzip").write_text('{"gzipped": true}\n' * 1000)
    (directory / "files/close").write_text("from the beginning to the end")
    text = (HERE / "nginx.conf").read_text().replace("PORT", str(port)).replace("UPSTREAM", str(upstream))
    (directory / "nginx.conf").write_text(text)
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "nginx is missing"
    return Server([program, "-p", directory, "-c", directory / "nginx.conf"], port)


def start_all(examples, aiohttp, httpbin, directory):
    """The servers by name, as they start; ours is first, as nginx passes on to it."""
    ours = Server([examples / "httpbin", "--port", "0", "--cores", "0"])
    yield "ours", ours
    yield "aiohttp", Server([aiohttp, HERE / "aiohttp_server.py"])
    yield "httpbin", Server([httpbin, "-m", "gunicorn", "-b", "127.0.0.1:0", "-k", "gthread", "--threads", "8",
                             "--keep-alive", "60", "httpbin:app"])
    yield "nginx", nginx(directory, ours.port)
    yield "Node", Server(["node", HERE / "node_server.js"])


def main():
    examples, aiohttp, httpbin = (Path(argument).absolute() for argument in sys.argv[1:4])
    start, count, servers, failures = time.monotonic(), 0, {}, 0
    with tempfile.TemporaryDirectory() as directory:
        try:
            for name, server in start_all(examples, aiohttp, httpbin, Path(directory)):
                servers[name] = server
            for driver in ("io_uring", "epoll"):
                for name, server in servers.items():
                    checks = [*BASE, *MORE.get(name, ()), "many"]
                    command = [examples / "client_peers", "--driver", driver, "--url", f"http://127.0.0.1:{server.port}/",
                               "--can", ",".join(checks)]
                    ran = subprocess.run(command, capture_output=True, text=True, timeout=120,
                                         env={**os.environ, "RUST_BACKTRACE": "0"})
                    count += len(checks)
                    if ran.returncode:
                        failures += 1
                        print(f"{name} on {driver} fails at the last of these:\n{ran.stdout}{ran.stderr}")
        finally:
            for server in servers.values():
                server.stop()
    print(f"{count} conversations in {time.monotonic() - start:.1f} s with {len(servers)} servers, {failures} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
