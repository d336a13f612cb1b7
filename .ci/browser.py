#!/usr/bin/env python3
"""Opens the examples' pages in a real browser, headless, and uses them as a person would.

    browser.py DIRECTORY [DRIVER …]

DIRECTORY has the built examples `upload`, `sse`, `files`, `chat`, `log_monitor` and `ws_echo`; drivers are `io_uring` and `epoll`, both unless named.
Needs Debian's `chromium` and `chromium-driver`, and PyPI's `selenium`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

# Seconds within which anything has to happen: a wait ends as soon as it has. Both cores may be busy otherwise.
PATIENCE = 30


class Server:
    """An example that runs. `address` is where it listens; port 0 gave it a free port."""

    def __init__(self, name, driver, *args, port=0):
        command = [EXAMPLES / name, "--port", str(port), "--driver", driver, *args]
        self.name = name
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.output = ""
        try:
            self.url = wait_for(self.announced, f"{name} says where it listens")
        except BaseException:
            self.kill()
            raise
        self.port = int(self.url.rstrip("/").rsplit(":", 1)[1])
        assert driver in self.output, f"{name} does not run on {driver}:\n{self.output}"

    def announced(self):
        assert self.process.poll() is None, f"{self.name} has ended: {self.output}"
        self.output += (self.process.stdout.read() or b"").decode()
        lines = self.output.splitlines()
        return next((line.split()[1] for line in lines if line.startswith("url ")), None)

    def stop(self):
        """As a supervisor does: it has to end by itself, in time and with success."""
        self.process.terminate()
        code = self.process.wait(PATIENCE)
        assert code == 0, f"{self.name} ended with {code}"

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)


@contextmanager
def serving(name, driver, *args):
    server = Server(name, driver, *args)
    try:
        yield server
        server.stop()
    finally:
        server.kill()


def wait_for(condition, what):
    """What `condition` gives as soon as that is true."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {PATIENCE} s")


@contextmanager
def browser(directory):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in (
        "--headless=new",
        "--no-sandbox",  # Chromium's sandbox does not work for root, who runs CI.
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--no-first-run",
        f"--user-data-dir={directory}/profile",
    ):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": f"{directory}/downloads"})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    chromium = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    chromium.set_page_load_timeout(PATIENCE)
    chromium.set_script_timeout(PATIENCE)
    try:
        yield chromium
    finally:
        chromium.quit()


def text(chromium, element):
    return chromium.find_element(By.ID, element).text


def wait_in(chromium, condition, what):
    return WebDriverWait(chromium, PATIENCE, 0.05).until(condition, what)


def uploads(chromium, driver, directory):
    """A file goes to the server by the form and comes back by its link, and is the same both times."""
    content = os.urandom(5_000_000)
    # Characters that URLs and header fields quote.
    file = directory / "Größe 100% #1.bin"
    file.write_bytes(content)
    stored = directory / f"stored-{driver}"
    (directory / "downloads").mkdir(exist_ok=True)
    with serving("upload", driver, "--directory", str(stored)) as server:
        chromium.get(server.url)
        chromium.find_element(By.ID, "files").send_keys(str(file))
        chromium.find_element(By.ID, "send").click()
        wait_in(chromium, lambda page: text(page, "state") == "stored", "the page says that the file is stored")
        assert [entry.name for entry in stored.iterdir()] == [file.name], list(stored.iterdir())
        assert (stored / file.name).read_bytes() == content, "the stored file differs"
        progress = chromium.find_element(By.ID, "progress").get_property("value")
        assert progress == 1, f"progress stopped at {progress}"

        link = wait_in(chromium, lambda page: page.find_element(By.LINK_TEXT, file.name), "the file is listed")
        downloaded = directory / "downloads" / file.name
        downloaded.unlink(missing_ok=True)
        link.click()
        # It has its name when it is complete.
        wait_for(downloaded.exists, "the file is downloaded")
        assert downloaded.read_bytes() == content, "the downloaded file differs"
        assert chromium.current_url == server.url, "the download left the page"


def events(chromium, driver, _):
    """Events arrive; when their server is killed and another takes its place, they go on where they were."""

    def count(page):
        shown = text(page, "count")
        return int(shown) if shown.isdigit() else 0

    with serving("sse", driver) as server:
        chromium.get(server.url)
        chromium.execute_script("window.isTheSamePage = true")
        wait_in(chromium, lambda page: count(page) >= 3, "three events arrive")
        lines = chromium.find_elements(By.CSS_SELECTOR, "#seen li")
        assert len(lines) >= 3, f"{len(lines)} events in the list"
        assert text(chromium, "clock").startswith("20"), text(chromium, "clock")

        server.kill()
        wait_in(chromium, lambda page: text(page, "state") == "waiting", "the page notices the loss")
        seen = count(chromium)
        server.process = Server("sse", driver, port=server.port).process
        wait_in(chromium, lambda page: count(page) >= seen + 3, "events go on behind the last one seen")
        # A counter that began anew, or left something out, would not be the one before and 1.
        assert text(chromium, "unbroken") == "yes", "there is a gap in the events"
        assert chromium.execute_script("return window.isTheSamePage") is True, "the page was loaded anew"


def files(chromium, driver, directory):
    """A page that is loaded again is not sent again: all of it is answered 304."""
    site = directory / f"site-{driver}"
    site.mkdir()
    (site / "index.html").write_text(
        '<!doctype html><link rel="icon" href="data:,"><link rel="stylesheet" href="style.css">'
        '<script src="page.js"></script><p id="text">static'
    )
    (site / "style.css").write_text("#text { color: rgb(1, 2, 3) }")
    (site / "page.js").write_text("window.scriptHasRun = true")
    names = ["", "page.js", "style.css"]
    with serving("files", driver, "--directory", str(site)) as server:
        statuses(chromium)
        chromium.get(server.url)
        assert statuses(chromium, server.url, names) == dict.fromkeys(names, 200)
        chromium.refresh()
        assert statuses(chromium, server.url, names) == dict.fromkeys(names, 304)
        # What the browser shows is what it has kept.
        colour = chromium.find_element(By.ID, "text").value_of_css_property("color")
        assert "1, 2, 3" in colour, colour
        assert chromium.execute_script("return window.scriptHasRun") is True

        (site / "style.css").write_text("#text { color: rgb(4, 5, 6) } /* changed */")
        # As long as the server may answer from memory.
        time.sleep(1.5)
        chromium.refresh()
        changed = statuses(chromium, server.url, names)
        assert changed == {"": 304, "page.js": 304, "style.css": 200}, changed


def chat(chromium, driver, directory):
    """Two people in two browsers see each other come, speak and go, whichever core each is on."""
    with serving("chat", driver) as server:
        with browser(directory / f"other-{driver}") as other:
            for page, name in ((chromium, "ada"), (other, "brian")):
                page.get(f"{server.url}?room=tea&name={name}")
                wait_in(page, lambda page: text(page, "state") == "connected", f"{name} is connected")
            for page in (chromium, other):
                wait_in(page, lambda page: text(page, "count") == "2", "two are here")
                wait_in(page, lambda page: text(page, "names") == "ada, brian", "both are named")
            for page, words in ((chromium, "Grüße 🎈 <b>"), (other, "x" * 900)):
                page.execute_script("element('text').value = arguments[0]", words)
                page.find_element(By.ID, "send").click()
                for reader in (chromium, other):
                    wait_in(reader, lambda page: text(page, "seen").endswith(words), "what is said arrives")
        # The other browser is closed now.
        wait_in(chromium, lambda page: "brian left" in text(page, "seen"), "who leaves is seen to leave")
        wait_in(chromium, lambda page: text(page, "count") == "1", "one is left")
    wait_in(chromium, lambda page: text(page, "state") == "closed 1001", "a stop is told to the page")


def log_monitor(chromium, driver, directory):
    """Lines show up as they are written, and a filter lets through what it is for."""
    log = directory / f"app-{driver}.log"
    log.write_text("before anybody watched\n")

    def write(line):
        with log.open("a") as file:
            file.write(f"{line}\n")

    with serving("log_monitor", driver, "--files", str(log)) as server:
        chromium.get(server.url)
        wait_in(chromium, lambda page: text(page, "state") == "connected", "the page is connected")
        # The file is followed from where it ended when it was first looked at.
        wait_for(lambda: write("first") or "first" in text(chromium, "lines"), "a line shows up")
        chromium.find_element(By.ID, "filter").send_keys("error")
        wait_for(lambda: write("an error") or "an error" in text(chromium, "lines"), "a line that passes shows up")
        # The filter may take a moment to get there; behind this line it has.
        shown = int(text(chromium, "count"))
        write("all is well")
        write("the last error")
        wait_in(chromium, lambda page: "the last error" in text(page, "lines"), "the last line shows up")
        assert int(text(chromium, "count")) > shown
        assert "all is well" not in text(chromium, "lines"), "the filter lets everything through"
        assert "before anybody" not in text(chromium, "lines")


def ws_echo(chromium, driver, _):
    """The browser's own WebSocket: text, binary, compressed, large, and how it is closed."""
    script = """
        const [url, done] = arguments, socket = new WebSocket(url), seen = {}, sizes = [0, 125, 126, 65535, 65536, 3000000];
        socket.binaryType = "arraybuffer";
        const text = "Grüße 🎈 ".repeat(10000), queue = [text, "", ...sizes.map((size) => new Uint8Array(size).fill(size % 251))];
        const bytes = (data) => new Uint8Array(data.buffer || data);
        const same = (a, b) => typeof a === "string" ? a === b
            : bytes(a).length === bytes(b).length && bytes(a).every((byte, at) => byte === bytes(b)[at]);
        let next = 0;
        socket.onopen = () => { seen.extensions = socket.extensions; socket.send(queue[0]); };
        socket.onmessage = ({ data }) => {
            if (!same(queue[next], data)) return done({ error: `message ${next} differs` });
            next += 1;
            next < queue.length ? socket.send(queue[next]) : socket.close(4321, "enough");
        };
        socket.onclose = (event) => done({ ...seen, next, code: event.code, reason: event.reason, clean: event.wasClean });
    """
    with serving("ws_echo", driver) as server:
        url = server.url.replace("http", "ws") + "ws"
        # A page of the server's own host: the browser sends an Origin.
        chromium.get(server.url)
        seen = chromium.execute_async_script(script, url)
        assert seen.get("next") == 8, seen
        assert seen["extensions"].startswith("permessage-deflate"), seen
        assert (seen["code"], seen["clean"]) == (4321, True), seen


def statuses(chromium, url="", names=()):
    """What came over the wire since the last call, by path: status codes before the browser's cache hides a 304."""
    urls, found = {}, {}

    def all_seen():
        for entry in chromium.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            request = event["params"].get("requestId")
            if event["method"] == "Network.requestWillBeSent":
                urls[request] = event["params"]["request"]["url"]
            elif event["method"] == "Network.responseReceivedExtraInfo":
                found[request] = event["params"]["statusCode"]
        return all(name in by_name() for name in names) or None

    def by_name():
        return {urls[request].removeprefix(url): code for request, code in found.items() if request in urls}

    wait_for(all_seen, f"answers for {names}")
    return by_name() if names else {}


def main(drivers):
    with tempfile.TemporaryDirectory(prefix="ringhttp-browser-", ignore_cleanup_errors=True) as directory:
        with browser(directory) as chromium:
            print(chromium.capabilities["browserName"], chromium.capabilities["browserVersion"])
            for driver in drivers:
                for test in (uploads, events, files, chat, log_monitor, ws_echo):
                    start = time.monotonic()
                    # The page of the test before would go on looking for its server.
                    chromium.get("about:blank")
                    chromium.get_log("browser")
                    test(chromium, driver, Path(directory))
                    errors = [line for line in chromium.get_log("browser") if line["level"] == "SEVERE"]
                    # While no server runs, the browser may say so.
                    errors = [line for line in errors if not (test is events and "ERR_" in line["message"])]
                    # The echo server has no page.
                    errors = [line for line in errors if not (test is ws_echo and "404" in line["message"])]
                    assert not errors, errors
                    print(f"{test.__name__:11} {driver:9} ok {time.monotonic() - start:6.1f} s", flush=True)


if len(sys.argv) < 2:
    sys.exit(__doc__)
EXAMPLES = Path(sys.argv[1]).absolute()
main(sys.argv[2:] or ["io_uring", "epoll"])
