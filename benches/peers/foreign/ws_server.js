// The echo at /ws and the broadcast at /broadcast, on npm's `ws`, one process.
'use strict';

const http = require('node:http');
const { WebSocketServer } = require('ws');

const port = Number(process.argv[process.argv.indexOf('--port') + 1]);
const echo = new WebSocketServer({ noServer: true, perMessageDeflate: false });
const broadcast = new WebSocketServer({ noServer: true, perMessageDeflate: false });

echo.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
broadcast.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => {
    for (const other of broadcast.clients) other.send(data, { binary: isBinary });
  });
});

const server = http.createServer((_, response) => response.writeHead(426).end());
server.on('upgrade', (request, socket, head) => {
  const to = request.url === '/broadcast' ? broadcast : echo;
  to.handleUpgrade(request, socket, head, (opened) => to.emit('connection', opened, request));
});
server.listen({ port, host: '127.0.0.1', backlog: 4096 });
