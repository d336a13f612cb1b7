//! Floor on io_uring: one recv and one send per batch of requests; the next recv is queued together with the send.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use io_uring::{IoUring, cqueue, opcode, squeue, types::Fd};
use ringhttp_peers::floor::{Answers, HEAD_BYTES_MAX};
use ringhttp_peers::{Options, listen};

fn main() -> io::Result<()> {
    let options = Options::start();
    let listener = listen(options.port)?;
    // Blocking, because accept by the ring would answer EAGAIN on a non-blocking listener.
    listener.set_nonblocking(false)?;
    let mut queue = Queue::new()?;
    queue.push(&accept_all(listener.as_raw_fd()))?;

    let mut answers = Answers::new();
    let mut connections: Vec<Option<Box<Connection>>> = Vec::new();
    let mut completed = Vec::new();
    loop {
        queue.ring.submit_and_wait(1)?;
        answers.refresh();
        completed.extend(queue.ring.completion());
        for entry in completed.drain(..) {
            let (operation, fd) = (entry.user_data() >> 32, entry.user_data() as u32 as usize);
            if operation == ACCEPT {
                if !cqueue::more(entry.flags()) {
                    queue.push(&accept_all(listener.as_raw_fd()))?;
                }
                if entry.result() >= 0 {
                    open(&mut connections, &mut queue, entry.result())?;
                }
                continue;
            }
            let connection = connections[fd].as_mut().expect("a connection outlives its operations");
            match operation {
                RECEIVE => connection.received(entry.result()),
                _ => connection.sent(entry.result()),
            }
            connection.advance(&answers, &mut queue)?;
            if connection.is_done() {
                connections[fd] = None;
            }
        }
    }
}

fn open(connections: &mut Vec<Option<Box<Connection>>>, queue: &mut Queue, fd: RawFd) -> io::Result<()> {
    // SAFETY: the descriptor was just accepted and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let index = fd as usize;
    connections.resize_with(connections.len().max(index + 1), || None);
    connections[index].insert(Box::new(Connection::new(socket))).queue_receive(queue)
}

/// One client. Boxed and never moved: the kernel works on `input`, `output` and `message` between completions.
struct Connection {
    socket: OwnedFd,
    receiving: bool,
    sending: bool,
    closing: bool,
    echo_left: u64,
    input: Vec<u8>,
    filled: usize,
    output: Vec<u8>,
    /// Sent bytes of `output` followed by `body`.
    output_sent: usize,
    body: &'static [u8],
    parts: [libc::iovec; 2],
    message: libc::msghdr,
}

impl Connection {
    fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            receiving: false,
            sending: false,
            closing: false,
            echo_left: 0,
            input: vec![0; INPUT_BYTES],
            filled: 0,
            output: Vec::new(),
            output_sent: 0,
            body: &[],
            parts: [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; 2],
            // SAFETY: all zero is an empty message.
            message: unsafe { std::mem::zeroed() },
        }
    }

    fn is_done(&self) -> bool {
        self.closing && !self.receiving && !self.sending
    }

    fn received(&mut self, result: i32) {
        self.receiving = false;
        match usize::try_from(result) {
            Ok(received) if received > 0 => self.filled += received,
            _ => self.closing = true,
        }
    }

    fn sent(&mut self, result: i32) {
        self.sending = false;
        match usize::try_from(result) {
            Ok(sent) => self.output_sent += sent,
            // The peer is gone: nothing more can be sent.
            Err(_) => {
                self.closing = true;
                self.output_sent = self.output.len() + self.body.len();
            }
        }
    }

    /// Queues what can be done next: the rest of the output, or the answers to what has come.
    fn advance(&mut self, answers: &Answers, queue: &mut Queue) -> io::Result<()> {
        if self.sending {
            return Ok(());
        }
        if self.output_sent < self.output.len() + self.body.len() {
            return self.queue_send(queue);
        }
        self.output.clear();
        self.output_sent = 0;
        self.body = &[];
        if self.closing {
            self.end_receive();
            return Ok(());
        }
        // A recv in flight owns the end of `input`; its start may not move then.
        if !self.receiving {
            self.answer(answers);
            if !self.output.is_empty() {
                self.queue_send(queue)?;
            }
            // Behind a body that is not yet sent the rest of the input has to wait, and so has the peer.
            if !self.closing && self.filled < self.input.len() && (self.filled == 0 || self.output.is_empty())
            {
                self.queue_receive(queue)?;
            }
        }
        Ok(())
    }

    fn answer(&mut self, answers: &Answers) {
        let pass = answers.answer(&self.input[..self.filled], &mut self.echo_left, &mut self.output);
        self.input.copy_within(pass.consumed..self.filled, 0);
        self.filled -= pass.consumed;
        self.body = pass.body;
        self.closing = pass.close;
    }

    fn queue_receive(&mut self, queue: &mut Queue) -> io::Result<()> {
        self.receiving = true;
        let room = &mut self.input[self.filled..];
        // A client asks again after it has our answer: trying to read before waiting would nearly always be in vain.
        let entry = opcode::Recv::new(Fd(self.socket.as_raw_fd()), room.as_mut_ptr(), room.len() as u32)
            .ioprio(POLL_FIRST)
            .build();
        queue.push(&entry.user_data(tag(RECEIVE, &self.socket)))
    }

    fn queue_send(&mut self, queue: &mut Queue) -> io::Result<()> {
        self.sending = true;
        let head = &self.output[self.output_sent.min(self.output.len())..];
        let body = &self.body[self.output_sent.saturating_sub(self.output.len())..];
        let (fd, flags) = (Fd(self.socket.as_raw_fd()), libc::MSG_NOSIGNAL | libc::MSG_WAITALL);
        let entry = if body.is_empty() {
            opcode::Send::new(fd, head.as_ptr(), head.len() as u32).flags(flags).build()
        } else {
            self.parts = [head, body]
                .map(|part| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() });
            self.message.msg_iov = self.parts.as_mut_ptr();
            self.message.msg_iovlen = self.parts.len();
            opcode::SendMsg::new(fd, &raw const self.message).flags(flags as u32).build()
        };
        queue.push(&entry.user_data(tag(SEND, &self.socket)))
    }

    /// Ends the recv of a connection that we close; its completion frees the connection.
    fn end_receive(&self) {
        if self.receiving {
            // SAFETY: no pointers.
            unsafe { libc::shutdown(self.socket.as_raw_fd(), libc::SHUT_RDWR) };
        }
    }
}

struct Queue {
    ring: IoUring,
}

impl Queue {
    fn new() -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        Ok(Self { ring })
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: what the entry points at lives in a boxed `Connection` or for ever, and a connection is freed
        // only when none of its operations is in flight.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.ring.submit()?;
        }
        Ok(())
    }
}

fn accept_all(listener: RawFd) -> squeue::Entry {
    opcode::AcceptMulti::new(Fd(listener)).flags(libc::SOCK_CLOEXEC).build().user_data(ACCEPT << 32)
}

fn tag(operation: u64, socket: &OwnedFd) -> u64 {
    operation << 32 | socket.as_raw_fd() as u64
}

const ACCEPT: u64 = 0;
const RECEIVE: u64 = 1;
const SEND: u64 = 2;
/// `IORING_RECVSEND_POLL_FIRST`.
const POLL_FIRST: u16 = 1;
const SUBMISSIONS: u32 = 1024;
/// Room for a wave of 10,000 connections; above it the kernel keeps the completions in a list.
const COMPLETIONS: u32 = 16 << 10;
/// Longer than the longest kept head, so that there is always room to receive. Every connection holds this much,
/// also while idle: this floor is one of CPU time, not of memory. Not a power of two, so that the buffers of many
/// connections do not all start in the same sets of the cache.
const INPUT_BYTES: usize = 17 << 10;
const _: () = assert!(INPUT_BYTES > 2 * HEAD_BYTES_MAX);
