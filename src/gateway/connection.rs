//! One socket with its two bounded buffers. Knows bytes, no protocol.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;

/// What reading from the socket came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Bytes arrived; there may be more.
    Bytes,
    /// Nothing more now; the poller will say when.
    Drained,
    /// The input buffer is full: the caller must consume first.
    Full,
    /// The peer closed its side or the connection broke.
    Closed,
}

/// A socket, what was read and not yet understood, and what is to be written.
#[derive(Debug)]
pub struct Connection {
    /// The socket, non-blocking.
    pub socket: TcpStream,
    /// The other end.
    pub peer: SocketAddr,
    input: Box<[u8]>,
    input_start: usize,
    input_end: usize,
    /// Bytes to be written; protocol code appends here.
    pub output: Vec<u8>,
    output_start: usize,
}

impl Connection {
    /// Takes over an accepted socket. `input_bytes` bounds the longest message.
    pub fn new(socket: TcpStream, peer: SocketAddr, input_bytes: usize) -> Self {
        Self {
            socket,
            peer,
            input: vec![0; input_bytes].into_boxed_slice(),
            input_start: 0,
            input_end: 0,
            output: Vec::with_capacity(4096),
            output_start: 0,
        }
    }

    /// What was read and not yet consumed.
    #[inline]
    pub fn input(&self) -> &[u8] {
        &self.input[self.input_start..self.input_end]
    }

    /// Input and output at once, for code that reads one and appends to the other.
    #[inline]
    pub fn split(&mut self) -> (&[u8], &mut Vec<u8>) {
        (
            &self.input[self.input_start..self.input_end],
            &mut self.output,
        )
    }

    /// Drops `count` bytes from the front of the input.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        debug_assert!(
            count <= self.input_end - self.input_start,
            "consumed what was read"
        );
        self.input_start += count.min(self.input_end - self.input_start);
        if self.input_start == self.input_end {
            self.input_start = 0;
            self.input_end = 0;
        }
    }

    /// Reads once.
    pub fn read(&mut self) -> ReadOutcome {
        if self.input_end == self.input.len() {
            if self.input_start == 0 {
                return ReadOutcome::Full;
            }
            self.input.copy_within(self.input_start..self.input_end, 0);
            self.input_end -= self.input_start;
            self.input_start = 0;
        }
        loop {
            let room = &mut self.input[self.input_end..];
            let asked = room.len();
            match self.socket.read(room) {
                Ok(0) => return ReadOutcome::Closed,
                Ok(count) => {
                    self.input_end += count;
                    // A short read means the socket is empty: epoll will say when it is not.
                    return if count < asked {
                        ReadOutcome::Drained
                    } else {
                        ReadOutcome::Bytes
                    };
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return ReadOutcome::Drained;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return ReadOutcome::Closed,
            }
        }
    }

    /// Bytes waiting to be written.
    #[inline]
    pub fn output_pending(&self) -> usize {
        self.output.len() - self.output_start
    }

    /// Writes what the socket takes. `false`: the connection broke.
    pub fn flush(&mut self) -> bool {
        while self.output_start < self.output.len() {
            match self.socket.write(&self.output[self.output_start..]) {
                Ok(0) => return false,
                Ok(count) => self.output_start += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Keep the unsent tail in front once most of the buffer is sent, so that a
                    // long-lived slow reader does not make the buffer creep.
                    if self.output_start > self.output.len() / 2 {
                        self.output.drain(..self.output_start);
                        self.output_start = 0;
                    }
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        self.output.clear();
        self.output_start = 0;
        // A replay may have grown it; a session needs little.
        if self.output.capacity() > 1 << 18 {
            self.output.shrink_to(1 << 16);
        }
        true
    }
}
