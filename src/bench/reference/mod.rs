//! Servers to compare with, each a child process of this program: `onceward bench-reference NAME --twilio URL`.
//!
//! A reference server prints, once it listens, one JSON object as a line on standard error, with the message `listening`
//! and its `url`, as onceward does. It ends when its standard input ends, so that none outlives the bench, and ends what
//! it has started itself.

mod ceiling;
#[cfg(feature = "bench")]
pub mod redis_server;
#[cfg(feature = "bench")]
pub mod redis_version;
#[cfg(feature = "bench")]
mod with_redis;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::{BenchError, Beside, Options};
#[cfg(feature = "bench")]
use redis_server::Durability;

/// The hidden command that runs a reference server.
pub const COMMAND: &str = "bench-reference";

/// Why a reference server cannot be had in this program; `None` if it can.
pub fn missing(which: Beside) -> Option<&'static str> {
    match which {
        Beside::Onceward | Beside::Ceiling => None,
        Beside::Redis | Beside::RedisDurable if cfg!(feature = "bench") => None,
        Beside::Redis | Beside::RedisDurable => Some(
            "this program was built without the Redis version; build it with: cargo build --release --features bench",
        ),
    }
}

/// What it is, in one line.
pub fn what(which: Beside) -> &'static str {
    match which {
        Beside::Onceward => "this program, its data on the disk, every answer synced before it leaves",
        Beside::Ceiling => "hyper and one reqwest call for each send; keeps, counts and writes nothing",
        Beside::Redis => {
            "the same job with its state in a Redis as it comes: not durable when it is answered"
        }
        Beside::RedisDurable => "the same job with its state in a Redis that syncs every write",
    }
}

/// This program again, as a reference server; what it keeps goes into `home`.
pub fn command(options: &Options, which: Beside, twilio: &str, home: &Path) -> Command {
    let mut command = Command::new(&options.program);
    command.current_dir(home).env_clear().args([COMMAND, which.name(), "--twilio", twilio]);
    // Where programs are found, for those that start one.
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command
}

/// Runs a reference server until its standard input ends or it is told to stop.
///
/// # Errors
///
/// It cannot start, or this program does not have it.
pub fn serve(which: Beside, twilio: &str) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(BenchError::io("start the threads of a reference server"))?;
    let outcome = runtime.block_on(async {
        let server = async {
            match (which, missing(which)) {
                (_, Some(why)) => Err(BenchError::Refused(why.to_owned())),
                (Beside::Ceiling, None) => ceiling::serve(twilio).await,
                #[cfg(feature = "bench")]
                (Beside::Redis, None) => with_redis::serve(Durability::AsItComes, twilio).await,
                #[cfg(feature = "bench")]
                (Beside::RedisDurable, None) => with_redis::serve(Durability::EveryWrite, twilio).await,
                (other, None) => Err(BenchError::Refused(format!("{other} is not a reference server"))),
            }
        };
        tokio::select! {
            outcome = server => outcome,
            () = told_to_stop() => Ok(()),
        }
    });
    // Requests that are being answered are nobody's any more.
    runtime.shutdown_background();
    outcome
}

async fn told_to_stop() {
    let (ended, ends) = oneshot::channel::<()>();
    // A thread of its own: nothing else would let go of a read that may never return.
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(ended);
    });
    let signalled = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = ends => {}
        () = signalled => {}
    }
}

/// Tells the parent process where a reference server listens.
#[expect(clippy::print_stderr, reason = "the parent process reads it there")]
pub fn announce(address: SocketAddr) {
    eprintln!("{}", json!({"level": "INFO", "message": "listening", "url": format!("http://{address}")}));
}
