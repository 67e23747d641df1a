//! A small client of the binary protocol: the command-line trader and the maker bot.

pub mod credentials;
mod describe;
pub mod maker;
pub mod trader;
mod words;

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use trading_engine_protocol::binary::message::{
    Grouped, InstrumentDefinition, LogonAccepted, Message, ReplayComplete,
};
use trading_engine_protocol::binary::{
    ClientAction, FrameHeader, Initiator, LogonSettings, SIGNED_LENGTH,
};

use crate::gateway::keystore::decode_hex;
use credentials::{BinaryCredentials, Secret};

/// A message of the venue, copied out of the stream.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its frame header.
    pub header: FrameHeader,
    /// Its block.
    pub body: Vec<u8>,
}

impl Received {
    /// The message, if it is an `M`.
    pub fn read<M: Message>(&self) -> Option<M> {
        if self.header.template_id != M::TEMPLATE {
            return None;
        }
        trading_engine_protocol::binary::frame::block(&self.header, &self.body)
    }

    /// The message and its group, if it is an `M`.
    pub fn read_group<M: Grouped>(&self) -> Option<(M, Vec<M::Entry>)> {
        if self.header.template_id != M::TEMPLATE {
            return None;
        }
        let body = &self.body;
        let (message, entries) =
            trading_engine_protocol::binary::frame::block_and_group::<M>(&self.header, body)?;
        Some((message, entries.read_body::<M>(body).collect()))
    }
}

/// A blocking session over one socket.
#[derive(Debug)]
pub struct Session {
    socket: TcpStream,
    initiator: Initiator,
    input: Vec<u8>,
    output: Vec<u8>,
    started: Instant,
    /// What the venue said at logon.
    pub accepted: LogonAccepted,
    /// Highest client number the venue has applied, as of the end of the replay.
    pub last_client_seq: u64,
    /// Instruments as the venue described them.
    pub instruments: Vec<InstrumentDefinition>,
}

/// Signs a logon text.
///
/// # Errors
/// When the secret is not 32 bytes of hex.
pub fn sign(secret: &Secret, text: &[u8; SIGNED_LENGTH]) -> io::Result<[u8; 64]> {
    let bad = || io::Error::other("the secret is not 64 hex digits");
    match secret {
        Secret::Ed25519(hex) => {
            let key = SigningKey::from_bytes(&decode_hex(hex).ok_or_else(bad)?);
            Ok(key.sign(text).to_bytes())
        }
        Secret::Hmac(hex) => {
            let key = decode_hex(hex).ok_or_else(bad)?;
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| bad())?;
            mac.update(text);
            let mut signature = [0u8; 64];
            signature[..32].copy_from_slice(&mac.finalize().into_bytes());
            Ok(signature)
        }
    }
}

/// Where in a session's stream a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// First number not yet seen, 0 = whatever is live.
    pub from_seq: u64,
    /// Numbering run, 0 = the current one.
    pub epoch: u64,
}

impl Place {
    /// The beginning of the current run.
    pub const BEGINNING: Self = Self {
        from_seq: 1,
        epoch: 0,
    };
}

impl Session {
    /// Connects and logs on; `place` is the first number not yet seen (0 = live only) and the numbering
    /// run it belongs to (0 = the current one). Replayed messages go to `each`.
    ///
    /// # Errors
    /// The network's, a refused logon ([`io::ErrorKind::PermissionDenied`]), a broken stream.
    pub fn logon(
        address: impl ToSocketAddrs,
        credentials: &BinaryCredentials,
        place: Place,
        heartbeat_ms: u32,
        mut each: impl FnMut(&Received),
    ) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut key_id = [0u8; 16];
        let id = credentials.key_id.as_bytes();
        if id.len() > key_id.len() {
            return Err(io::Error::other("key id longer than 16 bytes"));
        }
        key_id[..id.len()].copy_from_slice(id);
        let auth_type = match credentials.secret {
            Secret::Hmac(_) => 1,
            Secret::Ed25519(_) => 2,
        };
        let settings = LogonSettings {
            session_id: credentials.session,
            key_id,
            auth_type,
            heartbeat_ms,
            epoch: place.epoch,
            from_seq: place.from_seq,
            flags: 0,
        };
        let mut session = Self {
            socket,
            initiator: Initiator::new(settings, 0),
            input: Vec::new(),
            output: Vec::new(),
            started: Instant::now(),
            accepted: LogonAccepted::default(),
            last_client_seq: 0,
            instruments: Vec::new(),
        };
        loop {
            match session.step()? {
                Step::Wait => session.fill()?,
                Step::Sign(text) => {
                    let signature = sign(&credentials.secret, &text)?;
                    let now = session.now_ns();
                    session.initiator.logon(now, signature, &mut session.output);
                    session.flush()?;
                }
                Step::Accepted(accepted) => session.accepted = accepted,
                Step::Active(done) => {
                    session.last_client_seq = done.last_client_seq;
                    session
                        .socket
                        .set_read_timeout(Some(Duration::from_millis(50)))?;
                    return Ok(session);
                }
                Step::Message(message) => match message.read::<InstrumentDefinition>() {
                    Some(instrument) => session.instruments.push(instrument),
                    None => each(&message),
                },
                Step::Handled => {}
            }
        }
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// First number not yet seen: what to resume from.
    pub fn next_expected(&self) -> u64 {
        self.initiator.next_expected()
    }

    /// Our last number.
    pub fn client_seq(&self) -> u64 {
        self.initiator.client_seq()
    }

    /// Queues an order message and returns its number.
    pub fn queue<M: Message>(&mut self, message: &M) -> u64 {
        let now = self.now_ns();
        self.initiator.send(now, message, &mut self.output)
    }

    /// [`Session::queue`] of a message with a group.
    pub fn queue_group<M: Grouped>(&mut self, message: &M, entries: &[M::Entry]) -> u64 {
        let now = self.now_ns();
        self.initiator
            .send_group(now, message, entries, &mut self.output)
    }

    /// Sends what is queued.
    ///
    /// # Errors
    /// The network's.
    pub fn flush(&mut self) -> io::Result<()> {
        self.socket.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    /// The next message, or `None` if none comes within `wait`.
    ///
    /// # Errors
    /// The network's, a Logout (its text is in the error), a broken stream.
    pub fn next(&mut self, wait: Duration) -> io::Result<Option<Received>> {
        let until = Instant::now() + wait;
        loop {
            match self.step()? {
                Step::Message(message) => return Ok(Some(message)),
                Step::Wait => {
                    self.flush()?;
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(None);
                    }
                    let left = left.clamp(Duration::from_millis(1), Duration::from_millis(50));
                    self.socket.set_read_timeout(Some(left))?;
                    match self.fill() {
                        Ok(()) => {}
                        Err(error)
                            if matches!(
                                error.kind(),
                                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                            ) => {}
                        Err(error) => return Err(error),
                    }
                    let now = self.now_ns();
                    if self
                        .initiator
                        .handle_timeout(now, &mut self.output)
                        .is_some()
                    {
                        return Err(io::Error::other("the venue is silent"));
                    }
                }
                _ => {}
            }
        }
    }

    /// Says goodbye and waits until the venue has closed.
    ///
    /// # Errors
    /// The network's.
    pub fn logout(mut self) -> io::Result<()> {
        let now = self.now_ns();
        self.initiator.logout(now, &mut self.output);
        self.flush()?;
        self.socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        let mut rest = Vec::new();
        let _ = self.socket.read_to_end(&mut rest);
        Ok(())
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = [0u8; 16 << 10];
        match self.socket.read(&mut bytes)? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the venue closed",
            )),
            count => {
                self.input.extend_from_slice(&bytes[..count]);
                Ok(())
            }
        }
    }

    fn step(&mut self) -> io::Result<Step> {
        let now = self.now_ns();
        let (consumed, action) = self.initiator.receive(now, &self.input, &mut self.output);
        let step = match action {
            ClientAction::NeedMore => Step::Wait,
            ClientAction::Handled => Step::Handled,
            ClientAction::Sign { text } => Step::Sign(Box::new(text)),
            ClientAction::Accepted(accepted) => Step::Accepted(accepted),
            ClientAction::Active(done) => Step::Active(done),
            ClientAction::Message { header, body } => Step::Message(Received {
                header,
                body: body.to_vec(),
            }),
            ClientAction::Rejected(rejected) => {
                let why = refused("logon rejected", rejected.reason);
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
            }
            ClientAction::Logout(logout) => return Err(refused("logged out", logout.reason)),
            ClientAction::Broken(reason) => return Err(refused("broken stream", reason.code())),
        };
        self.input.drain(..consumed);
        Ok(step)
    }
}

fn refused(what: &str, reason: u16) -> io::Error {
    let text = trading_engine_protocol::types::Reason::try_from(reason).map_or(
        "unknown reason",
        trading_engine_protocol::types::Reason::text,
    );
    io::Error::new(
        io::ErrorKind::ConnectionAborted,
        format!("{what}: {text} ({reason})"),
    )
}

enum Step {
    Wait,
    Handled,
    Sign(Box<[u8; SIGNED_LENGTH]>),
    Accepted(LogonAccepted),
    Active(ReplayComplete),
    Message(Received),
}
