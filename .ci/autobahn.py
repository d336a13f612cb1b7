#!/usr/bin/env python3
"""The cases of the Autobahn test suite against the example `ws_echo`, by PyPI's `kosoku`.

    autobahn.py DIRECTORY DRIVER CASES …

DIRECTORY has the built example; CASES are patterns, as `1.*`. It fails unless every case is OK or informational, in what is
sent and in how it is closed: a case that is passed less strictly than it could be is a failure, too.
"""

import collections
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def main(directory, driver, patterns):
    server = subprocess.Popen(
        [directory / "ws_echo", "--port", "0", "--driver", driver], stdout=subprocess.PIPE, text=True
    )
    try:
        url = next(line.split()[1] for line in server.stdout if line.startswith("url "))
        url = url.replace("http", "ws", 1) + "ws"
        with tempfile.TemporaryDirectory() as reports:
            command = [Path(sys.executable).with_name("kosoku"), "-p", str(2 * (os.cpu_count() or 1)), "-o", reports]
            for pattern in patterns:
                command += ["-i", pattern]
            run = subprocess.run([*command, url], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            index = json.loads((Path(reports) / "index.json").read_text())
    finally:
        server.terminate()
        server.wait(20)
    cases = {case: found for agent in index.values() for case, found in agent.items()}
    counts = collections.Counter(found["behavior"] for found in cases.values())
    bad = {
        case: (found["behavior"], found["behaviorClose"])
        for case, found in sorted(cases.items())
        if found["behavior"] not in ("OK", "INFORMATIONAL") or found["behaviorClose"] not in ("OK", "INFORMATIONAL")
    }
    summary = ", ".join(f"{count} {behavior}" for behavior, count in sorted(counts.items()))
    print(f"{len(cases)} cases {' '.join(patterns)} on {driver}: {summary}; {len(bad)} FAILED or NON-STRICT")
    if bad or run.returncode != 0 or not cases:
        print(bad)
        print(run.stdout)
        sys.exit(1)


main(Path(sys.argv[1]).absolute(), sys.argv[2], sys.argv[3:])
