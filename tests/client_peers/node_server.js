// What scenario.rs asks for, by the HTTP server of Node.
"use strict";
const http = require("node:http");
const zlib = require("node:zlib");

function json(answer, value, fields = {}) {
  answer.writeHead(200, { "Content-Type": "application/json", ...fields });
  answer.end(JSON.stringify(value));
}

function redirect(answer, target, fields = {}) {
  answer.writeHead(302, { Location: target, "Content-Length": 0, ...fields });
  answer.end();
}

function echo(request, answer) {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => json(answer, { data: Buffer.concat(pieces).toString() }));
}

const handlers = {
  get: (request, answer) => json(answer, { url: request.url }),
  status: (request, answer, code) => answer.writeHead(Number(code)).end(),
  etag: (request, answer, name) => {
    const isSame = request.headers["if-none-match"] === `"${name}"`;
    answer.writeHead(isSame ? 304 : 200, { ETag: `"${name}"` }).end(isSame ? undefined : "the content");
  },
  "stream-bytes": (request, answer, count) => {
    for (let left = Number(count); left > 0; left -= 7000) answer.write(Buffer.alloc(Math.min(left, 7000)));
    answer.end();
  },
  gzip: (request, answer) => {
    answer.writeHead(200, { "Content-Encoding": "gzip" });
    answer.end(zlib.gzipSync(JSON.stringify({ gzipped: true })));
  },
  redirect: (request, answer, count) => redirect(answer, count > 1 ? `/redirect/${count - 1}` : "/get"),
  cookies: (request, answer, set, name, value) => {
    if (set) redirect(answer, "/cookies", { "Set-Cookie": `${name}=${value}; Path=/` });
    else json(answer, { cookies: request.headers.cookie });
  },
  post: echo,
  trailers: (request, answer) => {
    answer.writeHead(200, { Trailer: "X-Checked" });
    answer.write("the content");
    answer.addTrailers({ "X-Checked": "yes" });
    answer.end();
  },
  // Neither a length nor chunks: the body ends with the connection.
  close: (request, answer) => {
    answer.useChunkedEncodingByDefault = false;
    answer.removeHeader("Transfer-Encoding");
    answer.removeHeader("Content-Length");
    answer.shouldKeepAlive = false;
    answer.write("from the beginning to ");
    setTimeout(() => answer.end("the end"), 20);
  },
};

const server = http.createServer((request, answer) => {
  const [, name, ...rest] = request.url.split("/");
  const handler = handlers[name];
  if (handler) handler(request, answer, ...rest);
  else answer.writeHead(404).end();
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
process.on("SIGTERM", () => process.exit(0));
