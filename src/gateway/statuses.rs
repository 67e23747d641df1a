//! What a FIX connection asked to be told of trading phases, and what it has to be told now.
//!
//! A status is a state: of several changes that a connection was not told of yet it is told the last one. So nothing
//! queues up here, however slowly a client reads.

use trading_engine_protocol::fix::{
    Content, SecurityStatus, SecurityStatusRequest, SessionStatus, SessionStatusRequest,
    Subscription, TRADING_SESSION,
};
use trading_engine_protocol::types::{ClientOrderId, InstrumentId, TradingPhase, UtcNanos};

use super::reference::{Instrument, ReferenceData};

/// TradSesStatus(340).
const UNKNOWN: u8 = 0;
const HALTED: u8 = 1;
const OPEN: u8 = 2;
const CLOSED: u8 = 3;
const PRE_OPEN: u8 = 4;
const PRE_CLOSE: u8 = 5;
/// Likewise: there is no such trading session.
pub(super) const REJECTED: u8 = 6;

/// A subscription to an instrument.
#[derive(Clone, Copy, Debug)]
struct Watched {
    instrument: InstrumentId,
    request: ClientOrderId,
    /// The change that was told last.
    told: u64,
}

/// The subscriptions of a connection; they end with it.
#[derive(Debug, Default)]
pub(super) struct Statuses {
    /// At most one for each instrument.
    watched: Vec<Watched>,
    /// The subscription to the trading session, and what was told last.
    session: Option<(ClientOrderId, u8)>,
    /// Every change up to this one is told, or nobody asked.
    told: u64,
    /// A walk over `watched`: how far it is, and the newest change when it began.
    at: usize,
    walks_to: u64,
}

impl Statuses {
    /// Takes a SecurityStatusRequest(e). Returns the answer, if it wants one.
    pub fn ask_instrument(
        &mut self,
        reference: &ReferenceData,
        symbol: &[u8],
        asked: &SecurityStatusRequest,
    ) -> Option<Content> {
        let found = reference
            .instrument_by_symbol(symbol)
            .filter(|_| asked.is_known);
        let Some(instrument) = found else {
            return (asked.subscription != Subscription::Unsubscribe).then_some(
                Content::SecurityStatus(SecurityStatus {
                    request: asked.request,
                    unsolicited: false,
                    symbol: asked.symbol,
                    phase: None,
                    since: UtcNanos(0),
                }),
            );
        };
        let id = instrument.definition.instrument;
        if asked.subscription != Subscription::Snapshot {
            self.watched.retain(|watched| watched.instrument != id);
            // The walk under way began with another list.
            self.at = 0;
        }
        match asked.subscription {
            Subscription::Unsubscribe => return None,
            Subscription::Subscribe => self.watched.push(Watched {
                instrument: id,
                request: asked.request,
                told: instrument.change,
            }),
            Subscription::Snapshot => {}
        }
        Some(status(instrument, asked.request, false))
    }

    /// Takes a TradingSessionStatusRequest(g). Returns the answer, if it wants one.
    pub fn ask_session(
        &mut self,
        reference: &ReferenceData,
        asked: &SessionStatusRequest,
    ) -> Option<Content> {
        let status = if asked.is_known {
            session_status(reference)
        } else {
            REJECTED
        };
        match asked.subscription {
            Subscription::Unsubscribe => {
                if asked.is_known {
                    self.session = None;
                }
                return None;
            }
            Subscription::Subscribe if asked.is_known => {
                self.session = Some((asked.request, status));
            }
            Subscription::Subscribe | Subscription::Snapshot => {}
        }
        Some(Content::SessionStatus(SessionStatus {
            request: asked.request,
            unsolicited: false,
            session: asked.session,
            status,
        }))
    }

    /// What was told may not have come: the numbers began anew. Everything is told again.
    pub fn tell_again(&mut self) {
        self.watched.iter_mut().for_each(|watched| watched.told = 0);
        if let Some((_, told)) = &mut self.session {
            *told = REJECTED;
        }
        self.told = 0;
        self.at = 0;
    }

    /// The next thing that changed and was not told.
    #[inline]
    pub fn next(&mut self, reference: &ReferenceData) -> Option<Content> {
        while self.told != reference.changes() {
            let found = self.walk(reference);
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Goes on through the subscriptions; at their end all changes up to its beginning are told.
    fn walk(&mut self, reference: &ReferenceData) -> Option<Content> {
        if self.at == 0 {
            self.walks_to = reference.changes();
        }
        while let Some(watched) = self.watched.get_mut(self.at) {
            self.at += 1;
            if let Some(instrument) = reference.instrument(watched.instrument)
                && instrument.change > watched.told
            {
                watched.told = instrument.change;
                return Some(status(instrument, watched.request, true));
            }
        }
        self.at = 0;
        self.told = self.walks_to;
        let (request, told) = self.session.as_mut()?;
        let status = session_status(reference);
        if std::mem::replace(told, status) == status {
            return None;
        }
        Some(Content::SessionStatus(SessionStatus {
            request: *request,
            unsolicited: true,
            session: padded(TRADING_SESSION),
            status,
        }))
    }
}

/// A name as contents have it; none is longer.
fn padded(name: &[u8]) -> [u8; 24] {
    let mut padded = [0; 24];
    let length = name.len().min(padded.len());
    padded[..length].copy_from_slice(&name[..length]);
    padded
}

fn status(instrument: &Instrument, request: ClientOrderId, unsolicited: bool) -> Content {
    Content::SecurityStatus(SecurityStatus {
        request,
        unsolicited,
        symbol: padded(&instrument.symbol),
        phase: Some(instrument.phase),
        since: instrument.phase_since,
    })
}

/// Whether the venue trades: what the most open of its instruments does. While a phase for all goes from one
/// instrument to the next there is so one change, and a halt of one instrument is none.
fn session_status(reference: &ReferenceData) -> u8 {
    use TradingPhase as P;
    let any = |phases: &[P]| {
        let mut phases = phases.iter();
        phases.any(|phase| reference.instruments_in(*phase) > 0)
    };
    if any(&[P::Continuous, P::VolatilityAuction]) {
        OPEN
    } else if any(&[P::ClosingAuction]) {
        PRE_CLOSE
    } else if any(&[P::PreOpen, P::OpeningAuction]) {
        PRE_OPEN
    } else if any(&[P::Closed]) {
        CLOSED
    } else if any(&[P::Halted]) {
        HALTED
    } else {
        UNKNOWN
    }
}

/// SecurityTradingStatus(326) and TradingSessionSubID(625), 0 = none.
pub(super) fn in_fix(phase: Option<TradingPhase>) -> (u64, u64) {
    match phase {
        None => (20, 0),
        Some(TradingPhase::Continuous) => (17, 3),
        Some(TradingPhase::Closed) => (18, 5),
        Some(TradingPhase::PreOpen) => (21, 1),
        Some(TradingPhase::OpeningAuction) => (22, 2),
        Some(TradingPhase::Halted) => (2, 0),
        Some(TradingPhase::VolatilityAuction) => (5, 9),
        Some(TradingPhase::ClosingAuction) => (5, 4),
    }
}
