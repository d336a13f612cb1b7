"""What scenario.rs asks for, by the server of PyPI's aiohttp."""

from aiohttp import web

routes = web.RouteTableDef()


@routes.get("/get")
async def get(request):
    return web.json_response({"url": str(request.url)})


@routes.get("/status/204")
async def nothing(request):
    return web.Response(status=204)


@routes.get("/etag/abc")
async def named(request):
    if any(etag.value == "abc" for etag in request.if_none_match or ()):
        answer = web.Response(status=304)
    else:
        answer = web.Response(text="the content")
    answer.etag = "abc"
    return answer


@routes.get("/stream-bytes/{count}")
async def pieces(request):
    answer = web.StreamResponse()
    await answer.prepare(request)
    left = int(request.match_info["count"])
    while left:
        count = min(left, 7000)
        await answer.write(bytes(count))
        left -= count
    return answer


@routes.get("/gzip")
async def compressed(request):
    answer = web.json_response({"gzipped": True})
    answer.enable_compression(web.ContentCoding.gzip)
    return answer


@routes.get("/redirect/{count}")
async def elsewhere(request):
    left = int(request.match_info["count"]) - 1
    raise web.HTTPFound(f"/redirect/{left}" if left else "/get")


@routes.get("/cookies/set/{name}/{value}")
async def cookie(request):
    answer = web.HTTPFound("/cookies")
    answer.set_cookie(request.match_info["name"], request.match_info["value"])
    raise answer


@routes.get("/cookies")
async def cookies(request):
    return web.json_response({"cookies": dict(request.cookies)})


@routes.post("/post")
async def echo(request):
    return web.json_response({"data": await request.text()})


if __name__ == "__main__":
    app = web.Application(client_max_size=8 << 20)
    app.add_routes(routes)
    web.run_app(app, host="127.0.0.1", port=0, print=lambda text: print(text, flush=True))
