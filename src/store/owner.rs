//! Whose market data Redis has under a prefix. Two venues that write under one would take each other's
//! records for those of an old log and remove them, again and again; so one of them owns the prefix, and the
//! other writes nothing and says why.
//!
//! The key `owner` says who: the log and the life of the venue that writes. It is renewed every
//! [`RENEWAL`] and ends by itself [`KEPT`] after its owner was heard of last; an owner that ends in order takes it
//! away. A later life of the same log takes it over at once: a folder has one venue at a time, so the
//! earlier life is over, or is the one that should be. Counters of the admin API are under the same prefix
//! and owned by nobody: instances share them.

use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::config::Options;
use fred::types::{Expiration, SetOptions};

/// How long a prefix stays somebody's who is not heard of.
const KEPT: Duration = Duration::from_secs(10);
/// At most so long between a look at the key and what is written by it.
const RENEWAL: Duration = Duration::from_secs(1);

/// Somebody who wants to write under a prefix.
#[derive(Debug)]
pub(super) struct Owner {
    key: String,
    log: String,
    epoch: u64,
    /// When the prefix was theirs last.
    held_at: Option<Instant>,
}

impl Owner {
    /// A life of a log.
    pub(super) fn new(key: String, log: String, epoch: u64) -> Self {
        Self {
            key,
            log,
            epoch,
            held_at: None,
        }
    }

    fn text(&self) -> String {
        format!("{}:{}", self.log, self.epoch)
    }

    /// Takes the prefix, or keeps it. `Some`: who has it instead.
    ///
    /// # Errors
    /// Redis does not answer.
    pub(super) async fn hold(
        &mut self,
        client: &Client,
        options: &Options,
    ) -> Result<Option<String>, Error> {
        if self.held_at.is_some_and(|at| at.elapsed() < RENEWAL) {
            return Ok(None);
        }
        self.held_at = None;
        let client = client.with_options(options);
        let asked_at = Instant::now();
        let ends = || {
            Some(Expiration::PX(
                i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX),
            ))
        };
        let new = Some(SetOptions::NX);
        let taken: Option<String> = client
            .set(&self.key, self.text(), ends(), new, false)
            .await?;
        if taken.is_none() {
            let known: Option<String> = client.get(&self.key).await?;
            let known = known.unwrap_or_default();
            if known != self.text() && !self.succeeds(&known) {
                return Ok(Some(known));
            }
            let () = client
                .set(&self.key, self.text(), ends(), None, false)
                .await?;
        }
        self.held_at = Some(asked_at);
        Ok(None)
    }

    /// Whether the other is an earlier life of the same log.
    fn succeeds(&self, other: &str) -> bool {
        let Some((log, epoch)) = other.split_once(':') else {
            return false;
        };
        log == self.log && epoch.parse().is_ok_and(|epoch: u64| epoch < self.epoch)
    }

    /// Gives the prefix back.
    ///
    /// # Errors
    /// Redis does not answer; then the key ends by itself.
    pub(super) async fn leave(self, client: &Client, options: &Options) -> Result<(), Error> {
        let client = client.with_options(options);
        let known: Option<String> = client.get(&self.key).await?;
        if known.as_deref() == Some(&*self.text()) {
            let () = client.del(&self.key).await?;
        }
        Ok(())
    }
}

/// What an owner that is not the venue itself is called to people.
pub(super) fn described(owner: &str) -> String {
    match owner.split_once(':') {
        Some((log, epoch)) => format!("the venue of log {log}, started at {epoch} ns,"),
        None => "something that is no venue of this kind".to_owned(),
    }
}

/// How long others wait, for people.
pub(super) const WAIT_SECONDS: u64 = KEPT.as_secs();
