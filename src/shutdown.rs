//! How the program is told to end, and who asks meanwhile: a thread serves the side ports from
//! before recovery to the end of the drain; the main one waits for SIGTERM, SIGINT or a failed log.

use std::io;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin::{self, AdminState};

/// The side ports, being served.
pub struct SidePorts {
    runtime: tokio::runtime::Runtime,
}

/// Signals to end, kept until somebody waits for them.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl std::fmt::Debug for SidePorts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SidePorts").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}

impl SidePorts {
    /// Serves until dropped.
    ///
    /// # Errors
    /// When the system has no room for a runtime, or a listener cannot be used.
    pub fn open(http: TcpListener, metrics: TcpListener, state: AdminState) -> io::Result<Self> {
        http.set_nonblocking(true)?;
        metrics.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("side-ports")
            .enable_all()
            .build()?;
        let inside = runtime.enter();
        let http = tokio::net::TcpListener::from_std(http)?;
        let metrics = tokio::net::TcpListener::from_std(metrics)?;
        drop(inside);
        runtime.spawn(admin::serve(http, metrics, state));
        Ok(Self { runtime })
    }

    /// Makes something that lives in the side ports' runtime.
    pub fn inside<T>(&self, make: impl FnOnce() -> T) -> T {
        let _inside = self.runtime.enter();
        make()
    }

    /// What serves them, for whoever has more to do beside the venue.
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        self.runtime.handle()
    }

    /// From now on a signal to end is kept for [`SidePorts::until_drained`]. Before it (settings,
    /// recovery) a signal ends the process as it stands: nothing was acknowledged.
    ///
    /// # Errors
    /// When the system has no room for a signal handler.
    pub fn listen_for_signals(&self) -> io::Result<Signals> {
        let _inside = self.runtime.enter();
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Returns after a signal came or the log has failed, having done what is to be done
    /// `now_and_then` meanwhile, and the drain that `begin_drain` starts and gives a deadline is
    /// done. The side ports answer all the while: who asks during the drain is told that the venue
    /// is going away.
    pub fn until_drained(
        &self,
        mut signals: Signals,
        has_failed: impl Fn() -> bool,
        mut now_and_then: impl FnMut(),
        begin_drain: impl FnOnce() -> Instant,
        is_drained: impl Fn() -> bool,
    ) {
        self.runtime.block_on(async move {
            let failed = async {
                while !has_failed() {
                    now_and_then();
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::select! {
                _ = signals.terminate.recv() => {}
                _ = signals.interrupt.recv() => {}
                () = failed => {}
            }
            let until = begin_drain();
            while !is_drained() && Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
}
