//! Why the program did not start.

use std::io;

use super::cluster::ClusterError;
use crate::http::tls::TlsError;
use crate::node;

/// Why the program did not start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AppStartError {
    #[error("the system refused to deliver stop signals: {0}")]
    Signals(io::Error),
    /// The address is in use or belongs to another machine.
    #[error("cannot listen on {address}: {source}; {}, such as {example}", advice(source))]
    Bind { address: String, source: io::Error, example: &'static str },
    #[error("cannot read the address of the listening socket: {0}")]
    Address(io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("traces cannot be exported to OTEL_EXPORTER_OTLP_ENDPOINT: {0}")]
    Traces(Box<dyn std::error::Error + Send + Sync>),
    #[error("the system gave no random bytes: {0}")]
    NoRandomness(rand::rngs::SysError),
    #[error(transparent)]
    Services(#[from] node::StartError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

impl AppStartError {
    /// Returns `true` if the operator must change the configuration.
    pub const fn is_about_the_configuration(&self) -> bool {
        match self {
            Self::Services(error) => error.is_about_the_configuration(),
            Self::Cluster(error) => error.is_about_the_configuration(),
            _ => false,
        }
    }
}

/// The remedy for an address that could not be bound.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need the right to bind them (CAP_NET_BIND_SERVICE), or choose another"
        }
        io::ErrorKind::AddrInUse => "stop the program that has the address, or choose another",
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address; choose another",
        _ => "choose another address",
    }
}
