#!/usr/bin/env python3
"""Compares examples/httpbin with the httpbin of PyPI: the same requests to both, on both drivers.

Every difference has to be listed, with its reason, in differences.toml, and every listed one has to be there. Usage:

    cargo build --example httpbin --all-features
    tests/httpbin/compare.py [--binary FILE] [--venv DIRECTORY]
"""

import argparse
import fnmatch
import gzip
import hashlib
import http.client
import json
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
import urllib.request
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# No caches in the source tree.
sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# Fields whose values are compared.
FIELDS = ["accept-ranges", "access-control-allow-credentials", "access-control-allow-headers",
          "access-control-allow-methods", "access-control-allow-origin", "access-control-max-age", "allow", "cache-control",
          "content-encoding", "content-range", "content-type", "etag", "last-modified", "location", "set-cookie", "vary",
          "www-authenticate"]
LISTS = ("allow", "access-control-allow-methods", "access-control-allow-headers", "vary")


def in_venv(directory):
    """Goes on in a virtual environment that has exactly requirements.txt."""
    requirements = HERE / "requirements.txt"
    stamp = directory / "stamp"
    if not stamp.exists() or stamp.read_text() != requirements.read_text():
        subprocess.run([sys.executable, "-m", "venv", "--clear", directory], check=True)
        subprocess.run([directory / "bin/pip", "install", "-q", "--disable-pip-version-check", "-r", requirements], check=True)
        stamp.write_text(requirements.read_text())
    python = directory / "bin/python"
    if Path(sys.prefix).resolve() != directory.resolve():
        os.execv(python, [python, *sys.argv])


class Server:
    """A server process that says on its output where it listens."""

    def __init__(self, name, command):
        self.name = name
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in self.process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                break
        else:
            raise SystemExit(f"{shlex.join(map(str, command))} does not start")
        # What it goes on to say must not fill the pipe.
        self.rest = ThreadPoolExecutor(1).submit(self.process.stdout.read)

    def stop(self):
        self.process.terminate()
        code = self.process.wait(20)
        if code != 0:
            raise SystemExit(f"{self.name} ended with {code}\n{self.rest.result()}")

    def send(self, request, more=()):
        """Sends a request as it is, nothing added but Host and Content-Length; gives status, fields and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.putrequest(request.method, request.target, skip_accept_encoding=True)
        names = {name.lower() for name, _ in request.headers}
        if (request.body or request.method in ("POST", "PUT", "PATCH")) and "transfer-encoding" not in names:
            connection.putheader("Content-Length", str(len(request.body)))
        for name, value in [*request.headers, *more]:
            connection.putheader(name, value.encode("latin-1"))
        connection.endheaders(request.body or None)
        response = connection.getresponse()
        fields = [(name.lower(), value) for name, value in response.getheaders()]
        body = response.read()
        connection.close()
        return response.status, fields, body

    def observe(self, request):
        """What is to be compared of the answer: values by path."""
        start = time.monotonic()
        more = []
        if request.digest:
            _, fields, _ = self.send(request)
            more = [("Authorization", authorization(dict(fields)["www-authenticate"], request))]
        status, fields, body = self.send(request, more)
        seen = {"status": status}
        if request.at_least:
            seen["waited"] = time.monotonic() - start >= request.at_least
        look_at_fields(request, fields, body, seen)
        look_at_body(request, fields, body, seen)
        return {path: self.masked(value) for path, value in seen.items()}

    def masked(self, value):
        """The value without what differs from run to run."""
        if not isinstance(value, str):
            return value
        value = value.replace(f"127.0.0.1:{self.port}", "HOST")
        value = re.sub(r"\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b", "UUID", value)
        return re.sub(r"\b([0-9a-f]{128}|[0-9a-f]{64}|[0-9a-f]{32})\b", "HEX", value)


def look_at_fields(request, fields, body, seen):
    for name in [*FIELDS, *request.also]:
        values = [value for other, value in fields if other == name]
        if not values or (name == "content-type" and not body and request.method != "HEAD"):
            # The type of nothing is nothing.
            continue
        path = f"field.{name}"
        if name in LISTS:
            seen[path] = ", ".join(sorted({item.strip().lower() for value in values for item in value.split(",")}))
        elif name == "set-cookie":
            for value in values:
                pair, *attributes = value.split("; ")
                cookie, _, content = pair.partition("=")
                shown = "; ".join([content, *sorted(attribute.lower() for attribute in attributes)])
                # A cookie that is set twice shows twice.
                seen[f"{path}.{cookie}"] = " | ".join(filter(None, [seen.get(f"{path}.{cookie}"), shown]))
        elif name == "www-authenticate":
            scheme, parameters = challenge(" | ".join(values))
            seen[path] = scheme
            seen |= {f"{path}.{key}": value for key, value in parameters.items()}
        elif name == "last-modified":
            seen[path] = "DATE" if re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", values[0]) else values[0]
        else:
            seen[path] = " | ".join(values)
    # Once each, and never both.
    seen["framing"] = " | ".join(name for name, _ in fields if name in ("content-length", "transfer-encoding"))


def look_at_body(request, fields, body, seen):
    seen["empty"] = not body
    body = decoded(body, dict(fields).get("content-encoding"))
    if request.look == "own" or not body:
        return
    if request.look == "json":
        try:
            flatten("json", json.loads(body), seen)
        except ValueError:
            seen["json"] = "NOT JSON"
    elif request.look == "lines":
        flatten("json", [json.loads(line) for line in body.splitlines()], seen)
    elif request.look == "links":
        seen["links"] = " ".join(re.findall(r"href=[\"'](.*?)[\"']", body.decode()))
    elif request.look == "length":
        seen["length"] = len(body)
    elif request.look == "text":
        seen["text"] = body.decode()
    else:
        seen["bytes"] = f"{len(body)} {hashlib.sha256(body).hexdigest()[:16]}"


def decoded(body, coding):
    if coding == "gzip":
        return gzip.decompress(body)
    if coding == "deflate":
        return zlib.decompress(body)
    if coding == "br":
        import brotlicffi
        return brotlicffi.decompress(body)
    return body


def flatten(path, value, seen):
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            flatten(f"{path}.{key}", inner, seen)
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            flatten(f"{path}.{index}", inner, seen)
    else:
        # As JSON, so that 1 and true, "1" and 1, {} and [] are not the same.
        seen[path] = value if isinstance(value, str) else json.dumps(value)


def challenge(value):
    scheme, _, rest = value.partition(" ")
    return scheme, {name.lower(): quoted or plain
                    for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^",\s]+))', rest)}


def authorization(value, request):
    """The answer to a Digest challenge (RFC 7616 §3.4), by nobody's code but Python's."""
    _, given = challenge(value)
    # Read from the raw field: a parser of ours may be too kind.
    assert re.search(r"algorithm=[A-Z0-9-]+(,|$)", value), f"the algorithm must not be quoted: {value}"
    hashing = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256, "SHA-512": hashlib.sha512}[given["algorithm"]]
    user, password = request.digest
    qop = given["qop"].split(",")[0]

    def h(*parts):
        return hashing(":".join(parts).encode()).hexdigest()

    a2 = [request.method, request.target] + ([hashing(request.body).hexdigest()] if qop == "auth-int" else [])
    secret = h(user, given["realm"], password)
    response = h(secret, given["nonce"], "00000001", "0a4f113b", qop, h(*a2))
    return (f'Digest username="{user}", realm="{given["realm"]}", nonce="{given["nonce"]}", uri="{request.target}", '
            f'algorithm={given["algorithm"]}, qop={qop}, nc=00000001, cnonce="0a4f113b", response="{response}", '
            f'opaque="{given["opaque"]}"')


def observe_all(server, requests):
    with ThreadPoolExecutor(4) as pool:
        return dict(zip((request.name for request in requests), pool.map(server.observe, requests), strict=True))


def differences(theirs, ours):
    """(path, theirs, ours) of all that is not the same; None where there is nothing."""
    for path in sorted(theirs.keys() | ours.keys()):
        if theirs.get(path) != ours.get(path):
            yield path, theirs.get(path), ours.get(path)


def compare(driver, theirs, ours, listed):
    """Prints what is wrong, and says how often."""
    wrong = 0
    used = set()
    for name in theirs:
        for path, their, our in differences(theirs[name], ours[name]):
            rules = [index for index, rule in enumerate(listed) if covers(rule, name, path, their, our)]
            used |= {(index, name, glob) for index in rules for glob in listed[index]["what"]
                     if fnmatch.fnmatchcase(path, glob)}
            if not rules:
                wrong += 1
                print(f"{driver}: {name}: {path}: httpbin {their!r}, ours {our!r}")
    for index, rule in enumerate(listed):
        names = [name for name in theirs if any(fnmatch.fnmatchcase(name, glob) for glob in rule["requests"])]
        idle = [glob for glob in rule["requests"] if not any(fnmatch.fnmatchcase(name, glob) for name in theirs)]
        gone = [f"{name}: {glob}" for name in names for glob in rule["what"] if (index, name, glob) not in used]
        for what in idle + gone:
            wrong += 1
            print(f"{driver}: listed, but not there: {what}")
    return wrong


def check_refusals(server, refused):
    """Sends what the original cannot answer to ours, and says how often the answer is not the one that is written down."""
    from requests_to_compare import Request
    wrong = 0
    for target, expected in refused:
        status, fields, _ = server.send(Request(target, target))
        if status != expected or any(name == "b" for name, _ in fields):
            wrong += 1
            print(f"{server.name}: {target}: {status}, not {expected}")
    return wrong


def covers(rule, name, path, their, our):
    return (any(fnmatch.fnmatchcase(name, glob) for glob in rule["requests"])
            and any(fnmatch.fnmatchcase(path, glob) for glob in rule["what"])
            and ("theirs" not in rule or rule["theirs"] == their)
            and ("ours" not in rule or rule["ours"] == our))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, default=ROOT / "target/ci/examples/httpbin")
    parser.add_argument("--venv", type=Path, default=ROOT / "target/httpbin-venv")
    options = parser.parse_args()
    in_venv(options.venv)
    from requests_to_compare import REFUSED, REQUESTS
    listed = tomllib.loads((HERE / "differences.toml").read_text())["difference"]
    assert len({request.name for request in REQUESTS}) == len(REQUESTS), "two requests have one name"
    assert all(rule["why"] for rule in listed)

    start = time.monotonic()
    gunicorn = [options.venv / "bin/python", "-m", "gunicorn", "-b", "127.0.0.1:0", "-k", "gthread", "--threads", "8",
                "httpbin:app"]
    servers = [Server("httpbin", gunicorn)]
    try:
        for driver in ("io_uring", "epoll"):
            servers.append(Server(driver, [options.binary, "--port", "0", "--driver", driver, "--cores", "0"]))
        with ThreadPoolExecutor(3) as pool:
            theirs, *ours = pool.map(lambda server: observe_all(server, REQUESTS), servers)
        wrong = sum(check_refusals(server, REFUSED) for server in servers[1:])
    finally:
        for server in servers:
            server.stop()
    wrong += sum(compare(server.name, theirs, answers, listed) for server, answers in zip(servers[1:], ours, strict=True))
    values = sum(len(seen) for seen in theirs.values())
    different = sum(1 for name in theirs for _ in differences(theirs[name], ours[0][name]))
    print(f"{len(REQUESTS)} requests on 2 drivers, {values} values each: {different} differ by {len(listed)} listed "
          f"differences; {len(REFUSED)} refused; {wrong} mistakes, {time.monotonic() - start:.1f} s")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
