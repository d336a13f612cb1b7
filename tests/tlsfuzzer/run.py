#!/usr/bin/env python3
"""Runs the scripts of tlsfuzzer that scripts.toml names against the example `tls`.

    tests/tlsfuzzer/run.py TLSFUZZER SERVER [SCRIPT...]

TLSFUZZER is a checkout of https://github.com/tlsfuzzer/tlsfuzzer (its requirements, tlslite-ng among them, are installed in a
venv below target/), SERVER the built example. The server gets an RSA certificate, which most scripts expect.
"""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE.parent.parent / "target" / "tlsfuzzer-venv"
CIPHER = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"


def venv(checkout):
    """The interpreter that has what the scripts need."""
    python = VENV / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        requirements = (checkout / "requirements.txt").read_text().split()
        subprocess.run([VENV / "bin" / "pip", "install", "-q", "--pre", *requirements], check=True)
    return python


def start(server, directory):
    """The server, and where it listens."""
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", directory / "key.pem", "-out", directory / "chain.pem"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "36500"]
    subprocess.run([*make, *names, *files], check=True, stderr=subprocess.DEVNULL)
    arguments = ["--port", "0", "--cert", directory / "chain.pem", "--key", directory / "key.pem"]
    process = subprocess.Popen([server, *arguments], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if found := re.search(r"^url +https://127\.0\.0\.1:(\d+)/", line):
            return process, found[1]
    raise SystemExit("the server does not say where it listens")


def run(python, checkout, name, wanted, port):
    """Runs one script; gives its counts and whether all was well."""
    command = [python, f"scripts/{name}.py", "-h", "localhost", "-p", port, *wanted.get("arguments", [])]
    if wanted.get("cipher"):
        command += ["-C", CIPHER]
    for probe in wanted.get("without", []):
        command += ["-e", probe]
    done = subprocess.run(command, cwd=checkout, env=os.environ | {"PYTHONPATH": str(checkout)},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    counts = dict(re.findall(r"^(TOTAL|PASS|XFAIL|FAIL|XPASS): (\d+)$", done.stdout, re.M))
    well = done.returncode == 0 and counts.get("FAIL") == "0" and int(counts.get("TOTAL", 0)) > 0
    if not well:
        print(done.stdout[-3000:])
    return well, counts


def main():
    checkout, server = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    scripts = tomllib.loads((HERE / "scripts.toml").read_text())
    python = venv(checkout)
    total = failed = 0
    with tempfile.TemporaryDirectory() as directory:
        process, port = start(server, Path(directory))
        try:
            for name in sys.argv[3:] or scripts:
                well, counts = run(python, checkout, name, scripts[name], port)
                total += int(counts.get("TOTAL", 0))
                failed += not well
                print(f"{name}: {'ok' if well else 'FAILED'} {counts}", flush=True)
            if process.poll() is not None:
                raise SystemExit("the server is gone")
        finally:
            process.terminate()
            process.wait(20)
    print(f"{total} conversations in {len(sys.argv[3:] or scripts)} scripts, {failed} scripts failed")
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    main()
