"""The requests that compare.py sends to both servers. Their names are what differences.toml refers to."""

import base64
from dataclasses import dataclass, field


@dataclass
class Request:
    """One request, and how its answer is looked at."""

    name: str
    target: str
    method: str = "GET"
    headers: list = field(default_factory=list)
    body: bytes = b""
    # json, lines (of JSON), text, bytes, length, links, or own: a text of our own, of which only the presence counts.
    look: str = "json"
    # Fields to compare beside those of compare.py.
    also: tuple = ()
    # Credentials for the challenge that the first answer brings: (user, password).
    digest: tuple = ()
    # Seconds that the answer takes at least.
    at_least: float = 0.0


def basic(user, password):
    return [("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())]


FORM = [("Content-Type", "application/x-www-form-urlencoded")]
JSON = [("Content-Type", "application/json")]
MULTIPART = [("Content-Type", "multipart/form-data; boundary=XX")]


def part(name, content, file=None, kind=None):
    disposition = f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{file}"' if file else "")
    kind = f"\r\nContent-Type: {kind}" if kind else ""
    return f"--XX\r\n{disposition}{kind}\r\n\r\n".encode() + content + b"\r\n"


END = b"--XX--\r\n"

R = Request
REQUESTS = [
    # What was sent.
    R("get", "/get"),
    R("get-args", "/get?a=1&b=two%20words&c=x+y&d="),
    R("get-args-repeated", "/get?a=1&a=2&a=3&b=4"),
    R("get-utf8-arg", "/get?a=%C3%A9"),
    R("get-headers", "/get", headers=[("X-One", "1"), ("x-two-words", "2"), ("Accept-Language", "de, en;q=0.5")]),
    R("get-headers-repeated", "/get", headers=[("X-One", "1"), ("X-One", "2")]),
    R("get-latin1-header", "/get", headers=[("X-One", "caf\u00e9")]),
    R("get-behind-proxy", "/get", headers=[("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https")]),
    R("get-show-env", "/get?show_env=1", headers=[("X-Forwarded-For", "203.0.113.7"), ("Via", "1.1 a")]),
    R("get-head", "/get", method="HEAD"),
    R("get-options", "/get", method="OPTIONS"),
    R("get-by-post", "/get", method="POST", look="own"),
    R("get-with-origin", "/get", headers=[("Origin", "https://a.example")]),
    R("get-preflight", "/get", method="OPTIONS", headers=[
        ("Origin", "https://a.example"),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "x-one"),
    ]),
    R("headers", "/headers", headers=[("X-One", "1")]),
    R("ip", "/ip"),
    R("ip-behind-proxy", "/ip", headers=[("X-Forwarded-For", "203.0.113.7")]),
    R("user-agent", "/user-agent", headers=[("User-Agent", "compare/1")]),
    R("user-agent-none", "/user-agent"),
    R("post-nothing", "/post", method="POST"),
    R("post-text", "/post", method="POST", headers=[("Content-Type", "text/plain")], body=b"some text"),
    R("post-untyped", "/post", method="POST", body=b"some text"),
    R("post-binary", "/post", method="POST", headers=[("Content-Type", "image/png")], body=b"\xff\xfe\x00"),
    R("post-json", "/post", method="POST", headers=JSON, body=b'{"a": [1, 2.5, null, "\xc3\xa9"]}'),
    R("post-json-broken", "/post", method="POST", headers=JSON, body=b'{"a": '),
    R("post-form", "/post", method="POST", headers=FORM, body=b"a=1&b=x+y&b=%C3%A9&c="),
    R("post-chunked", "/post", method="POST", headers=FORM + [("Transfer-Encoding", "chunked")],
      body=b"3\r\na=1\r\n2\r\n23\r\n0\r\n\r\n"),
    R("post-multipart", "/post", method="POST", headers=MULTIPART,
      body=part("a", b"1") + part("a", b"2") + part("b", b"\xc3\xa9") + END),
    R("post-file", "/post", method="POST", headers=MULTIPART,
      body=part("a", b"1") + part("f", b"text", "f.txt", "text/plain") + END),
    R("post-binary-file", "/post", method="POST", headers=MULTIPART,
      body=part("f", b"\xff\xfe", "f.bin", "image/png") + END),
    R("post-files-of-one-name", "/post", method="POST", headers=MULTIPART,
      body=part("f", b"1", "1.txt", "text/plain") + part("f", b"2", "2.txt", "text/plain") + END),
    R("put-json", "/put", method="PUT", headers=JSON, body=b"[true]"),
    R("patch-form", "/patch", method="PATCH", headers=FORM, body=b"a=1"),
    R("delete", "/delete?a=1", method="DELETE"),
    R("delete-with-body", "/delete", method="DELETE", headers=JSON, body=b'{"a":1}'),
    R("anything-get", "/anything?a=1"),
    R("anything-post", "/anything", method="POST", headers=FORM, body=b"a=1"),
    R("anything-below", "/anything/a/b/c", method="PUT", body=b"x"),
    R("anything-trace", "/anything", method="TRACE"),
    R("anything-encoded", "/anything/a%20b"),
    R("anything-encoded-slash", "/anything/a%2Fb?q=%26"),
    R("anything-options", "/anything", method="OPTIONS"),
    # Statuses and redirects.
    *(R(f"status-{code}", f"/status/{code}", look="own", also=("proxy-authenticate",))
      for code in (200, 201, 204, 301, 302, 303, 304, 305, 307, 308, 400, 401, 402, 403, 404, 405, 407, 410, 418, 429, 500, 503)),
    R("status-406", "/status/406"),
    R("status-599", "/status/599", look="own"),
    R("status-post", "/status/202", method="POST", body=b"x", look="own"),
    R("status-by-chance", "/status/200:1,500:0", look="own"),
    R("status-no-number", "/status/ok", look="text"),
    R("redirect-1", "/redirect/1", look="own"),
    R("redirect-3", "/redirect/3", look="own"),
    R("redirect-3-absolute", "/redirect/3?absolute=true", look="own"),
    R("redirect-relative-1", "/relative-redirect/1", look="own"),
    R("redirect-relative-4", "/relative-redirect/4", look="own"),
    R("redirect-absolute-1", "/absolute-redirect/1", look="own"),
    R("redirect-absolute-4", "/absolute-redirect/4", look="own"),
    R("refused-redirect-0", "/redirect/0", look="own"),
    R("refused-redirect-x", "/redirect/x", look="own"),
    R("to", "/redirect-to?url=/get", look="own"),
    R("to-307", "/redirect-to?url=http%3A%2F%2Fa.example%2Fb%3Fc%3Dd&status_code=307", method="POST", look="own"),
    R("to-200", "/redirect-to?url=/get&status_code=200", look="own"),
    R("to-utf8", "/redirect-to?url=http://a.example/%C3%A9%20x", look="own"),
    R("to-upper-case", "/redirect-to?URL=/get", look="own"),
    R("to-nowhere", "/redirect-to", look="own"),
    R("refused-nowhere", "/nowhere", look="own"),
    R("refused-trailing-slash", "/get/", look="own"),
    # Cookies.
    R("cookies", "/cookies", headers=[("Cookie", "a=1; b=two; a=3")]),
    R("cookies-none", "/cookies"),
    R("cookies-quoted", "/cookies", headers=[("Cookie", 'a="1"')]),
    R("cookies-set", "/cookies/set?a=1&b=two", look="own"),
    R("cookies-set-one", "/cookies/set/a/1", look="own"),
    R("cookies-set-space", "/cookies/set?a=two%20words", look="own"),
    R("cookies-set-twice", "/cookies/set?a=1&a=2", look="own"),
    R("cookies-delete", "/cookies/delete?a&b=", look="own"),
    # Authentication.
    R("basic-auth", "/basic-auth/ada/secret", headers=basic("ada", "secret")),
    R("basic-auth-wrong", "/basic-auth/ada/secret", headers=basic("ada", "guess"), look="own"),
    R("basic-auth-none", "/basic-auth/ada/secret", look="own"),
    R("basic-auth-broken", "/basic-auth/ada/secret", headers=[("Authorization", "Basic ?")], look="own"),
    R("basic-auth-other-scheme", "/basic-auth/ada/secret", headers=[("Authorization", "Bearer x")], look="own"),
    R("basic-auth-encoded", "/basic-auth/ada/s%C3%A9cret", headers=basic("ada", "s\u00e9cret")),
    R("hidden-auth", "/hidden-basic-auth/ada/secret", headers=basic("ada", "secret")),
    R("hidden-auth-none", "/hidden-basic-auth/ada/secret", look="own"),
    R("bearer", "/bearer", headers=[("Authorization", "Bearer abc.def")]),
    R("bearer-none", "/bearer", look="own"),
    R("bearer-other-scheme", "/bearer", headers=basic("ada", "secret"), look="own"),
    R("digest-none", "/digest-auth/auth/ada/secret", look="own"),
    R("digest-none-int", "/digest-auth/auth-int/ada/secret/SHA-512", look="own"),
    R("digest-none-any", "/digest-auth/any/ada/secret/SHA-256/3", look="own"),
    R("digest-ok", "/digest-auth/auth/ada/secret", digest=("ada", "secret")),
    R("digest-ok-int", "/digest-auth/auth-int/ada/secret", digest=("ada", "secret")),
    R("digest-ok-sha-256", "/digest-auth/auth/ada/secret/SHA-256", digest=("ada", "secret")),
    R("digest-ok-sha-512", "/digest-auth/auth/ada/secret/SHA-512", digest=("ada", "secret")),
    R("digest-ok-stale-soon", "/digest-auth/auth/ada/secret/MD5/2", digest=("ada", "secret"),
      headers=[("Cookie", "stale_after=2")]),
    R("digest-ok-require-cookie", "/digest-auth/auth/ada/secret?require-cookie=1", digest=("ada", "secret"),
      headers=[("Cookie", "fake=fake_value")]),
    R("digest-wrong", "/digest-auth/auth/ada/secret", digest=("ada", "guess"), look="own"),
    R("digest-wrong-stale", "/digest-auth/auth/ada/secret/MD5/0", digest=("ada", "secret"), look="own",
      headers=[("Cookie", "stale_after=0")]),
    R("digest-other-cookie", "/digest-auth/auth/ada/secret?require-cookie=1", digest=("ada", "secret"),
      headers=[("Cookie", "other=1")]),
    # Codings, streams, bytes.
    R("gzip", "/gzip"),
    R("deflate", "/deflate"),
    R("brotli", "/brotli"),
    R("stream", "/stream/3?a=1", look="lines"),
    R("stream-0", "/stream/0", look="lines"),
    R("stream-most", "/stream/1000", look="lines"),
    R("stream-bytes", "/stream-bytes/25000", look="length"),
    R("stream-bytes-seed", "/stream-bytes/100?seed=1&chunk_size=7", look="length"),
    R("bytes", "/bytes/1000", look="length"),
    R("bytes-seed", "/bytes/20?seed=1", look="bytes"),
    R("bytes-most", "/bytes/1000000", look="length"),
    R("bytes-0", "/bytes/0", look="length"),
    R("drip", "/drip?numbytes=5&duration=0.2&delay=0.1", look="bytes", at_least=0.25),
    R("drip-code", "/drip?numbytes=2&duration=0&code=503", look="bytes"),
    R("drip-nothing", "/drip?numbytes=0", look="text"),
    R("delay", "/delay/0.3?a=1", at_least=0.3),
    R("delay-post", "/delay/0", method="POST", headers=FORM, body=b"a=1"),
    R("range-whole", "/range/100", look="bytes"),
    R("range-first", "/range/100", headers=[("Range", "bytes=0-9")], look="bytes"),
    R("range-open", "/range/100", headers=[("Range", "bytes=90-")], look="bytes"),
    R("range-last", "/range/100", headers=[("Range", "bytes=-5")], look="bytes"),
    R("range-beyond", "/range/100", headers=[("Range", "bytes=200-")], look="own"),
    R("range-to-beyond", "/range/100", headers=[("Range", "bytes=90-200")], look="own"),
    R("range-nonsense", "/range/100", headers=[("Range", "pages=1-2")], look="bytes"),
    R("range-paced", "/range/20?duration=0.2&chunk_size=5", look="bytes", at_least=0.2),
    R("range-0", "/range/0", look="own"),
    R("links", "/links/5/2", look="links"),
    R("links-redirect", "/links/5", look="own"),
    R("uuid", "/uuid"),
    R("base64", "/base64/SGVsbG8sIHdvcmxk", look="text"),
    R("base64-url", "/base64/w7zDvz8_Pg==", look="text"),
    R("base64-broken", "/base64/a", look="own"),
    # Caching.
    R("cache", "/cache"),
    R("cache-modified-since", "/cache", headers=[("If-Modified-Since", "Sat, 29 Oct 1994 19:43:31 GMT")], look="own"),
    R("cache-none-match", "/cache", headers=[("If-None-Match", '"x"')], look="own"),
    R("cache-for", "/cache/60"),
    R("etag", "/etag/abc"),
    R("etag-none-match", "/etag/abc", headers=[("If-None-Match", '"abc"')], look="own"),
    R("etag-none-match-list", "/etag/abc", headers=[("If-None-Match", '"x", W/"abc"')], look="own"),
    R("etag-none-match-other", "/etag/abc", headers=[("If-None-Match", '"x"')]),
    R("etag-none-match-any", "/etag/abc", headers=[("If-None-Match", "*")], look="own"),
    R("etag-match", "/etag/abc", headers=[("If-Match", '"abc"')]),
    R("etag-match-other", "/etag/abc", headers=[("If-Match", '"x"')], look="own"),
    R("response-headers", "/response-headers?Freeform=a&X-Two=1&X-Two=2", also=("freeform", "x-two")),
    R("response-headers-post", "/response-headers?freeform=a%20b", method="POST", also=("freeform",)),
    # Documents.
    R("html", "/html", look="own"),
    R("json", "/json"),
    R("xml", "/xml", look="own"),
    R("robots", "/robots.txt", look="text"),
    R("deny", "/deny", look="own"),
    R("utf8", "/encoding/utf8", look="own"),
    R("forms", "/forms/post", look="own"),
    R("index", "/", look="own"),
    *(R(f"image-{kind}", f"/image/{kind}", look="own") for kind in ("png", "jpeg", "svg", "webp")),
    R("image-any", "/image", look="own"),
    R("image-accept-webp", "/image", headers=[("Accept", "image/webp")], look="own"),
    R("image-accept-jpeg", "/image", headers=[("Accept", "text/html, image/jpeg")], look="own"),
    R("image-accept-image", "/image", headers=[("Accept", "image/*")], look="own"),
    R("image-accept-weights", "/image", headers=[("Accept", "image/webp;q=0.1, image/jpeg")], look="own"),
    R("image-accept-all", "/image", headers=[("Accept", "*/*")], look="own"),
    R("image-accept-text", "/image", headers=[("Accept", "text/html")]),
]

# What the original answers with 500, or not at all: what ours answers, and goes on to serve.
REFUSED = [
    ("/redirect/99999999999999999999", 404),
    ("/redirect/-1", 404),
    ("/redirect-to?url=%0d%0aset-cookie:%20a=1", 400),
    ("/redirect-to?url=/&status_code=x", 400),
    ("/status/99", 400),
    ("/status/101", 400),
    ("/status/1000", 400),
    ("/status/200:nan,500:1", 400),
    ("/status/200:-1", 400),
    ("/delay/x", 400),
    ("/delay/nan", 400),
    ("/delay/-1", 200),
    ("/drip?numbytes=x", 400),
    ("/drip?code=100", 400),
    ("/bytes/5?seed=x", 400),
    ("/bytes/99999999999999999999", 404),
    ("/range/18446744073709551615", 404),
    ("/stream-bytes/10?chunk_size=0", 200),
    ("/cookies/set?a%3D=1", 400),
    ("/cookies/set?a=%0d%0ab:c", 302),
    ("/etag/a%22b", 400),
    ("/response-headers?Content-Length=5", 400),
    ("/response-headers?Transfer-Encoding=chunked", 400),
    ("/response-headers?a%20b=1", 400),
    ("/response-headers?a=%0d%0ab:c", 400),
    ("/get?a=%ff", 400),
    ("/anything/%ff", 200),
    ("/base64/%ff", 400),
    ("/basic-auth/%ff/x", 400),
    ("/digest-auth/auth/ada/secret/MD5/%0d%0a", 401),
]
