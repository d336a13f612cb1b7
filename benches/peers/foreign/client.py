"""aiohttp's client, with uvloop, as the load that `benches/peers/src/client.rs` describes."""

import asyncio
import sys
import time

import aiohttp
import uvloop
import yarl

WARM_UP_SECONDS = 0.2


async def ask(session, url, end, times_us):
    begun = time.perf_counter()
    while begun < end:
        async with session.get(url) as answer:
            body = await answer.read()
            if answer.status != 200 or len(answer.headers) != 8 or len(body) != 13:
                raise RuntimeError("another answer than expected")
        now = time.perf_counter()
        times_us.append(int((now - begun) * 1e6))
        begun = now


async def ask_for(seconds, connections, session, url):
    times_us = []
    end = time.perf_counter() + seconds
    await asyncio.gather(*(ask(session, url, end, times_us) for _ in range(connections)))
    return sorted(times_us)


async def main(url, connections, seconds):
    connector = aiohttp.TCPConnector(limit=connections)
    # No cookies, and the URL is parsed once: as the other peers have it.
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        await ask_for(WARM_UP_SECONDS, connections, session, url)
        print("ready", flush=True)
        start = time.perf_counter()
        times_us = await ask_for(seconds, connections, session, url)
        length = time.perf_counter() - start
        at = [times_us[len(times_us) * per_mille // 1000] for per_mille in (500, 990, 999)]
        print(len(times_us), length, *at, flush=True)
        # Its CPU time is read before this ends.
        sys.stdin.read()


uvloop.run(main(yarl.URL(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
