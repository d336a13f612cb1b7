"""The surface of the benchmark server on aiohttp, with uvloop, one process."""

import functools
import json
import sys

import uvloop
from aiohttp import web


async def plaintext(_):
    return web.Response(text="Hello, World!", headers={"server": "aiohttp"})


async def as_json(_):
    return web.json_response({"message": "Hello, World!"}, dumps=functools.partial(json.dumps, separators=(",", ":")))


async def user(request):
    return web.Response(text=f"user {request.match_info['id']}\n")


@functools.cache
def filled(length):
    return b"x" * length


async def some_bytes(request):
    body = filled(int(request.match_info["length"]))
    return web.Response(body=body, content_type="application/octet-stream")


async def echo(request):
    response = web.StreamResponse(headers={"content-type": "application/octet-stream"})
    response.content_length = request.content_length
    await response.prepare(request)
    async for piece in request.content.iter_any():
        await response.write(piece)
    await response.write_eof()
    return response


async def index(_):
    return web.Response(text="ready\n")


app = web.Application(client_max_size=64 << 20)
app.add_routes([
    web.get("/", index),
    web.get("/plaintext", plaintext),
    web.get("/json", as_json),
    web.get("/users/{id}", user),
    web.get("/bytes/{length}", some_bytes),
    web.post("/echo", echo),
])
port = int(sys.argv[sys.argv.index("--port") + 1])
uvloop.install()
web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None, keepalive_timeout=600, backlog=4096)
