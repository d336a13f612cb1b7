#!/usr/bin/env python3
"""Talks to the examples `tls` and `mtls` with clients that are not ours: curl, OpenSSL, wrk, tlslite-ng, testssl.sh; and with our
client, by the example `tls_check`, to OpenSSL's server.

    tls.py DIRECTORY [DRIVER …]

DIRECTORY has the built examples; drivers are `io_uring` and `epoll`, both unless named. Needs Debian's `curl`, `openssl`, `wrk`
and `testssl.sh`, and PyPI's `tlslite-ng`.
"""

import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from tlslite.api import HandshakeSettings, TLSConnection

# Seconds within which anything has to happen. Both cores may be busy otherwise.
PATIENCE = 240
TLS_1_2, TLS_1_3 = (3, 3), (3, 4)


def run(*command, stdin=b"", fails=False):
    """Runs a command; gives what it said, errors included. `fails` is None where its exit code says nothing."""
    done = subprocess.run([str(part) for part in command], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=PATIENCE)
    said = done.stdout.decode(errors="replace")
    assert fails in (None, done.returncode != 0), f"{command} gave {done.returncode}:\n{said[-2000:]}"
    return said


class Authority:
    """Who signs the certificates of a test, in a directory of its own."""

    def __init__(self, directory, name="authority"):
        self.directory = directory
        self.pem, self.key = directory / f"{name}.pem", directory / f"{name}.key"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 36500,
            "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.pem)

    def sign(self, file, name, kind="ec", names="DNS:localhost,IP:127.0.0.1", days=36500):
        """A certificate and its key: FILE.pem and FILE.key."""
        pem, key, request = (self.directory / f"{file}.{end}" for end in ("pem", "key", "csr"))
        new = ["-newkey", "rsa:2048"] if kind == "rsa" else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        run("openssl", "req", *new, "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        extensions = self.directory / "extensions"
        extensions.write_text(f"subjectAltName={names}\n")
        run("openssl", "x509", "-req", "-in", request, "-CA", self.pem, "-CAkey", self.key, "-CAcreateserial", "-days", days,
            "-extfile", extensions, "-out", pem)
        return pem, key

    def answer(self, pem, status):
        """What it says of a certificate by OCSP: V is good, R is revoked."""
        serial = run("openssl", "x509", "-in", pem, "-noout", "-serial").strip().partition("=")[2]
        index, answer = self.directory / "index", self.directory / f"{status}.der"
        since = "240101000000Z" if status == "R" else ""
        index.write_text(f"{status}\t21240101000000Z\t{since}\t{serial}\tunknown\t/CN=server\n")
        run("openssl", "ocsp", "-index", index, "-rsigner", self.pem, "-rkey", self.key, "-CA", self.pem, "-issuer", self.pem,
            "-cert", pem, "-ndays", 7, "-respout", answer)
        return answer


@contextmanager
def server(name, driver, *arguments):
    """An example that runs, and its port."""
    command = [EXAMPLES / name, "--port", "0", "--driver", driver, *arguments]
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    try:
        for line in process.stdout:
            if found := re.search(r"^url +https://127\.0\.0\.1:(\d+)/", line):
                break
        else:
            raise AssertionError(f"{name} does not say where it listens")
        yield process, int(found[1])
        process.terminate()
        assert process.wait(PATIENCE) == 0, f"{name} ended with {process.returncode}"
    finally:
        process.kill()
        process.wait()


def curl_speaks_each_version(port, authority):
    url = f"https://localhost:{port}/"
    trust = ["curl", "-sS", "--fail", "--cacert", authority.pem]
    assert run(*trust, "--tlsv1.2", "--tls-max", "1.2", url).startswith("TLSv1.2 TLS_ECDHE_")
    assert run(*trust, "--tlsv1.3", url).startswith("TLSv1.3 TLS_")
    run(*trust, "--tls-max", "1.1", url, fails=True)
    head = run(*trust, "-D-", "-o/dev/null", url)
    assert "strict-transport-security: max-age=31536000; includeSubDomains" in head, head
    # Without a certificate to trust there is nothing.
    run("curl", "-sS", url, fails=True)


def curl_moves_bodies(port, authority):
    trust = ["curl", "-sS", "--fail", "--cacert", authority.pem]
    body = authority.directory / "body"
    body.write_bytes(bytes(range(256)) * 20000)
    for fields in ([], ["-H", "Transfer-Encoding: chunked"]):
        got = authority.directory / "got"
        run(*trust, *fields, "--data-binary", f"@{body}", "-o", got, f"https://localhost:{port}/echo")
        assert got.read_bytes() == body.read_bytes()
    assert len(run(*trust, f"https://localhost:{port}/bytes/3000000")) == 3_000_000


def names_choose_certificates(port, authority):
    trust = ["curl", "-sS", "--fail", "--cacert", authority.pem]
    of = lambda name: ["--resolve", f"{name}:{port}:127.0.0.1", f"https://{name}:{port}/"]
    assert ", for other.example," in run(*trust, *of("other.example"))
    assert ", for www.other.example," in run(*trust, *of("www.other.example"))
    # A name that nobody has gets the first certificate, which is not for it.
    said = run(*trust, *of("wrong.example"), fails=True)
    assert "no alternative certificate subject name matches" in said, said
    assert ", for wrong.example," in run("curl", "-sSk", "--fail", *of("wrong.example"))


def plain_http_is_answered(port, _):
    said = run("curl", "-sS", "-w", " %{http_code}", f"http://127.0.0.1:{port}/")
    assert "https://" in said and said.endswith(" 400"), said


def openssl_resumes(port, authority):
    get = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    for version in ("-tls1_2", "-tls1_3"):
        session = authority.directory / "session"
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", "-CAfile", authority.pem,
                   "-verify_return_error", version, "-ign_eof"]
        said = run(*command, "-sess_out", session, stdin=get)
        assert "\nNew, TLSv" in said and ", new\n" in said, said
        said = run(*command, "-sess_in", session, stdin=get)
        assert "\nReused, TLSv" in said and ", resumed\n" in said, said


def tlslite_agrees(port, _):
    for version in (TLS_1_2, TLS_1_3):
        for cipher in ("aes128gcm", "aes256gcm", "chacha20-poly1305"):
            settings = HandshakeSettings()
            settings.minVersion = settings.maxVersion = version
            settings.cipherNames = [cipher]
            ask_by_tlslite(port, settings)
    # Records of a few bytes, and keys that change in the middle.
    settings = HandshakeSettings()
    settings.minVersion = TLS_1_3
    with tlslite(port, settings) as connection:
        connection.recordSize = 7
        for _ in range(40):
            for _ in connection.send_keyupdate_request(1):
                pass
            get(connection)
        connection.recordSize = 16384
        body = b"x" * 1_000_000
        connection.write(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        assert answer(connection).endswith(body[-1000:])


@contextmanager
def tlslite(port, settings):
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as carrier:
        connection = TLSConnection(carrier)
        connection.handshakeClientCert(settings=settings, serverName="localhost")
        yield connection
        connection.close()


def ask_by_tlslite(port, settings):
    with tlslite(port, settings) as connection:
        assert get(connection).startswith(b"TLSv1." + (b"2" if connection.version == TLS_1_2 else b"3"))


def get(connection):
    connection.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
    return answer(connection)


def answer(connection):
    """The body of the next answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += receive(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    length = re.search(rb"content-length: (\d+)", head)
    while len(body) < (int(length[1]) if length else 0):
        body += receive(connection)
    return body


def receive(connection):
    piece = connection.recv(65536)
    assert piece, "the server ended the connection"
    return bytes(piece)


def connect(port, authority, name="localhost"):
    """A connection of Python's own, which is OpenSSL's."""
    context = ssl.create_default_context(cafile=str(authority.pem))
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), PATIENCE), server_hostname=name)


def a_million_small_records_hold_nobody_up(port, authority):
    count = 1_000_000
    with connect(port, authority) as flooding, connect(port, authority) as other:
        flooding.sendall(b"POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % count)
        over = threading.Event()

        def flood():
            # Each is a record, and each a write: a packet has as many as the kernel puts there.
            for _ in range(count):
                flooding.send(b"x")
            over.set()

        thread = threading.Thread(target=flood)
        thread.start()
        served = 0
        while not over.is_set():
            get(other)
            served += 1
        thread.join()
        assert answer(flooding) == b"%d\n" % count
    assert served > 100, f"{served} answers for the other client meanwhile"


def nothing_fails_while_certificates_are_renewed(port, authority, process, renew):
    before = serial(port)
    load = subprocess.Popen(["wrk", "-t1", "-c32", "-d8s", f"https://127.0.0.1:{port}/"], stdout=subprocess.PIPE, text=True)
    # New connections all the while, which is where a new certificate shows.
    seen, new = {before}, 0
    end = time.monotonic() + 7
    while time.monotonic() < end:
        if new % 50 == 25:
            renew()
            if new % 100 == 25:
                process.send_signal(1)
        with connect(port, authority) as connection:
            assert get(connection).startswith(b"TLSv1.3")
            seen.add(connection.getpeercert()["serialNumber"])
        new += 1
    said, _ = load.communicate(timeout=PATIENCE)
    requests = re.search(r"([1-9]\d*) requests in", said)
    assert requests, said
    assert not re.search("Socket errors|Non-2xx", said), said
    assert len(seen) > 3, f"{len(seen)} certificates were seen in {new} handshakes"
    print(f"    {new} handshakes and {requests[1]} requests, {len(seen)} certificates")


def serial(port):
    certificate = ssl.get_server_certificate(("127.0.0.1", port))
    return run("openssl", "x509", "-noout", "-serial", stdin=certificate.encode()).strip().partition("=")[2]


def testssl_finds_nothing(port, authority):
    """The parts of testssl.sh that are about the protocol and its known holes."""
    said = run("testssl", "--quiet", "--color", 0, "--warnings", "off", "-p", "-S", "-U", "--ip", "one",
               f"https://localhost:{port}", fails=None)
    for line in [
        r"SSLv2 +not offered \(OK\)",
        r"SSLv3 +not offered \(OK\)",
        r"TLS 1 +not offered",
        r"TLS 1\.1 +not offered",
        r"TLS 1\.2 +offered \(OK\)",
        r"TLS 1\.3 +offered \(OK\)",
        r"Secure Renegotiation \(RFC 5746\) +supported \(OK\)",
        r"Secure Client-Initiated Renegotiation +not vulnerable \(OK\)",
        *(rf"{hole} .*not vulnerable.* \(OK\)" for hole in
          ("Heartbleed", r"CCS", "Ticketbleed", "CRIME, TLS", "POODLE, SSL", "SWEET32", "FREAK", "DROWN", "LOGJAM", "BEAST",
           "LUCKY13")),
        r"RC4 .*no RC4 ciphers detected \(OK\)",
    ]:
        assert re.search(line, said), f"{line} is not in\n{said}"
    assert "VULNERABLE" not in said.replace("not vulnerable", ""), said


def clients_show_certificates(driver, directory):
    servers, clients, others = (Authority(directory, name) for name in ("servers", "clients", "others"))
    cert, key = servers.sign("server", "server")
    ada, ada_key = clients.sign("ada", "Ada", names="DNS:ada.example.org")
    eve, eve_key = others.sign("eve", "Eve")
    with server("mtls", driver, "--cert", cert, "--key", key, "--clients", clients.pem) as (_, port):
        url = f"https://localhost:{port}/"
        trust = ["curl", "-sS", "--fail", "--cacert", servers.pem]
        said = run(*trust, "--cert", ada, "--key", ada_key, url)
        assert said == 'Hello, Ada! Your names are ["ada.example.org"].\n', said
        for version in ("1.2", "1.3"):
            run(*trust, "--tls-max", version, url, fails=True)
            run(*trust, "--tls-max", version, "--cert", eve, "--key", eve_key, url, fails=True)


def ten_points(port, authority=None, fails=False, shows=()):
    """What the example says of a server: by the name of the point, verdict and finding. It shows a certificate, if it has one."""
    trust = ["--ca", authority.pem] if authority else []
    own = [part for pair in zip(("--cert", "--key"), shows) for part in pair]
    said = run(EXAMPLES / "tls_check", f"localhost:{port}", *trust, *own, fails=fails)
    points = dict(re.findall(r"^(\S+(?: \S+)?) +((?:good|fair|BAD) .*)$", said, re.MULTILINE))
    assert len(points) == 10, said
    return points


def ten_points_are_in_order(port, authority):
    points = ten_points(port, authority)
    fair = [name for name, found in points.items() if not found.startswith("good")]
    assert fair == ["OCSP staple"] and "TLSv1.3" in points["version"], points
    assert "its issuer is unknown" in ten_points(port, fails=True)["chain"]


@contextmanager
def openssl_server(*arguments):
    """OpenSSL's server, which answers with a page of its own; and its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["openssl", "s_server", "-accept", port, "-www", *arguments]
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < end, f"{command} accepts nothing"
                time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


def our_client_meets_openssl(directory):
    """The client against another's TLS: versions, certificates that it must not accept, staples of OCSP."""
    authority, stranger = Authority(directory, "authority"), Authority(directory, "stranger")
    good, key = authority.sign("good", "server")
    own = ["-cert", good, "-key", key]
    of = lambda file, **rest: [part for pair in zip(("-cert", "-key"), authority.sign(file, "server", **rest)) for part in pair]
    cases = [
        (own, {"chain": "good", "version": "good TLSv1.3", "resumption": "good", "OCSP": "fair"}),
        ([*own, "-tls1_2"], {"chain": "good", "version": "fair TLSv1.2", "resumption": "good", "renegotiation": "good secure"}),
        ([*own, "-tls1_3"], {"chain": "good", "version": "good TLSv1.3", "renegotiation": "good there is none"}),
        ([*own, "-status_file", authority.answer(good, "V")], {"chain": "good", "OCSP": "good"}),
        ([*own, "-status_file", authority.answer(good, "R")], {"chain": "BAD it was revoked", "OCSP": "BAD"}),
        ([*own, "-tls1_2", "-status_file", authority.answer(good, "R")], {"chain": "BAD it was revoked", "OCSP": "BAD"}),
        (of("expired", days=-1), {"chain": "BAD it has expired", "expiry": "BAD"}),
        (of("wrong", names="DNS:wrong.example"), {"chain": "BAD it is for other names"}),
        (of("rsa", kind="rsa"), {"chain": "good", "key size": "good RSA, 2048 bits"}),
        (["-cert", stranger.sign("other", "server")[0], "-key", directory / "other.key"], {"chain": "BAD its issuer is unknown"}),
    ]
    for arguments, expected in cases:
        with openssl_server(*arguments) as port:
            points = ten_points(port, authority, fails=any(text.startswith("BAD") for text in expected.values()))
        for name, text in expected.items():
            found = re.sub(" +", " ", next(found for point, found in points.items() if point.startswith(name)))
            assert found.startswith(text), f"{arguments}: {name}: {found}"
    # One that asks for a certificate, and ends what comes without a right one.
    asks = ["-Verify", "1", "-verify_return_error", "-CAfile", authority.pem]
    ada, eve = authority.sign("ada", "Ada"), stranger.sign("eve", "Eve")
    shown = [(version, *case) for version in ("-tls1_2", "-tls1_3") for case in ((ada, "good"), (eve, "BAD"), ((), "BAD"))]
    for version, shows, verdict in shown:
        with openssl_server(*own, *asks, version) as port:
            chain = ten_points(port, authority, fails=verdict == "BAD", shows=shows)["chain"]
        assert chain.startswith(verdict), f"{version}, {shows}: {chain}"
    print(f"    {len(cases) + len(shown)} servers of OpenSSL")


CHECKS = [
    ten_points_are_in_order,
    curl_speaks_each_version,
    curl_moves_bodies,
    names_choose_certificates,
    plain_http_is_answered,
    openssl_resumes,
    tlslite_agrees,
    a_million_small_records_hold_nobody_up,
]


def check(driver, directory):
    authority = Authority(directory)
    cert, key = authority.sign("server", "server")
    names = "DNS:other.example,DNS:*.other.example"
    other, other_key = authority.sign("other", "other", kind="rsa", names=names)
    arguments = ["--cert", cert, "--key", key, "--other-cert", other, "--other-key", other_key]
    with server("tls", driver, *arguments) as (process, port):
        for one in CHECKS:
            say(one, driver, lambda: one(port, authority))

        def renew():
            new, new_key = authority.sign("new", "server")
            for file, place in ((new, cert), (new_key, key)):
                shutil.move(file, place)

        say(nothing_fails_while_certificates_are_renewed, driver,
            lambda: nothing_fails_while_certificates_are_renewed(port, authority, process, renew))
        if driver == "io_uring":
            say(testssl_finds_nothing, driver, lambda: testssl_finds_nothing(port, authority))
    say(clients_show_certificates, driver, lambda: clients_show_certificates(driver, directory))


def say(one, driver, call):
    begin = time.monotonic()
    call()
    print(f"{driver}: {one.__name__.replace('_', ' ')}, {time.monotonic() - begin:.1f} s", flush=True)


def main():
    with tempfile.TemporaryDirectory() as directory:
        say(our_client_meets_openssl, "client", lambda: our_client_meets_openssl(Path(directory)))
    for driver in sys.argv[2:] or ["io_uring", "epoll"]:
        with tempfile.TemporaryDirectory() as directory:
            check(driver, Path(directory))


if __name__ == "__main__":
    EXAMPLES = Path(sys.argv[1])
    main()
