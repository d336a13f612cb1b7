#!/usr/bin/env python3
"""Clients that are not ours against the example `ws_echo`: PyPI's `websockets` and `aiohttp`, and npm's `ws`; and the
example `ws_client` against the server of `websockets`.

    websocket_interop.py DIRECTORY NODE_MODULES [DRIVER …]

DIRECTORY has the built examples, NODE_MODULES the package `ws`; drivers are `io_uring` and `epoll`, both unless named.
"""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import aiohttp
import websockets

SIZES = [0, 1, 125, 126, 4096, 65535, 65536, 1_000_000]
LIMIT = 32 << 20

NODE = """
const WebSocket = require(process.argv[1] + "/ws");
const { url, sizes, compressed } = JSON.parse(process.argv[2]);
const socket = new WebSocket(url, { perMessageDeflate: compressed, maxPayload: 32 << 20 });
const queue = sizes.flatMap((size) => ["ü".repeat(size), Buffer.alloc(size, size % 251)]);
let next = 0, pongs = 0;
socket.on("pong", () => pongs++);
socket.on("open", () => { socket.ping("there?"); socket.send(queue[0]); });
socket.on("message", (data, isBinary) => {
  const sent = queue[next];
  const same = isBinary ? Buffer.isBuffer(sent) && data.equals(sent) : data.toString() === sent;
  if (!same) throw new Error(`message ${next} differs`);
  next += 1;
  next < queue.length ? socket.send(queue[next]) : socket.close(4000, "enough");
});
socket.on("close", (code) => {
  const good = code === 4000 && next === queue.length && pongs === 1;
  const agreed = socket.extensions.startsWith("permessage-deflate") === compressed;
  if (!good || !agreed) throw new Error(JSON.stringify({ code, next, pongs, extensions: socket.extensions }));
  console.log(next);
});
"""


def messages():
    for size in SIZES:
        yield "ü" * size
        yield bytes([size % 251]) * size


async def with_websockets(url, compressed):
    compression = "deflate" if compressed else None
    async with websockets.connect(url, compression=compression, max_size=LIMIT, subprotocols=["none.such"]) as socket:
        agreed = [extension.name for extension in socket.protocol.extensions]
        assert agreed == (["permessage-deflate"] if compressed else []), agreed
        assert socket.subprotocol is None
        count = 0
        for message in messages():
            await socket.send(message)
            assert await socket.recv() == message, f"message {count} differs"
            count += 1
        # In fragments, and in several messages at a time.
        await socket.send(["a", "ü" * 1000, "b"])
        assert await socket.recv() == "a" + "ü" * 1000 + "b"
        for number in range(200):
            await socket.send(str(number))
        for number in range(200):
            assert await socket.recv() == str(number)
        await asyncio.wait_for(await socket.ping(), 10)
        await socket.close(4000, "enough")
        assert (socket.close_code, socket.close_reason) == (4000, ""), (socket.close_code, socket.close_reason)
        return count + 201


async def with_aiohttp(url, compressed):
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url, compress=15 if compressed else 0, max_msg_size=LIMIT) as socket:
            assert bool(socket.compress) == compressed, socket.compress
            count = 0
            for message in messages():
                await (socket.send_str if isinstance(message, str) else socket.send_bytes)(message)
                answer = await socket.receive(timeout=20)
                assert answer.data == message, f"message {count} differs"
                count += 1
            await socket.close(code=4000)
            assert socket.close_code == 4000, socket.close_code
            return count


async def with_ws(url, compressed, modules):
    wanted = json.dumps({"url": url, "sizes": SIZES, "compressed": compressed})
    command = ["node", "-e", NODE, "--", str(modules), wanted]
    node = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    out, _ = await asyncio.wait_for(node.communicate(), 60)
    assert node.returncode == 0, f"node ended with {node.returncode}"
    return int(out)


async def refusals(url):
    """What opens no WebSocket is answered over HTTP."""
    async with aiohttp.ClientSession() as session:
        http = url.replace("ws", "http", 1)
        async with session.get(http) as answer:
            assert answer.status == 426 and answer.headers["Sec-WebSocket-Version"] == "13", answer
        try:
            async with session.ws_connect(url, origin="https://elsewhere.example"):
                raise AssertionError("a page of another origin opened a socket")
        except aiohttp.WSServerHandshakeError as error:
            assert error.status == 403, error


async def our_client(directory, driver):
    """The example `ws_client` against the server of `websockets`."""
    closes = []

    async def echo(socket):
        async for message in socket:
            await socket.send(message)
        closes.append((socket.close_code, socket.close_reason))

    for compressed in (False, True):
        compression = "deflate" if compressed else None
        async with websockets.serve(echo, "127.0.0.1", 0, compression=compression, max_size=LIMIT) as server:
            port = server.sockets[0].getsockname()[1]
            command = [directory / "ws_client", "--driver", driver, "--url", f"ws://127.0.0.1:{port}/"]
            client = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
            out, _ = await asyncio.wait_for(client.communicate(), 120)
        how = "compressed" if compressed else "plain"
        assert client.returncode == 0 and f"16 messages, {how}, closed with 1000" in out.decode(), out
        assert closes.pop() == (1000, "enough")
        print(f"{'ws_client':10} {driver:8} {how:10} ok, 16 messages", flush=True)


async def main(directory, modules, drivers):
    for driver in drivers:
        await our_client(directory, driver)
        command = [directory / "ws_echo", "--port", "0", "--driver", driver]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            url = next(line.split()[1] for line in server.stdout if line.startswith("url "))
            url = url.replace("http", "ws", 1) + "ws"
            await refusals(url)
            for client in (with_websockets, with_aiohttp, with_ws):
                for compressed in (False, True):
                    extra = [modules] if client is with_ws else []
                    count = await asyncio.wait_for(client(url, compressed, *extra), 120)
                    how = "compressed" if compressed else "plain"
                    print(f"{client.__name__[5:]:10} {driver:8} {how:10} ok, {count} messages", flush=True)
            server.terminate()
            assert server.wait(20) == 0
        finally:
            server.kill()
            server.wait()


asyncio.run(main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute(), sys.argv[3:] or ["io_uring", "epoll"]))
