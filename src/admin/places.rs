//! Who may be connected to a side port: a bounded number of connections, of which no address holds all and
//! idle ones give way.
//!
//! A port has [`CONNECTIONS_MAX`] places. [`OF_ADDRESS_MAX`] of them are for one address at most, whichever
//! it is: a proxy, or the machine itself, has many users and is still one that can go wrong. A newcomer that
//! finds its address or the port full takes the place of an idle connection: of its own address, or of
//! the address that has most. Idle is one whose request is not being answered, whether it kept its connection
//! after one, never sent a whole one, its body included, or does not read its answer. When none is, the newcomer
//! gets one of the last
//! [`WATCH_PLACES`], on which only [`is_watching`] is answered and everything else told to come again: so a
//! probe is answered, a kill switch's user can see what is wrong, and nobody is refused without a word.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

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
    /// Requests that are there whole and being answered.
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

/// A request on a place. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Work {
    request: Arc<Counted>,
}

#[derive(Debug)]
struct Counted {
    seat: Arc<Seat>,
    /// It is there whole, so that its connection is not idle.
    at_work: AtomicBool,
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
        let is_here = seat.places.with(|table| table.open.contains_key(&seat.id));
        is_here.then(|| Work {
            request: Arc::new(Counted {
                seat: Arc::clone(seat),
                at_work: AtomicBool::new(false),
            }),
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

impl Work {
    /// The request is there whole: until its end, nobody takes its place.
    pub fn start(&self) {
        let Counted { seat, at_work } = &*self.request;
        if !at_work.swap(true, Ordering::Relaxed) {
            seat.places.with(|table| {
                if let Some(connection) = table.open.get_mut(&seat.id) {
                    connection.at_work += 1;
                }
            });
        }
    }

    /// The request's body; the work starts with the last of it, and it has so long to come.
    pub fn after(&self, body: Body, time: Duration) -> Body {
        if body.is_end_stream() {
            self.start();
            return body;
        }
        Body::new(Coming {
            body,
            late: Box::pin(sleep(time)),
            work: self.clone(),
        })
    }

    /// The answer's body. One that is known whole is nothing that is worked at: whoever does not take it is
    /// idle. An event stream is worked at until its last byte.
    pub fn until(self, body: Body) -> Body {
        if body.size_hint().exact().is_some() {
            return body;
        }
        self.start();
        Body::new(Working { body, _work: self })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !*self.at_work.get_mut() {
            return;
        }
        self.seat.places.with(|table| {
            if let Some(connection) = table.open.get_mut(&self.seat.id) {
                connection.at_work -= 1;
                connection.idle_since = Instant::now();
            }
        });
    }
}

/// A request's body did not come in time.
#[derive(Debug)]
pub struct Late;

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request's body did not come in time")
    }
}

impl std::error::Error for Late {}

/// A body that is on its way.
struct Coming {
    body: Body,
    late: Pin<Box<Sleep>>,
    work: Work,
}

impl HttpBody for Coming {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            ready!(self.late.as_mut().poll(context));
            return Poll::Ready(Some(Err(axum::Error::new(Late))));
        };
        if frame.is_none() || self.body.is_end_stream() {
            self.work.start();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body on whose connection there is work until the last of it was taken.
struct Working {
    body: Body,
    _work: Work,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_full_of_work_tells_newcomers_whether_the_venue_is_well() {
        let [one, other] = [[127, 0, 0, 1], [127, 0, 0, 2]].map(IpAddr::from);
        let places = Places::new(RoomCounts::default());
        let mut held: Vec<(Place, Work)> = Vec::new();
        let mut hold = |from, count| {
            for _ in 0..count {
                let (place, displaced) = places.take(from).unwrap();
                assert!(!displaced && place.answers("/docs"));
                let work = place.begin().unwrap();
                work.start();
                held.push((place, work));
            }
        };
        hold(one, OF_ADDRESS_MAX);
        let (last, displaced) = places.take(one).unwrap();
        assert!(!displaced && !last.answers("/docs") && last.answers("/health/live"));
        drop(last);
        hold(other, CONNECTIONS_MAX - WATCH_PLACES - OF_ADDRESS_MAX);
        let (last, _) = places.take(other).unwrap();
        assert!(!last.answers("/docs"));
        drop(last);
        // What is answered leaves an idle connection, which gives way; its requests find no place then.
        let (idle, work) = held.remove(0);
        drop(work);
        let (taken, displaced) = places.take(other).unwrap();
        assert!(displaced && taken.answers("/docs"));
        assert!(idle.begin().is_none());
    }
}
