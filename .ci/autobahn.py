#!/usr/bin/env python3
"""The cases of the Autobahn test suite against the example `ws_echo`, or with `--client` against `ws_client`, by PyPI's
`kosoku`.

    autobahn.py DIRECTORY DRIVER [--client] CASES …

DIRECTORY has the built examples; CASES are patterns, as `1.*`. It fails unless every case is OK or informational, in what is
sent and in how it is closed: a case that is passed less strictly than it could be is a failure, too.
"""

import collections
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def kosoku(reports, patterns, *more):
    command = [Path(sys.executable).with_name("kosoku"), "-o", reports]
    for pattern in patterns:
        command += ["-i", pattern]
    return subprocess.Popen([*command, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def try_server(directory, driver, reports, patterns):
    server = subprocess.Popen(
        [directory / "ws_echo", "--port", "0", "--driver", driver], stdout=subprocess.PIPE, text=True
    )
    try:
        url = next(line.split()[1] for line in server.stdout if line.startswith("url "))
        url = url.replace("http", "ws", 1) + "ws"
        suite = kosoku(reports, patterns, "-p", str(2 * (os.cpu_count() or 1)), url)
        return suite, suite.communicate()[0]
    finally:
        server.terminate()
        server.wait(20)


def try_client(directory, driver, reports, patterns):
    suite = kosoku(reports, patterns, "-m", "fuzzingserver", "127.0.0.1:0")
    try:
        url = next(line.split()[-1] for line in suite.stdout if "listening on" in line)
        client = [directory / "ws_client", "--driver", driver, "--conformance", "on", "--url", url]
        subprocess.run(client, check=True, timeout=300)
        return suite, suite.communicate(timeout=60)[0]
    finally:
        suite.kill()


def main(directory, driver, patterns):
    role = try_server
    if patterns[0] == "--client":
        role, patterns = try_client, patterns[1:]
    with tempfile.TemporaryDirectory() as reports:
        suite, out = role(directory, driver, reports, patterns)
        index = json.loads((Path(reports) / "index.json").read_text())
    cases = {case: found for agent in index.values() for case, found in agent.items()}
    counts = collections.Counter(found["behavior"] for found in cases.values())
    bad = {
        case: (found["behavior"], found["behaviorClose"])
        for case, found in sorted(cases.items())
        if found["behavior"] not in ("OK", "INFORMATIONAL") or found["behaviorClose"] not in ("OK", "INFORMATIONAL")
    }
    summary = ", ".join(f"{count} {behavior}" for behavior, count in sorted(counts.items()))
    print(f"{len(cases)} cases {' '.join(patterns)} on {driver}, {role.__name__[4:]}: {summary}; {len(bad)} FAILED or NON-STRICT")
    if bad or suite.returncode != 0 or not cases:
        print(bad)
        print(out)
        sys.exit(1)


main(Path(sys.argv[1]).absolute(), sys.argv[2], sys.argv[3:])
