// The surface of the benchmark server on Node's own HTTP server, one process.
'use strict';

const http = require('node:http');

const port = Number(process.argv[process.argv.indexOf('--port') + 1]);
const bodies = new Map();

function bytes(length) {
  if (!bodies.has(length)) bodies.set(length, Buffer.alloc(length, 'x'));
  return bodies.get(length);
}

function answer(response, status, type, body, fields) {
  response.writeHead(status, {
    'content-type': type, 'content-length': Buffer.byteLength(body), server: 'node', ...fields,
  });
  response.end(body);
}

function text(response, body) {
  answer(response, 200, 'text/plain; charset=utf-8', body);
}

const server = http.createServer((request, response) => {
  const { method, url } = request;
  if (method === 'POST' && url === '/echo') {
    const length = request.headers['content-length'];
    response.writeHead(200, {
      'content-type': 'application/octet-stream', server: 'node', ...(length && { 'content-length': length }),
    });
    request.pipe(response);
  } else if (method !== 'GET') {
    answer(response, 405, 'text/plain', 'Method Not Allowed\n', { allow: 'GET, HEAD, OPTIONS' });
  } else if (url === '/plaintext') {
    text(response, 'Hello, World!');
  } else if (url === '/json') {
    answer(response, 200, 'application/json', JSON.stringify({ message: 'Hello, World!' }));
  } else if (url.startsWith('/users/')) {
    text(response, `user ${url.slice(7)}\n`);
  } else if (url.startsWith('/bytes/')) {
    answer(response, 200, 'application/octet-stream', bytes(Number(url.slice(7))));
  } else if (url === '/') {
    text(response, 'ready\n');
  } else {
    answer(response, 404, 'text/plain', 'Not Found\n');
  }
});
server.keepAliveTimeout = 600_000;
server.listen({ port, host: '127.0.0.1', backlog: 4096 });
