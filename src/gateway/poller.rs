//! One gateway thread's work: its listeners and sockets, the durable part of the event ring, the
//! answers of side threads, and the timers of every connection.
//!
//! Where there are several threads, the first one accepts. Every session has a home among them, and
//! a connection moves there once its credentials are right: two connections of one session always
//! meet, and a flood of strangers stays with the first.
//!
//! A socket is read only while the command ring has room and its connection is not waiting for
//! something; a connection gets a bounded number of messages a turn. Output is bounded: a client
//! that does not read is disconnected.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use trading_engine_protocol::binary::AcceptorSettings;
use trading_engine_protocol::fix;
use trading_engine_protocol::types::{Reason, Sequence, SessionId, TradingPhase};

use super::admissions::{Admission, Admissions};
use super::authenticator::{AuthReply, Authenticator, Verdict};
use super::binary::BinaryDoor;
use super::connection::{Connection, ReadOutcome};
use super::context::{Context, Next, Services};
use super::door::Door;
use super::fix::FixDoor;
use super::outbox::Outbox;
use super::reference::ReferenceData;
use crate::agent::Agent;
use crate::clock::Clock;
use crate::engine::command::{QUOTE_ENTRIES_MAX, QuoteEntry};
use crate::engine::event::{self, EventBody, EventHeader};
use crate::journal::history::{HistoryDesk, HistoryReply};
use crate::ring::{Cursor, Reader};

const WAKE: Token = Token(usize::MAX);
const BINARY_LISTENER: Token = Token(usize::MAX - 1);
const FIX_LISTENER: Token = Token(usize::MAX - 2);

/// Bounds of a gateway.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    /// The venue's CompID.
    pub fix_comp_id: String,
    /// Which gateway thread, 0.. ; the first one accepts.
    pub id: u8,
    /// Connections at once; more are closed at accept.
    pub connections_max: usize,
    /// Connections at once from one address.
    pub connections_per_address_max: usize,
    /// Bytes waiting for a client before it is a slow consumer.
    pub output_bytes_max: usize,
    /// Time to log on.
    pub logon_timeout_ns: u64,
    /// Time to flush and close once a connection ends.
    pub linger_ns: u64,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            fix_comp_id: "TRADENG".into(),
            id: 0,
            connections_max: 4096,
            connections_per_address_max: 2048,
            output_bytes_max: 1 << 20,
            logon_timeout_ns: 5_000_000_000,
            linger_ns: 1_000_000_000,
        }
    }
}

/// Counters of a gateway, written by its thread, read by the scraper.
#[derive(Debug, Default)]
pub struct GatewayStats {
    /// Connections open now.
    pub connections: AtomicU64,
    /// Connections ever accepted.
    pub accepted: AtomicU64,
    /// Connections refused at accept.
    pub refused: AtomicU64,
    /// Binary sessions logged on now.
    pub binary_sessions: AtomicU64,
    /// FIX sessions logged on now.
    pub fix_sessions: AtomicU64,
    /// Connections that ended because their logon was refused.
    pub logons_refused: AtomicU64,
    /// Clients disconnected for not reading.
    pub slow_consumers: AtomicU64,
    /// Events written to clients.
    pub events_sent: AtomicU64,
}

fn add(counter: &AtomicU64, count: u64) {
    // One writer: load and store suffice.
    counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
}

/// What is known of the times of reports, UTC ns.
#[derive(Clone, Copy, Debug)]
pub enum Stages {
    /// One report: its request received, sequenced, applied, seen durable.
    Durable([u64; 4]),
    /// So many reports were handed to the socket so long after they were seen durable.
    Sent {
        /// How long.
        ns: u64,
        /// How many.
        reports: u32,
    },
}

/// What joins a gateway to the rest of the venue.
pub struct GatewayLinks {
    /// Into the log.
    pub outbox: Outbox,
    /// Events, in order.
    pub events: Reader,
    /// How far events may be acted on.
    pub durable: Cursor,
    /// Set when the log cannot commit any more.
    pub log_failed: Box<dyn Fn() -> bool + Send>,
    /// Checks keys.
    pub authenticator: Authenticator,
    /// Reads the past.
    pub history: HistoryDesk,
    /// Nobody is let in before this command's events were seen; `None` = at once.
    pub opens_at: Option<Sequence>,
    /// Set when the venue is stopping.
    pub draining: Arc<AtomicBool>,
    /// Set by the gateway when no session is left.
    pub drained: Arc<AtomicBool>,
    /// Counters.
    pub stats: Arc<GatewayStats>,
    /// Connections of all gateways.
    pub admissions: Arc<Admissions>,
    /// Takes how many bytes for a session its connection has not taken, now and then.
    pub lag: Box<dyn Fn(SessionId, u64) + Send>,
    /// Takes `received, sequenced, applied, durable seen, sent` of each report, ns UTC.
    pub stages: Box<dyn FnMut(Stages) + Send>,
}

/// Where connections with right credentials come home to a gateway.
#[derive(Clone)]
pub struct Home {
    door: Sender<Box<Slot>>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Home {
    /// Ends the gateway's wait for its sockets.
    pub fn wake(&self) {
        (self.wake)();
    }
}

struct Slot {
    connection: Connection,
    /// Counts it, wherever it goes.
    _admission: Admission,
    door: Door,
    /// The gateway's name for this connection; a stale answer names another.
    name: u64,
    /// It has, or had, a session.
    logged_on: bool,
    /// The socket may have bytes.
    readable: bool,
    /// The peer closed its writing side: read until the end is seen.
    read_closed: bool,
    /// Waiting for something else than bytes.
    paused: bool,
    /// Ends when flushed, or at this time.
    closing_at: Option<u64>,
    /// The writing side is closed. Closing it again would be told by the poller, and serving that would
    /// close it again, for as long as the peer stays.
    write_closed: bool,
    queued: bool,
    /// Reports not handed to the socket yet, and when the first of them was seen durable.
    unsent: u32,
    unsent_since: u64,
}

impl Slot {
    /// Whether ending for this reason refuses its logon: credentials, form, number, or too many.
    fn is_refused(&self, reason: Reason) -> bool {
        let other = matches!(
            reason,
            Reason::None | Reason::LogonTimeout | Reason::GoingAway | Reason::LogUnavailable
        );
        !self.logged_on && !other
    }

    /// Everything is written: closes the writing side and discards what still comes, because
    /// closing a socket with unread bytes would take our last message back. Returns whether the
    /// peer is done too.
    fn finish(&mut self) -> bool {
        if !std::mem::replace(&mut self.write_closed, true) {
            // Fails only if the peer is gone, which the read will tell.
            let _ = self.connection.socket.shutdown(std::net::Shutdown::Write);
        }
        for _ in 0..16 {
            let unread = self.connection.input().len();
            self.connection.consume(unread);
            match self.connection.read() {
                ReadOutcome::Bytes | ReadOutcome::Full => {}
                ReadOutcome::Drained if self.read_closed => {}
                ReadOutcome::Drained => return false,
                ReadOutcome::Closed => return true,
            }
        }
        false
    }
}

/// The gateway agent.
pub struct Gateway {
    settings: GatewaySettings,
    poll: Poll,
    events: Events,
    polled: bool,
    /// Of the first gateway only.
    listeners: Option<Listeners>,
    /// The binary and the FIX listener may hold connections that were not accepted yet. The poller
    /// told of them once and does not tell again.
    unaccepted: [bool; 2],
    /// `accept` failing is said at most once a second.
    next_accept_warning_ns: u64,
    /// Every gateway, this one included, by id.
    homes: Vec<Home>,
    arrivals: Receiver<Box<Slot>>,
    admissions: Arc<Admissions>,
    /// Nobody is let in before the events of this command have been seen: the reference data
    /// would be incomplete, and a right logon be refused. `None` = open.
    opens_at: Option<Sequence>,
    /// FIX logons that wait for another connection of their session to show that it is alive.
    claims: Vec<Claim>,
    slots: Vec<Option<Box<Slot>>>,
    free: Vec<usize>,
    open: usize,
    serial: u64,
    /// Connection of each session, by session id.
    sessions: Vec<Option<usize>>,
    /// Connections with something to read or to parse.
    ready: Vec<usize>,
    outbox: Outbox,
    /// Room for the event at work.
    record: Box<[u64]>,
    /// Room for the entries of the mass quote at work.
    quotes: Vec<QuoteEntry>,
    ring: Reader,
    durable: Cursor,
    log_failed: Box<dyn Fn() -> bool + Send>,
    reference: ReferenceData,
    services: Services,
    auth_replies: Receiver<AuthReply>,
    history_replies: Receiver<HistoryReply>,
    draining: Arc<AtomicBool>,
    drained: Arc<AtomicBool>,
    drain_started: bool,
    stats: Arc<GatewayStats>,
    lag: Box<dyn Fn(SessionId, u64) + Send>,
    stages: Box<dyn FnMut(Stages) + Send>,
    clock: Clock,
    next_housekeeping_ns: u64,
}

/// The sockets that clients connect to.
#[derive(Debug)]
pub struct Listeners {
    binary: TcpListener,
    fix: TcpListener,
}

impl Listeners {
    /// From bound sockets.
    ///
    /// # Errors
    /// When they cannot be made non-blocking.
    pub fn new(binary: std::net::TcpListener, fix: std::net::TcpListener) -> io::Result<Self> {
        binary.set_nonblocking(true)?;
        fix.set_nonblocking(true)?;
        Ok(Self {
            binary: TcpListener::from_std(binary),
            fix: TcpListener::from_std(fix),
        })
    }
}

/// Messages one connection may have in a row.
const TURN: usize = 32;
/// Connections accepted in a row; more wait for the next housekeeping, so that a flood of them does
/// not hold up those who trade.
const ACCEPT_TURN: usize = 64;
/// Events per round.
const EVENT_BATCH: usize = 256;
const HOUSEKEEPING_NS: u64 = 5_000_000;
/// A FIX connection heard of within this time is alive.
const RECENT_NS: u64 = 5_000_000_000;
/// Time to answer a TestRequest before another logon takes over.
const PROBE_NS: u64 = 2_000_000_000;

/// A logon that waits for a sign of life of its session's connection.
#[derive(Clone, Copy)]
struct Claim {
    name: u64,
    holder: u64,
    since_ns: u64,
}
const INPUT_BYTES: usize = 64 << 10;

impl Gateway {
    /// A gateway; the first one has listeners.
    ///
    /// # Errors
    /// When the poller cannot be made.
    pub fn new(
        settings: GatewaySettings,
        listeners: Option<Listeners>,
        reference: ReferenceData,
        links: GatewayLinks,
        clock: Clock,
    ) -> io::Result<(Self, Home)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
            // The eventfd's counter is full only if a wake is pending anyway.
            let _ = waker.wake();
        });
        let (auth_reply, auth_replies) = unbounded();
        let (door, arrivals) = bounded(settings.connections_max);
        let home = Home {
            door,
            wake: Arc::clone(&wake),
        };
        let (history_reply, history_replies) = bounded(8192);
        let mut gateway = Self {
            settings,
            poll,
            events: Events::with_capacity(1024),
            polled: false,
            listeners,
            unaccepted: [false; 2],
            next_accept_warning_ns: 0,
            homes: Vec::new(),
            arrivals,
            admissions: links.admissions,
            opens_at: links.opens_at,
            claims: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            open: 0,
            serial: 0,
            sessions: Vec::new(),
            ready: Vec::new(),
            outbox: links.outbox,
            record: vec![0; (8 + crate::limits::EVENT_LENGTH_MAX) / 8].into(),
            quotes: Vec::with_capacity(QUOTE_ENTRIES_MAX),
            ring: links.events,
            durable: links.durable,
            log_failed: links.log_failed,
            reference,
            services: Services {
                authenticator: links.authenticator,
                auth_reply,
                history: links.history,
                history_reply,
                wake: Arc::clone(&wake),
            },
            auth_replies,
            history_replies,
            draining: links.draining,
            drained: links.drained,
            drain_started: false,
            stats: links.stats,
            lag: links.lag,
            stages: links.stages,
            clock,
            next_housekeeping_ns: 0,
        };
        if gateway.opens_at.is_none() {
            gateway.open_listeners();
        }
        Ok((gateway, home))
    }

    /// Names all gateways, by id. Once, before the threads start.
    pub fn joins(&mut self, homes: Vec<Home>) {
        self.homes = homes;
    }

    /// Calls `work` with a connection's slot and everything it may touch, then does what it says.
    #[inline]
    fn with(
        &mut self,
        index: usize,
        work: impl FnOnce(&mut Door, &mut Context<'_>, &mut Connection) -> Next,
    ) {
        let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let now_ns = self.clock.monotonic_ns();
        let mut ctx = Context {
            now_ns,
            utc: self.clock.utc_at(now_ns),
            connection: slot.name,
            source: slot.connection.peer.ip(),
            outbox: &mut self.outbox,
            reference: &self.reference,
            services: &self.services,
            quotes: &mut self.quotes,
        };
        let next = work(&mut slot.door, &mut ctx, &mut slot.connection);
        self.apply_next(index, next, now_ns);
    }

    fn apply_next(&mut self, index: usize, next: Next, now_ns: u64) {
        let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        match next {
            Next::Continue => slot.paused = false,
            Next::Pause => slot.paused = true,
            Next::Claim(session) => {
                slot.paused = true;
                let name = slot.name;
                self.claim(name, session, now_ns);
                return;
            }
            Next::Close(reason) => {
                if slot.closing_at.is_none() {
                    slot.closing_at = Some(now_ns + self.settings.linger_ns);
                    slot.paused = true;
                    if slot.is_refused(reason) {
                        add(&self.stats.logons_refused, 1);
                    }
                    if reason == Reason::SlowConsumer {
                        add(&self.stats.slow_consumers, 1);
                    }
                    tracing::info!(
                        peer = %slot.connection.peer,
                        %reason,
                        "connection ends"
                    );
                }
            }
        }
        self.enqueue(index);
    }

    fn enqueue(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut)
            && !slot.queued
        {
            slot.queued = true;
            self.ready.push(index);
        }
    }

    fn poll_sockets(&mut self, timeout: Duration) -> usize {
        if self.poll.poll(&mut self.events, Some(timeout)).is_err() {
            // EINTR: the next round asks again.
            return 0;
        }
        let mut done = 0;
        let mut accept = [false; 2];
        let mut ready = std::mem::take(&mut self.ready);
        for event in &self.events {
            match event.token() {
                WAKE => {}
                BINARY_LISTENER => accept[0] = true,
                FIX_LISTENER => accept[1] = true,
                Token(index) => {
                    let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) else {
                        continue;
                    };
                    slot.readable |= event.is_readable() || event.is_read_closed();
                    slot.read_closed |= event.is_read_closed() || event.is_error();
                    if !slot.queued {
                        slot.queued = true;
                        ready.push(index);
                    }
                }
            }
            done += 1;
        }
        self.ready = ready;
        self.accept_from(accept);
        done
    }

    fn open_listeners(&mut self) {
        let Some(listeners) = &mut self.listeners else {
            return;
        };
        let registry = self.poll.registry();
        for (listener, token) in [
            (&mut listeners.binary, BINARY_LISTENER),
            (&mut listeners.fix, FIX_LISTENER),
        ] {
            if let Err(error) = registry.register(listener, token, Interest::READABLE) {
                tracing::error!(%error, "cannot listen");
            }
        }
    }

    /// Takes connections from the binary and the FIX listener.
    fn accept_from(&mut self, listeners: [bool; 2]) {
        for (wanted, is_fix) in listeners.into_iter().zip([false, true]) {
            if wanted {
                self.unaccepted[usize::from(is_fix)] = self.accept(is_fix);
            }
        }
    }

    /// Accepts a turn of connections. Returns whether more may wait: the turn ended, or the system
    /// has no descriptor or memory for another one. Housekeeping tries again then.
    fn accept(&mut self, is_fix: bool) -> bool {
        for _ in 0..ACCEPT_TURN {
            let Some(listeners) = &self.listeners else {
                return false;
            };
            let listener = if is_fix {
                &listeners.fix
            } else {
                &listeners.binary
            };
            match listener.accept() {
                Ok((socket, peer)) => {
                    if let Err(error) = self.admit(socket, peer, is_fix) {
                        tracing::warn!(%peer, %error, "cannot take the connection");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
                    ) => {}
                Err(error) => {
                    let now_ns = self.clock.monotonic_ns();
                    if now_ns >= self.next_accept_warning_ns {
                        self.next_accept_warning_ns = now_ns + 1_000_000_000;
                        tracing::warn!(%error, "accept failed; connections wait");
                    }
                    return true;
                }
            }
        }
        true
    }

    /// A FIX logon with the right password wants its session. While another connection of the
    /// session is alive the new one is closed without a byte; one that was not heard of lately is
    /// asked for a sign of life first.
    fn claim(&mut self, name: u64, session: SessionId, now_ns: u64) {
        let holder = self.sessions.get(session.0 as usize).copied().flatten();
        let Some(index) = self.index_of(name) else {
            return;
        };
        let held = holder.filter(|&holder| holder != index).and_then(|holder| {
            let slot = self.slots.get(holder)?.as_ref()?;
            match &slot.door {
                Door::Fix(door) if slot.closing_at.is_none() && door.bound().is_some() => Some((
                    holder,
                    slot.name,
                    door.last_received_ns(),
                    door.heartbeat_ns(),
                )),
                _ => None,
            }
        });
        let Some((holder, holder_name, heard_ns, heartbeat_ns)) = held else {
            self.grant(index);
            return;
        };
        if now_ns.saturating_sub(heard_ns) < heartbeat_ns.min(RECENT_NS) {
            self.drop_connection(index, Reason::TooManyConnections);
            return;
        }
        self.with(holder, |door, ctx, _| match door {
            Door::Fix(door) => door.probe(ctx),
            Door::Binary(_) => Next::Continue,
        });
        self.claims.push(Claim {
            name,
            holder: holder_name,
            since_ns: now_ns,
        });
    }

    fn grant(&mut self, index: usize) {
        self.with(index, |door, ctx, _| match door {
            Door::Fix(door) => door.claim(ctx),
            Door::Binary(_) => Next::Continue,
        });
    }

    fn settle_claims(&mut self, now_ns: u64) {
        let mut at = 0;
        while at < self.claims.len() {
            let claim = self.claims[at];
            let heard = self.index_of(claim.holder).and_then(|index| {
                match &self.slots[index].as_ref()?.door {
                    Door::Fix(door) => Some(door.last_received_ns()),
                    Door::Binary(_) => None,
                }
            });
            let alive = heard.is_some_and(|heard| heard > claim.since_ns);
            let gone = heard.is_none() || now_ns >= claim.since_ns + PROBE_NS;
            if !alive && !gone {
                at += 1;
                continue;
            }
            self.claims.swap_remove(at);
            if let Some(index) = self.index_of(claim.name) {
                if alive {
                    self.drop_connection(index, Reason::TooManyConnections);
                } else {
                    if let Some(holder) = self.index_of(claim.holder) {
                        self.with(holder, |door, ctx, _| {
                            if let Door::Fix(door) = door {
                                door.supersede(ctx);
                            }
                            Next::Continue
                        });
                    }
                    self.grant(index);
                }
            }
        }
    }

    fn admit(
        &mut self,
        socket: mio::net::TcpStream,
        peer: SocketAddr,
        is_fix: bool,
    ) -> io::Result<()> {
        let (in_all, per_address) = (
            self.settings.connections_max,
            self.settings.connections_per_address_max,
        );
        let admission = self
            .admissions
            .admit(peer.ip(), in_all, per_address)
            .filter(|_| !self.draining.load(Ordering::Acquire));
        let Some(admission) = admission else {
            add(&self.stats.refused, 1);
            return Ok(());
        };
        socket.set_nodelay(true)?;
        let mut nonce = [0u8; 32];
        if getrandom::fill(&mut nonce).is_err() {
            return Err(io::Error::other("no randomness for a nonce"));
        }
        let index = self.place();
        let name = self.name(index);
        let mut connection = Connection::new(socket, peer, INPUT_BYTES);
        let now_ns = self.clock.monotonic_ns();
        let ctx = Context {
            now_ns,
            utc: self.clock.utc_at(now_ns),
            connection: name,
            source: peer.ip(),
            outbox: &mut self.outbox,
            reference: &self.reference,
            services: &self.services,
            quotes: &mut self.quotes,
        };
        let logon_timeout_ns = self.settings.logon_timeout_ns;
        let door = if is_fix {
            let acceptor = fix::AcceptorSettings {
                comp_id: self.settings.fix_comp_id.clone().into_bytes(),
                logon_timeout_ns,
                ..fix::AcceptorSettings::default()
            };
            Door::Fix(FixDoor::new(acceptor, &ctx))
        } else {
            let acceptor = AcceptorSettings {
                gateway_id: u32::from(self.settings.id),
                logon_timeout_ns,
                ..AcceptorSettings::default()
            };
            Door::Binary(BinaryDoor::new(
                acceptor,
                nonce,
                &ctx,
                &mut connection.output,
            ))
        };
        add(&self.stats.accepted, 1);
        let slot = Slot {
            connection,
            _admission: admission,
            door,
            name,
            logged_on: false,
            readable: true,
            read_closed: false,
            paused: false,
            closing_at: None,
            write_closed: false,
            queued: false,
            unsent: 0,
            unsent_since: 0,
        };
        self.take_in(index, Box::new(slot))
    }

    /// A free place for a connection.
    fn place(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        })
    }

    /// A name no other connection has.
    fn name(&mut self, index: usize) -> u64 {
        self.serial += 1;
        u64::from(self.settings.id) << 56 | self.serial << 24 | index as u64
    }

    fn take_in(&mut self, index: usize, mut slot: Box<Slot>) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        let socket = &mut slot.connection.socket;
        if let Err(error) = self.poll.registry().register(socket, Token(index), both) {
            self.free.push(index);
            return Err(error);
        }
        self.slots[index] = Some(slot);
        self.open += 1;
        self.stats
            .connections
            .store(self.open as u64, Ordering::Relaxed);
        self.enqueue(index);
        Ok(())
    }

    /// Takes a connection out of the poller and of every list.
    fn take_out(&mut self, index: usize) -> Option<Box<Slot>> {
        let mut slot = self.slots.get_mut(index).and_then(Option::take)?;
        let _ = self.poll.registry().deregister(&mut slot.connection.socket);
        // Whatever points here is this connection's, or a session that ended before it did.
        for (session, place) in (0..).zip(&mut self.sessions) {
            if *place == Some(index) {
                *place = None;
                (self.lag)(SessionId(session), 0);
            }
        }
        self.free.push(index);
        self.open -= 1;
        self.stats
            .connections
            .store(self.open as u64, Ordering::Relaxed);
        Some(slot)
    }

    /// The credentials were checked: right ones bring the connection to its session's home.
    fn authenticated(&mut self, index: usize, accepted: bool) {
        let asked = self.slots[index]
            .as_ref()
            .and_then(|slot| slot.door.session_asked())
            .filter(|_| accepted && self.homes.len() > 1);
        let home = asked.map(|session| session.0 as usize % self.homes.len());
        match home {
            Some(home) if home != usize::from(self.settings.id) => {
                let Some(slot) = self.take_out(index) else {
                    return;
                };
                let home = &self.homes[home];
                // It holds as many as there may be connections, so it is never full; a gateway
                // that has ended takes nobody, and the socket closes here.
                if home.door.try_send(slot).is_ok() {
                    home.wake();
                }
            }
            _ => self.with(index, |door, ctx, connection| {
                door.authenticated(ctx, connection, accepted)
            }),
        }
    }

    /// Connections whose credentials are right come home.
    fn welcome(&mut self) -> usize {
        let mut done = 0;
        while let Ok(mut slot) = self.arrivals.try_recv() {
            done += 1;
            let index = self.place();
            slot.name = self.name(index);
            slot.queued = false;
            slot.readable = true;
            let peer = slot.connection.peer;
            if let Err(error) = self.take_in(index, slot) {
                tracing::warn!(%peer, %error, "cannot take the connection");
                continue;
            }
            let draining = self.drain_started;
            self.with(index, |door, ctx, connection| {
                if draining {
                    door.logout(ctx, connection, Reason::GoingAway)
                } else {
                    door.authenticated(ctx, connection, true)
                }
            });
        }
        done
    }

    /// Reads, parses and writes for every connection that has something to do.
    fn serve(&mut self) -> usize {
        let mut done = 0;
        let queue = std::mem::take(&mut self.ready);
        for &index in &queue {
            if let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) {
                slot.queued = false;
                done += self.serve_one(index);
            }
        }
        // Give the allocation back; keep what was queued meanwhile.
        let queued = std::mem::replace(&mut self.ready, queue);
        self.ready.clear();
        self.ready.extend(queued);
        done
    }

    fn serve_one(&mut self, index: usize) -> usize {
        let mut messages = 0;
        loop {
            let Some(slot) = self.slots[index].as_mut() else {
                return messages;
            };
            if slot.paused || slot.closing_at.is_some() {
                break;
            }
            if messages == TURN || !self.outbox.accepts_input() {
                // Its turn is over, or the log is behind: the bytes stay where they are.
                self.enqueue(index);
                break;
            }
            let now_ns = self.clock.monotonic_ns();
            let mut ctx = Context {
                now_ns,
                utc: self.clock.utc_at(now_ns),
                connection: slot.name,
                source: slot.connection.peer.ip(),
                outbox: &mut self.outbox,
                reference: &self.reference,
                services: &self.services,
                quotes: &mut self.quotes,
            };
            let (consumed, next) = if slot.connection.input().is_empty() {
                (false, Next::Continue)
            } else {
                slot.door.receive(&mut ctx, &mut slot.connection)
            };
            if next != Next::Continue {
                self.apply_next(index, next, now_ns);
            }
            if consumed {
                messages += 1;
                continue;
            }
            let Some(slot) = self.slots[index].as_mut() else {
                return messages;
            };
            if slot.paused || slot.closing_at.is_some() || !slot.readable {
                break;
            }
            match slot.connection.read() {
                ReadOutcome::Bytes => {}
                ReadOutcome::Drained => slot.readable = slot.read_closed,
                ReadOutcome::Full => {
                    // A frame is shorter than the buffer, so a full buffer holds one.
                    self.drop_connection(index, Reason::ProtocolError);
                    return messages;
                }
                ReadOutcome::Closed => {
                    self.drop_connection(index, Reason::None);
                    return messages + 1;
                }
            }
        }
        self.write_out(index);
        messages
    }

    fn write_out(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let before = slot.connection.output_pending();
        if before > 0 && !slot.connection.flush() {
            self.drop_connection(index, Reason::None);
            return;
        }
        let pending = slot.connection.output_pending();
        if slot.unsent > 0 && pending == 0 {
            let ns = self.clock.utc_now().0.saturating_sub(slot.unsent_since);
            let reports = std::mem::take(&mut slot.unsent);
            (self.stages)(Stages::Sent { ns, reports });
        }
        if slot.closing_at.is_some() {
            if pending == 0 && slot.finish() {
                self.drop_connection(index, Reason::None);
            }
            return;
        }
        if pending > self.settings.output_bytes_max {
            self.with(index, |door, ctx, connection| {
                door.logout(ctx, connection, Reason::SlowConsumer)
            });
            return;
        }
        if before > 0 && pending == 0 {
            let Some(slot) = self.slots[index].as_mut() else {
                return;
            };
            let paused = slot.paused;
            let now_ns = self.clock.monotonic_ns();
            let mut ctx = Context {
                now_ns,
                utc: self.clock.utc_at(now_ns),
                connection: slot.name,
                source: slot.connection.peer.ip(),
                outbox: &mut self.outbox,
                reference: &self.reference,
                services: &self.services,
                quotes: &mut self.quotes,
            };
            let next = slot.door.drained(&mut ctx, &mut slot.connection);
            if next != Next::Continue {
                self.apply_next(index, next, now_ns);
            } else if let Some(slot) = self.slots[index].as_mut() {
                slot.paused = paused;
            }
        }
    }

    /// Closes the socket and tells the core.
    fn drop_connection(&mut self, index: usize, reason: Reason) {
        let Some(mut slot) = self.take_out(index) else {
            return;
        };
        if slot.closing_at.is_none() && slot.is_refused(reason) {
            add(&self.stats.logons_refused, 1);
        }
        let now_ns = self.clock.monotonic_ns();
        let mut ctx = Context {
            now_ns,
            utc: self.clock.utc_at(now_ns),
            connection: slot.name,
            source: slot.connection.peer.ip(),
            outbox: &mut self.outbox,
            reference: &self.reference,
            services: &self.services,
            quotes: &mut self.quotes,
        };
        slot.door.end(&mut ctx, reason);
    }

    fn index_of(&self, name: u64) -> Option<usize> {
        let index = (name & 0xFF_FFFF) as usize;
        let slot = self.slots.get(index)?.as_ref()?;
        (slot.name == name).then_some(index)
    }

    /// Reads the durable part of the event ring.
    fn tail_events(&mut self) -> usize {
        let durable = self.durable.get();
        let mut done = 0;
        // The record is copied out, because handling it needs the whole gateway; an event is a
        // few cache lines.
        let mut record = std::mem::take(&mut self.record);
        while done < EVENT_BATCH {
            let Some(bytes) = self.ring.peek() else { break };
            let length = bytes.len();
            let copy = zerocopy::IntoBytes::as_mut_bytes(&mut record[..]);
            copy[..length].copy_from_slice(bytes);
            let Ok((header, body)) = event::read(&copy[8..length]) else {
                self.ring.advance();
                continue;
            };
            if header.sequence.0 > durable {
                break;
            }
            self.ring.advance();
            done += 1;
            let seen = header.sequence;
            let mut applied = [0u8; 8];
            applied.copy_from_slice(&copy[..8]);
            self.dispatch(u64::from_le_bytes(applied), header, &body);
            if self.opens_at.is_some_and(|at| at <= seen) {
                self.opens_at = None;
                self.open_listeners();
            }
        }
        self.record = record;
        if done > 0 {
            self.ring.release();
        }
        done
    }

    #[inline]
    fn dispatch(&mut self, applied_at: u64, header: &EventHeader, body: &EventBody<'_>) {
        match body {
            EventBody::InstrumentDefined(defined) => {
                self.reference.define_instrument(&defined.definition);
                self.announce(defined.definition.instrument);
                self.tell_phases();
                return;
            }
            EventBody::LimitsSet(set) => {
                self.reference.set_limits(&set.limits);
                return;
            }
            EventBody::PhaseChanged(changed) => {
                let (id, since) = (changed.instrument, header.sequenced_at);
                let phase = TradingPhase::try_from(changed.phase);
                if phase.is_ok_and(|phase| self.reference.set_phase(id, phase, since)) {
                    self.tell_phases();
                }
                return;
            }
            EventBody::SessionDefined(defined) => {
                self.reference.define_session(&defined.definition);
                return;
            }
            EventBody::LogonAnswered(answer) => {
                if let Some(index) = self.index_of(answer.connection) {
                    self.bind(header, index);
                    self.with(index, |door, ctx, connection| {
                        door.logon_answered(ctx, connection, header, answer)
                    });
                }
                return;
            }
            _ => {}
        }
        let session = header.session.0 as usize;
        let Some(index) = self.sessions.get(session).copied().flatten() else {
            return;
        };
        self.with(index, |door, ctx, connection| {
            door.event(ctx, connection, header, body)
        });
        if header.session_seq.0 != 0 {
            add(&self.stats.events_sent, 1);
            if header.inbound_seq != 0 {
                let now = self.clock.utc_now().0;
                (self.stages)(Stages::Durable([
                    header.received_at.0,
                    header.sequenced_at.0,
                    applied_at,
                    now,
                ]));
                if let Some(slot) = self.slots[index].as_mut() {
                    if slot.unsent == 0 {
                        slot.unsent_since = now;
                    }
                    slot.unsent += 1;
                }
            }
        }
    }

    fn bind(&mut self, header: &EventHeader, index: usize) {
        if header.reason != Reason::None.code() {
            return;
        }
        let session = header.session.0 as usize;
        if self.sessions.len() <= session {
            self.sessions.resize(session + 1, None);
        }
        self.sessions[session] = Some(index);
        if let Some(slot) = self.slots[index].as_mut() {
            slot.logged_on = true;
        }
    }

    fn announce(&mut self, id: trading_engine_protocol::types::InstrumentId) {
        let Some(instrument) = self.reference.instrument(id).cloned() else {
            return;
        };
        for index in 0..self.slots.len() {
            if let Some(slot) = self.slots[index].as_mut() {
                slot.door.instrument(&mut slot.connection, &instrument);
                self.enqueue(index);
            }
        }
    }

    /// A phase changed: every session may have asked to be told.
    fn tell_phases(&mut self) {
        let now_ns = self.clock.monotonic_ns();
        let utc = self.clock.utc_at(now_ns);
        for index in 0..self.slots.len() {
            let Some(slot) = self.slots[index].as_mut() else {
                continue;
            };
            if !slot.logged_on || slot.closing_at.is_some() {
                continue;
            }
            let mut ctx = Context {
                now_ns,
                utc,
                connection: slot.name,
                source: slot.connection.peer.ip(),
                outbox: &mut self.outbox,
                reference: &self.reference,
                services: &self.services,
                quotes: &mut self.quotes,
            };
            slot.door.phase_changed(&mut ctx, &mut slot.connection);
            if slot.connection.output_pending() > 0 {
                self.enqueue(index);
            }
        }
    }

    fn answers(&mut self) -> usize {
        let mut done = 0;
        while let Ok(reply) = self.auth_replies.try_recv() {
            done += 1;
            let now_ns = self.clock.monotonic_ns();
            self.services.authenticator.note(&reply, now_ns);
            let Some(index) = self.index_of(reply.connection) else {
                continue;
            };
            match reply.verdict {
                Verdict::Right => self.authenticated(index, true),
                Verdict::Wrong => self.authenticated(index, false),
                Verdict::Unchecked => {
                    self.with(index, |door, _, connection| door.turn_away(connection));
                }
            }
        }
        while let Ok(reply) = self.history_replies.try_recv() {
            done += 1;
            if let Some(index) = self.index_of(reply.connection) {
                self.with(index, |door, ctx, connection| {
                    door.history(ctx, connection, &reply)
                });
            }
        }
        done
    }

    fn housekeeping(&mut self) {
        let now_ns = self.clock.monotonic_ns();
        if now_ns < self.next_housekeeping_ns {
            return;
        }
        self.next_housekeeping_ns = now_ns + HOUSEKEEPING_NS;
        self.accept_from(self.unaccepted);
        let failed = (self.log_failed)();
        let draining = self.draining.load(Ordering::Acquire);
        let end_all = failed || (draining && !self.drain_started);
        self.drain_started |= draining;
        let reason = if failed {
            Reason::LogUnavailable
        } else {
            Reason::GoingAway
        };
        for index in 0..self.slots.len() {
            let Some(slot) = self.slots[index].as_mut() else {
                continue;
            };
            if slot.closing_at.is_some_and(|at| now_ns >= at) {
                self.drop_connection(index, Reason::None);
                continue;
            }
            if end_all && slot.closing_at.is_none() {
                self.with(index, |door, ctx, connection| {
                    door.logout(ctx, connection, reason)
                });
            } else if slot.door.next_deadline_ns().is_some_and(|at| now_ns >= at) {
                let paused = slot.paused;
                self.with(index, |door, ctx, connection| door.timeout(ctx, connection));
                if let Some(slot) = self.slots[index].as_mut() {
                    slot.paused |= paused;
                }
            }
        }
        self.settle_claims(now_ns);
        let mut live = [0; 2];
        for (session, index) in (0..).zip(&self.sessions) {
            let Some(slot) = index.and_then(|index| self.slots.get(index)?.as_ref()) else {
                continue;
            };
            live[usize::from(matches!(slot.door, Door::Fix(_)))] += 1;
            (self.lag)(SessionId(session), slot.connection.output_pending() as u64);
        }
        let [binary, fix] = live;
        self.stats.binary_sessions.store(binary, Ordering::Relaxed);
        self.stats.fix_sessions.store(fix, Ordering::Relaxed);
        if draining && self.admissions.is_empty() && self.outbox.spilled() == 0 {
            self.drained.store(true, Ordering::Release);
        }
        if self.settings.id == 0 {
            self.clock.discipline();
        }
    }
}

impl Agent for Gateway {
    fn do_work(&mut self) -> usize {
        let mut done = if std::mem::take(&mut self.polled) {
            0
        } else {
            self.poll_sockets(Duration::ZERO)
        };
        done += self.welcome();
        done += self.answers();
        done += self.tail_events();
        done += self.serve();
        self.housekeeping();
        self.outbox.publish();
        // What could not go on because the log is behind goes on next round, without parking.
        done + usize::from(!self.ready.is_empty())
    }

    fn park(&mut self, at_most: Duration) -> bool {
        self.poll_sockets(at_most);
        self.polled = true;
        true
    }
}
