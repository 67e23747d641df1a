//! The floor: a raw TCP echo of the same message sizes over the same kind of socket. Whatever a
//! venue adds to this is its own.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};

/// Bytes of a request and of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Client to server.
    pub request: usize,
    /// Server to client.
    pub answer: usize,
}

impl Sizes {
    /// NewOrder and OrderAccepted, frame headers included.
    pub const BINARY: Self = Self {
        request: 80,
        answer: 88,
    };
}

/// Answers one connection at a time until it closes: a blocking read, a blocking write.
fn serve(listener: &TcpListener, sizes: Sizes) -> io::Result<()> {
    let (mut socket, _) = listener.accept()?;
    socket.set_nodelay(true)?;
    let mut request = vec![0u8; sizes.request];
    let answer = vec![1u8; sizes.answer];
    loop {
        match socket.read_exact(&mut request) {
            Ok(()) => socket.write_all(&answer)?,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Keeps this thread on one core.
///
/// # Errors
/// When there is no such core, or it may not be used.
pub fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    if core >= CpuSet::MAX_CPU {
        return Err(io::Error::other(format!("there is no core {core}")));
    }
    set.set(core);
    sched_setaffinity(None, &set)
        .map_err(|error| io::Error::other(format!("cannot pin to core {core}: {error}")))
}

/// A connection to an echo thread of its own.
pub struct Floor {
    socket: Option<TcpStream>,
    request: Vec<u8>,
    answer: Vec<u8>,
    server: Option<JoinHandle<io::Result<()>>>,
}

impl Floor {
    /// Starts the thread, on a core if one is given, and connects to it.
    ///
    /// # Errors
    /// The network's.
    pub fn start(sizes: Sizes, core: Option<usize>) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = listener.local_addr()?;
        let server = std::thread::Builder::new()
            .name("echo".into())
            .spawn(move || {
                core.map_or(Ok(()), pin)?;
                serve(&listener, sizes)
            })?;
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        Ok(Self {
            socket: Some(socket),
            request: vec![2; sizes.request],
            answer: vec![0; sizes.answer],
            server: Some(server),
        })
    }

    /// One round trip, from before the write to after the last byte.
    ///
    /// # Errors
    /// The network's.
    pub fn ping(&mut self) -> io::Result<Duration> {
        let Some(socket) = &mut self.socket else {
            return Err(ErrorKind::NotConnected.into());
        };
        let begun = Instant::now();
        socket.write_all(&self.request)?;
        socket.read_exact(&mut self.answer)?;
        Ok(begun.elapsed())
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        drop(self.socket.take());
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}
