"""The echo at /ws and the broadcast at /broadcast, on aiohttp, with uvloop, one process."""

import sys

import uvloop
from aiohttp import WSMsgType, web

peers = set()


async def echo(request):
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
        elif message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
    return socket


async def broadcast(request):
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    peers.add(socket)
    try:
        async for message in socket:
            for peer in list(peers):
                await peer.send_bytes(message.data)
    finally:
        peers.discard(socket)
    return socket


app = web.Application()
app.add_routes([web.get("/ws", echo), web.get("/broadcast", broadcast)])
port = int(sys.argv[sys.argv.index("--port") + 1])
uvloop.install()
web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None, backlog=4096)
