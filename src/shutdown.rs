//! How the program is told to end, and who asks meanwhile: the thread that serves the side ports
//! waits for SIGTERM, SIGINT or a failed log, and goes on serving through the drain.

use std::io;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin::{self, AdminState};

/// The side ports' runtime, with signals already listened for.
pub struct SidePorts {
    runtime: tokio::runtime::Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl std::fmt::Debug for SidePorts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SidePorts").finish_non_exhaustive()
    }
}

impl SidePorts {
    /// From now on a signal to end is kept for [`SidePorts::serve`]. Before it (settings,
    /// recovery) a signal ends the process as it stands: nothing was acknowledged.
    ///
    /// # Errors
    /// When the system has no room for a runtime or a signal handler.
    pub fn new() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let inside = runtime.enter();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        drop(inside);
        Ok(Self {
            runtime,
            terminate,
            interrupt,
        })
    }

    /// Serves the side ports until a signal comes or the log has failed, doing what is to be done
    /// `now_and_then` meanwhile, and goes on through the drain that `begin_drain` starts and gives a deadline, until it is drained: who asks then is
    /// told that the venue is going away.
    ///
    /// # Errors
    /// Of the side ports; the drain is done all the same.
    pub fn serve(
        mut self,
        http: TcpListener,
        metrics: TcpListener,
        state: AdminState,
        has_failed: impl Fn() -> bool,
        mut now_and_then: impl FnMut(),
        begin_drain: impl FnOnce() -> Instant,
        is_drained: impl Fn() -> bool,
    ) -> io::Result<()> {
        http.set_nonblocking(true)?;
        metrics.set_nonblocking(true)?;
        self.runtime.block_on(async move {
            let http = tokio::net::TcpListener::from_std(http)?;
            let metrics = tokio::net::TcpListener::from_std(metrics)?;
            let failed = async {
                while !has_failed() {
                    now_and_then();
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            let mut side = std::pin::pin!(admin::serve(http, metrics, state));
            let outcome = tokio::select! {
                result = &mut side => result,
                _ = self.terminate.recv() => Ok(()),
                _ = self.interrupt.recv() => Ok(()),
                () = failed => Ok(()),
            };
            let until = begin_drain();
            let drained = async {
                while !is_drained() && Instant::now() < until {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            if outcome.is_err() {
                drained.await;
                return outcome;
            }
            tokio::select! {
                result = &mut side => result,
                () = drained => Ok(()),
            }
        })
    }
}
