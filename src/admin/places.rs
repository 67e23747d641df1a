//! Who may be connected to a side port: a bounded number of connections, of which no address holds all and
//! idle ones give way.
//!
//! A port has [`CONNECTIONS_MAX`] places. [`OF_ADDRESS_MAX`] of them are for one address at most, whichever
//! it is: a proxy, or the machine itself, has many users and is still one that can go wrong. A newcomer that
//! finds its address or the port full takes the place of an idle connection: of its own address, or of
//! the address that has most. Idle is one whose request is not being answered, whether it kept its connection
//! after one or never sent a whole one. When none is, the newcomer gets one of the last
//! [`WATCH_PLACES`], on which only [`is_watching`] is answered and everything else told to come again: so a
//! probe is answered, a kill switch's user can see what is wrong, and nobody is refused without a word.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;

use super::proxies::counted_as;

/// Connections of a port at once.
pub const CONNECTIONS_MAX: usize = 64;
/// Of them, those that only answer whether the venue is well.
const WATCH_PLACES: usize = 8;
/// Of the others, those of one address.
const OF_ADDRESS_MAX: usize = 48;

/// Whether a path is for those who watch the venue: probes and scrapes.
pub fn is_watching(path: &str) -> bool {
    path == "/health" || path.starts_with("/health/") || path == "/metrics"
}

/// What became of connections that found no room, of both ports.
#[derive(Clone, Debug, Default)]
pub struct RoomCounts {
    /// Idle connections closed for others.
    pub displaced: Arc<AtomicU64>,
    /// Requests told to come again, and connections closed at accept.
    pub refused: Arc<AtomicU64>,
}

/// The places of one port.
#[derive(Debug)]
pub struct Places {
    table: Mutex<Table>,
    counts: RoomCounts,
}

#[derive(Debug, Default)]
struct Table {
    /// Names of places, in the order they were taken.
    last: u64,
    open: BTreeMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    from: IpAddr,
    /// One of the last places.
    watches: bool,
    /// Requests that are being answered.
    at_work: usize,
    /// Since when there are none.
    idle_since: Instant,
    /// Tells the connection that its place is somebody else's.
    end: Arc<Notify>,
}

/// A connection's place, given back when this is dropped.
#[derive(Clone, Debug)]
pub struct Place {
    seat: Arc<Seat>,
}

#[derive(Debug)]
struct Seat {
    places: Arc<Places>,
    id: u64,
    watches: bool,
    end: Arc<Notify>,
}

/// A request that is being answered on a place.
#[derive(Debug)]
pub struct Work {
    seat: Arc<Seat>,
}

impl Places {
    /// All of a port.
    pub fn new(counts: RoomCounts) -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::default(),
            counts,
        })
    }

    /// A place for somebody from there. The flag: an idle connection gave way, and wants its turn to end.
    /// `None`: there is no room at all.
    pub fn take(self: &Arc<Self>, from: IpAddr) -> Option<(Place, bool)> {
        let taken = self.with(|table| {
            let (id, displaced) = table.take(counted_as(from))?;
            let connection = table.open.get(&id)?;
            Some((
                id,
                displaced,
                connection.watches,
                Arc::clone(&connection.end),
            ))
        });
        let Some((id, displaced, watches, end)) = taken else {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        if displaced {
            self.counts.displaced.fetch_add(1, Ordering::Relaxed);
        }
        let seat = Seat {
            places: Arc::clone(self),
            id,
            watches,
            end,
        };
        let place = Place {
            seat: Arc::new(seat),
        };
        Some((place, displaced))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Table) -> T) -> T {
        work(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Table {
    fn take(&mut self, from: IpAddr) -> Option<(u64, bool)> {
        let (mut own, mut all, mut watching) = (0, 0, 0);
        for one in self.open.values() {
            if one.watches {
                watching += 1;
            } else {
                all += 1;
                own += usize::from(one.from == from);
            }
        }
        if own < OF_ADDRESS_MAX && all < CONNECTIONS_MAX - WATCH_PLACES {
            return Some((self.add(from, false), false));
        }
        let own_is_full = own >= OF_ADDRESS_MAX;
        if self.displace(|one| !one.watches && (!own_is_full || one.from == from)) {
            return Some((self.add(from, false), true));
        }
        if watching < WATCH_PLACES {
            return Some((self.add(from, true), false));
        }
        let displaced = self.displace(|one| one.watches);
        displaced.then(|| (self.add(from, true), true))
    }

    fn add(&mut self, from: IpAddr, watches: bool) -> u64 {
        self.last += 1;
        let connection = Connection {
            from,
            watches,
            at_work: 0,
            idle_since: Instant::now(),
            end: Arc::default(),
        };
        self.open.insert(self.last, connection);
        self.last
    }

    /// Ends the connection that is idle longest, of the address that has most of those that may go.
    fn displace(&mut self, may_go: impl Fn(&Connection) -> bool) -> bool {
        let mut holds: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for one in self.open.values().filter(|one| may_go(one)) {
            *holds.entry(one.from).or_default() += 1;
        }
        let idle = self.open.iter();
        let idle = idle.filter(|(_, one)| one.at_work == 0 && may_go(one));
        let goes = idle.max_by_key(|(id, one)| {
            let longest = std::cmp::Reverse((one.idle_since, **id));
            (holds.get(&one.from).copied(), longest)
        });
        let Some(id) = goes.map(|(id, _)| *id) else {
            return false;
        };
        if let Some(gone) = self.open.remove(&id) {
            gone.end.notify_one();
        }
        true
    }
}

impl Place {
    /// A request comes. `None`: the place is somebody else's by now.
    pub fn begin(&self) -> Option<Work> {
        let seat = &self.seat;
        seat.places.with(|table| {
            let connection = table.open.get_mut(&seat.id)?;
            connection.at_work += 1;
            Some(())
        })?;
        Some(Work {
            seat: Arc::clone(seat),
        })
    }

    /// Whether a request of this path is answered here; one that is not counts as refused.
    pub fn answers(&self, path: &str) -> bool {
        let answers = !self.seat.watches || is_watching(path);
        if !answers {
            let refused = &self.seat.places.counts.refused;
            refused.fetch_add(1, Ordering::Relaxed);
        }
        answers
    }

    /// Waits until the place is somebody else's.
    pub async fn lost(&self) {
        self.seat.end.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.places.with(|table| table.open.remove(&self.id));
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.seat.places.with(|table| {
            if let Some(connection) = table.open.get_mut(&self.seat.id) {
                connection.at_work -= 1;
                connection.idle_since = Instant::now();
            }
        });
    }
}

/// A body on whose connection there is work until the last of it was taken: an event stream is not idle.
pub struct Working {
    body: Body,
    _work: Work,
}

impl Working {
    /// The body of an answer to that work.
    pub fn new(body: Body, work: Work) -> Self {
        Self { body, _work: work }
    }
}

impl HttpBody for Working {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
