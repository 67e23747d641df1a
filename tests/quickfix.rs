//! An unmodified QuickFIX initiator (Debian's C++ library) against the real binary: it logs on
//! with the shipped dictionary and every validation on, trades, is cut off in the middle of its
//! bursts, comes back by itself, and both sides fill their gaps: nothing refused, nothing lost,
//! nothing doubled. At the end it asks whether the instrument and the venue trade.
//!
//! Needs a C++ compiler and `libquickfix-dev`; the test command installs them.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use support::server::Server;

const ORDERS: u64 = 1_000;
/// Bytes of the client after which its first connection is cut, and bytes of the venue after which
/// its second and third are, each in the middle of a message. What the client still has to send
/// then depends on how far it came; what the venue owes it is always more than that.
const CUTS: [Cut; 3] = [
    Cut {
        of_client: 30_007,
        of_venue: u64::MAX,
    },
    Cut {
        of_client: u64::MAX,
        of_venue: 20_003,
    },
    Cut {
        of_client: u64::MAX,
        of_venue: 60_011,
    },
];

#[derive(Clone, Copy)]
struct Cut {
    of_client: u64,
    of_venue: u64,
}

/// Carries connections to the venue and cuts the first ones off.
struct CuttingProxy {
    address: SocketAddr,
    cuts: Arc<AtomicU64>,
}

impl CuttingProxy {
    fn start(venue: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&cuts);
        std::thread::spawn(move || {
            let mut plan = CUTS.iter();
            for client in listener.incoming() {
                let (Ok(client), Ok(venue)) = (client, TcpStream::connect(venue)) else {
                    continue;
                };
                let none = Cut {
                    of_client: u64::MAX,
                    of_venue: u64::MAX,
                };
                let cut = *plan.next().unwrap_or(&none);
                for (from, to, limit) in [
                    (
                        client.try_clone().unwrap(),
                        venue.try_clone().unwrap(),
                        cut.of_client,
                    ),
                    (venue, client, cut.of_venue),
                ] {
                    let counted = Arc::clone(&counted);
                    std::thread::spawn(move || carry(from, to, limit, &counted));
                }
            }
        });
        Self { address, cuts }
    }
}

/// Carries one direction, and cuts both after `limit` bytes.
fn carry(mut from: TcpStream, mut to: TcpStream, limit: u64, cuts: &AtomicU64) {
    let mut left = limit;
    let mut bytes = [0; 4096];
    loop {
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => {
                let pass = left.min(count as u64);
                left -= pass;
                if to
                    .write_all(&bytes[..usize::try_from(pass).unwrap()])
                    .is_err()
                {
                    break;
                }
                if left == 0 {
                    cuts.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

fn compile(folder: &Path) -> PathBuf {
    let program = folder.join("quickfix_initiator");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/quickfix_initiator.cpp");
    let output = Command::new("g++")
        .args(["-std=c++14", "-O1", "-w", "-o"])
        .arg(&program)
        .arg(source)
        .args(["-lquickfix", "-lpthread"])
        .output()
        .expect("a C++ compiler (Debian: g++ libquickfix-dev)");
    assert!(
        output.status.success(),
        "libquickfix-dev is needed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    program
}

fn configuration(folder: &Path, comp_id: &str, venue: SocketAddr) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dictionary = root.join("protocol/schema/FIX44-trading-engine.xml");
    let text = format!(
        "[DEFAULT]\n\
         ConnectionType=initiator\n\
         ReconnectInterval=1\n\
         FileStorePath={folder}/store\n\
         FileLogPath={folder}/log\n\
         StartTime=00:00:00\n\
         EndTime=00:00:00\n\
         HeartBtInt=30\n\
         UseDataDictionary=Y\n\
         DataDictionary={dictionary}\n\
         ValidateFieldsOutOfOrder=Y\n\
         ValidateFieldsHaveValues=Y\n\
         ValidateUserDefinedFields=Y\n\
         CheckLatency=Y\n\
         ResetOnLogon=N\n\
         SocketNodelay=Y\n\
         [SESSION]\n\
         BeginString=FIX.4.4\n\
         SenderCompID={comp_id}\n\
         TargetCompID=TRADENG\n\
         SocketConnectHost=127.0.0.1\n\
         SocketConnectPort={port}\n",
        folder = folder.display(),
        dictionary = dictionary.display(),
        port = venue.port(),
    );
    let path = folder.join("initiator.cfg");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_quickfix_initiator_that_is_cut_off_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let program = compile(folder.path());
    let data = folder.path().join("venue");
    let server = Server::start(&data, &[]);
    let credentials = server.credentials();
    let fix = &credentials.fix[0];
    let proxy = CuttingProxy::start(server.fix);
    let config = configuration(folder.path(), &fix.comp_id, proxy.address);

    let output = Command::new(program)
        .arg(config)
        .args([&fix.username, &fix.password, "TEST-A", &ORDERS.to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    println!("{said}{complaints}");
    let said: serde_json::Value = serde_json::from_str(said.trim()).expect("a line of JSON");
    let figure = |name: &str| said[name].as_i64().unwrap();

    assert_eq!(said["reconciled"], true, "every order was accepted once");
    assert_eq!(
        output.status.code(),
        Some(0),
        "replaced and canceled at the end, and told what trades"
    );
    assert_eq!(proxy.cuts.load(Ordering::Relaxed), 3, "cut three times");
    assert_eq!(figure("logons"), 4, "came back after each cut");
    for fault in ["refused_by_us", "refused_by_venue", "doubled", "lost"] {
        assert_eq!(figure(fault), 0, "{fault}");
    }
    assert!(
        figure("sent_again") > 0,
        "the venue asked for what it missed"
    );
    assert!(
        figure("received_again") > 0,
        "and sent what the client missed"
    );

    // What the client bought it sold to itself: what is open is what did not find its other side.
    let entered = |side: u64| {
        (1..=ORDERS)
            .filter(|n| n % 2 == side)
            .map(|n| 1 + n % 7)
            .sum()
    };
    let (buys, sells): (u64, u64) = (entered(1), entered(0));
    let traded = u64::try_from(figure("bought")).unwrap();
    assert_eq!(figure("bought"), figure("sold"));
    assert_eq!(traded, buys.min(sells), "all that could trade did");
    let (status, book) = server.get("/book/TEST-A");
    assert_eq!(status, 200);
    let book: serde_json::Value = serde_json::from_str(&book).unwrap();
    println!("{book}");
    let open: f64 = ["bids", "asks"]
        .iter()
        .flat_map(|side| book[side].as_array().unwrap())
        .map(|level| level["quantity"].as_str().unwrap().parse::<f64>().unwrap())
        .sum();
    assert!(
        (open - buys.abs_diff(sells) as f64).abs() < 1e-9,
        "open {open}"
    );
    assert_eq!(server.terminate(), Some(0));
}
