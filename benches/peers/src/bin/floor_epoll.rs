//! Floor on epoll: edge-triggered, one recv and one send per batch of requests, prepared answers.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use ringhttp_peers::floor::{Answers, HEAD_BYTES_MAX};
use ringhttp_peers::{Options, listen};

fn main() -> io::Result<()> {
    let options = Options::start();
    let listener = listen(options.port)?;
    let poll = Poll::new()?;
    poll.add(listener.as_raw_fd(), libc::EPOLLIN)?;

    let mut responder =
        Responder { answers: Answers::new(), input: vec![0; INPUT_BYTES], output: Vec::new() };
    // Indexed by file descriptor: the kernel hands out the smallest free one, so the table stays dense.
    let mut connections: Vec<Option<Box<Connection>>> = Vec::new();
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX];
    loop {
        let ready = poll.wait(&mut events)?;
        responder.answers.refresh();
        for event in &events[..ready] {
            let fd = event.u64 as RawFd;
            if fd == listener.as_raw_fd() {
                while let Some(socket) = accept(fd) {
                    poll.add(
                        socket.as_raw_fd(),
                        libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET,
                    )?;
                    let index = socket.as_raw_fd() as usize;
                    connections.resize_with(connections.len().max(index + 1), || None);
                    connections[index] = Some(Box::new(Connection::new(socket)));
                }
            } else if let Some(connection) = &mut connections[fd as usize] {
                connection.end_seen |= event.events & ENDS != 0;
                connection.readable |= event.events & (READS | ENDS) != 0;
                if responder.drive(connection) == Progress::Closed {
                    connections[fd as usize] = None;
                }
            }
        }
    }
}

/// One client. What is kept here is only what did not fit into one pass; an idle connection holds no buffer.
struct Connection {
    socket: OwnedFd,
    readable: bool,
    end_seen: bool,
    closing: bool,
    echo_left: u64,
    /// The start of a request whose rest has not come.
    input_rest: Vec<u8>,
    /// Output the kernel did not take.
    output_rest: Vec<u8>,
    body_rest: &'static [u8],
}

#[derive(PartialEq)]
enum Progress {
    Waiting,
    Closed,
}

impl Connection {
    fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            readable: false,
            end_seen: false,
            closing: false,
            echo_left: 0,
            input_rest: Vec::new(),
            output_rest: Vec::new(),
            body_rest: &[],
        }
    }

    fn output_waits(&self) -> bool {
        !self.output_rest.is_empty() || !self.body_rest.is_empty()
    }

    /// Sends what an earlier pass left over.
    fn flush(&mut self) -> io::Result<()> {
        while self.output_waits() {
            let sent = send(&self.socket, &self.output_rest, self.body_rest)?;
            let from_output = sent.min(self.output_rest.len());
            self.output_rest.drain(..from_output);
            self.body_rest = &self.body_rest[sent - from_output..];
        }
        self.output_rest = Vec::new();
        Ok(())
    }
}

/// The buffers all connections take turns with.
struct Responder {
    answers: Answers,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Responder {
    /// Runs `connection` until it has to wait for the kernel.
    fn drive(&mut self, connection: &mut Connection) -> Progress {
        match self.run(connection) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Progress::Waiting,
            Ok(progress) => progress,
            Err(_) => Progress::Closed,
        }
    }

    fn run(&mut self, connection: &mut Connection) -> io::Result<Progress> {
        loop {
            if connection.output_waits() {
                connection.flush()?;
            }
            if connection.closing {
                return Ok(Progress::Closed);
            }
            let kept = connection.input_rest.len();
            self.input[..kept].copy_from_slice(&connection.input_rest);
            let mut received = 0;
            if connection.readable {
                received = match recv(&connection.socket, &mut self.input[kept..]) {
                    Ok(0) => return Ok(Progress::Closed),
                    Ok(received) => received,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                    Err(error) => return Err(error),
                };
                // epoll(7): a short read of a stream socket means that it is empty. Not so at its end.
                connection.readable = connection.end_seen || kept + received == self.input.len();
            }
            if received == 0 && (kept == 0 || self.answers_nothing(connection)) {
                return Ok(Progress::Waiting);
            }
            self.answer(connection, kept + received)?;
        }
    }

    /// True when the kept input holds no complete request, so that only the peer can get us further.
    fn answers_nothing(&self, connection: &Connection) -> bool {
        connection.echo_left == 0 && memchr::memmem::find(&connection.input_rest, b"\r\n\r\n").is_none()
    }

    fn answer(&mut self, connection: &mut Connection, filled: usize) -> io::Result<()> {
        self.output.clear();
        let pass = self.answers.answer(&self.input[..filled], &mut connection.echo_left, &mut self.output);
        connection.closing = pass.close;
        if pass.consumed < filled || !connection.input_rest.is_empty() {
            connection.input_rest = self.input[pass.consumed..filled].to_vec();
        }
        if self.output.is_empty() && pass.body.is_empty() {
            return Ok(());
        }
        let sent = match send(&connection.socket, &self.output, pass.body) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            sent => sent?,
        };
        let from_output = sent.min(self.output.len());
        if sent < self.output.len() + pass.body.len() {
            connection.output_rest = self.output[from_output..].to_vec();
            connection.body_rest = &pass.body[sent - from_output..];
        }
        Ok(())
    }
}

struct Poll(OwnedFd);

impl Poll {
    fn new() -> io::Result<Self> {
        // SAFETY: no pointers.
        let fd = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) } as isize)?;
        // SAFETY: the descriptor was just made and belongs to nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
    }

    fn add(&self, fd: RawFd, events: i32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: events as u32, u64: fd as u64 };
        // SAFETY: the pointer is to a live event; the kernel copies it.
        checked(
            unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) } as isize
        )?;
        Ok(())
    }

    fn wait(&self, events: &mut [libc::epoll_event]) -> io::Result<usize> {
        let room = events.len() as i32;
        // SAFETY: pointer and length describe `events`.
        match checked(unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), room, -1) } as isize)
        {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            ready => ready,
        }
    }
}

fn accept(listener: RawFd) -> Option<OwnedFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: null is allowed for an address nobody asks for.
    let fd = unsafe { libc::accept4(listener, std::ptr::null_mut(), std::ptr::null_mut(), flags) };
    // SAFETY: the descriptor was just made and belongs to nobody else.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn recv(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: pointer and length describe `buffer`.
    checked(unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) })
}

/// Sends `head` and `body` by one system call, without copying them together.
fn send(socket: &OwnedFd, head: &[u8], body: &[u8]) -> io::Result<usize> {
    if body.is_empty() {
        // SAFETY: pointer and length describe `head`.
        return checked(unsafe {
            libc::send(socket.as_raw_fd(), head.as_ptr().cast(), head.len(), libc::MSG_NOSIGNAL)
        });
    }
    let mut parts = [head, body]
        .map(|part| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() });
    // SAFETY: all zero is an empty message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts.as_mut_ptr();
    message.msg_iovlen = parts.len();
    // SAFETY: the message points at two live slices, which sendmsg only reads.
    checked(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) })
}

fn checked(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

const READS: u32 = libc::EPOLLIN as u32;
const ENDS: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;
const EVENTS_MAX: usize = 512;
/// Longer than the longest kept head, so that there is always room to receive.
const INPUT_BYTES: usize = 64 << 10;
const _: () = assert!(INPUT_BYTES > 2 * HEAD_BYTES_MAX);
