//! Proxies of the system, with the files of `dist/proxy`.

use std::env;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;

use super::{Setup, soon};

/// A running proxy. Dropping it kills it.
pub struct Proxy {
    process: Child,
    _setup: Setup,
}

impl Proxy {
    /// Starts it in the directory of `setup`, and waits until it listens at these addresses. `None` where it is not
    /// installed, or has not these addresses; CI must have it.
    #[expect(clippy::print_stdout, reason = "a test that does not run has to say so")]
    pub async fn start(
        name: &str,
        arguments: &[&str],
        setup: Setup,
        addresses: &[SocketAddr],
    ) -> Option<Self> {
        let mut command = Command::new(name);
        command
            .args(arguments)
            .current_dir(setup.home())
            .env_clear()
            .env("PATH", format!("{}:/usr/sbin", env::var("PATH").unwrap_or_default()))
            .env("HOME", setup.home())
            .stdin(Stdio::null());
        let mut free = addresses.iter().map(TcpListener::bind);
        let started = free.try_for_each(|listener| listener.map(drop)).and_then(|()| command.spawn());
        let process = match started {
            Ok(process) => process,
            Err(error) => {
                assert!(env::var_os("CI").is_none(), "{name}: {error}. CI must have it.");
                println!("SKIPPED: cannot run {name} at {addresses:?}: {error}");
                return None;
            }
        };
        let mut proxy = Self { process, _setup: setup };
        for address in addresses {
            let connects = async {
                while TcpStream::connect(address).await.is_err() {
                    let ended = proxy.process.try_wait().expect("a process");
                    assert!(ended.is_none(), "{name} refuses its file");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            soon("the proxy listens", connects).await;
        }
        Some(proxy)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // An error means that it has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A file of `dist/proxy` as an operator fills it in.
pub fn proxy_file(file: &str, filled_in: &[(&str, &str)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/proxy").join(file);
    let shipped = fs::read_to_string(path).expect("the file");
    filled_in.iter().fold(shipped, |text, (place, value)| {
        assert!(text.contains(place), "{file} has no {place:?}");
        text.replace(place, value)
    })
}
