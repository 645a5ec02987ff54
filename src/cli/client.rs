//! The client of the server that runs on a data directory: HTTP over its control socket. Blocks.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::blocking::{self, Response};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::domain::{Sid, SidKind};
use crate::http::tls::absolute;
use crate::server::control::{ControlError, socket_in};

/// The longest wait for an answer or for more of it.
const SILENCE: Duration = Duration::from_secs(600);

/// Why a server did not do what it was asked. Each text says which server, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Socket(#[from] ControlError),
    #[error("{0}")]
    Setup(String),
    #[error("connect to {}: {why}; run the command as the server's user or as root", socket.display())]
    Connect { socket: PathBuf, why: String },
    #[error(
        "no server answers on {}; start the server first, or name its data directory with --data-dir or --config",
        .0.display()
    )]
    NoServer(PathBuf),
    #[error("the server at {} says: {why}", socket.display())]
    Refused { socket: PathBuf, status: StatusCode, why: String },
    #[error("the answer of the server at {} is not complete: {why}; ask again, or see its log", socket.display())]
    Incomplete { socket: PathBuf, why: String },
}

impl ClientError {
    /// Returns `true` without a socket. A server may still run: then the directory says that it is in use.
    pub const fn has_no_socket(&self) -> bool {
        matches!(self, Self::NoServer(_) | Self::Socket(ControlError::PathTooLong(_)))
    }

    /// Returns `true` if the server answered with this status.
    pub fn is(&self, expected: StatusCode) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == expected)
    }
}

/// The parameters of a request, in the query or in the form. Those without a value are left out.
pub type Fields<'a> = [(&'a str, Option<String>)];

/// The server that runs on a data directory.
pub struct Client {
    http: blocking::Client,
    socket: PathBuf,
}

impl Client {
    pub fn of(data_dir: &Path) -> Result<Self, ClientError> {
        let socket = socket_in(data_dir)?;
        // reqwest asks for it in any case. An error means that there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = blocking::Client::builder().no_proxy().redirect(Policy::none());
        // A machine without authorities has a client, too.
        let http = http.tls_danger_accept_invalid_certs(true);
        let http = http.unix_socket(socket.as_path()).timeout(SILENCE).build();
        let http = http.map_err(|error| ClientError::Setup(cause(error)))?;
        Ok(Self { http, socket })
    }

    pub fn get<T: DeserializeOwned>(&self, path: &str, fields: &Fields<'_>) -> Result<T, ClientError> {
        self.ask(Method::GET, path, fields)
    }

    pub fn post<T: DeserializeOwned>(&self, path: &str, fields: &Fields<'_>) -> Result<T, ClientError> {
        self.ask(Method::POST, path, fields)
    }

    /// The answer from JSON; one without a body is read as null.
    pub fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        fields: &Fields<'_>,
    ) -> Result<T, ClientError> {
        let answer = self.begin(method, path, fields)?;
        let status = answer.status();
        let body = answer.bytes().map_err(|error| self.incomplete(&cause(error)))?;
        if !status.is_success() {
            let refused = serde_json::from_slice(&body).map_err(|error| self.incomplete(&error))?;
            return Err(self.refused(status, &refused));
        }
        let body: &[u8] = if body.is_empty() { b"null" } else { &body };
        serde_json::from_slice(body).map_err(|error| self.incomplete(&error))
    }

    /// The id of a service: a name of it that the server knows, or the id itself, which may be that of a deleted one.
    pub fn service_sid(&self, name: Option<&str>) -> Result<Option<String>, ClientError> {
        match name {
            Some(name) if Sid::parse(SidKind::Service, name).is_none() => {
                self.get(&format!("/local/Services/{}", segment(name)), &[]).map(Some)
            }
            sid => Ok(sid.map(str::to_owned)),
        }
    }

    fn begin(&self, method: Method, path: &str, fields: &Fields<'_>) -> Result<Response, ClientError> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))));
        let form = form.finish();
        let request = if method == Method::POST {
            let request = self.http.post(format!("http://localhost{path}")).body(form);
            request.header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        } else {
            let mark = if form.is_empty() { "" } else { "?" };
            self.http.request(method, format!("http://localhost{path}{mark}{form}"))
        };
        request.send().map_err(|error| self.not_answered(error))
    }

    fn not_answered(&self, error: reqwest::Error) -> ClientError {
        let is_connect = error.is_connect();
        let socket = self.shown();
        match deepest(&error).downcast_ref::<io::Error>().map(io::Error::kind) {
            _ if !is_connect => self.incomplete(&cause(error)),
            Some(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => ClientError::NoServer(socket),
            _ => ClientError::Connect { socket, why: cause(error) },
        }
    }

    fn refused(&self, status: StatusCode, body: &Value) -> ClientError {
        let mut why = body["message"].as_str().unwrap_or(status.as_str()).to_owned();
        let reasons = body["data"]["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let reasons = reasons.collect::<Vec<_>>().join("; ");
        if !reasons.is_empty() {
            why = format!("{why}: {reasons}");
        }
        ClientError::Refused { socket: self.shown(), status, why }
    }

    fn incomplete(&self, why: &impl ToString) -> ClientError {
        ClientError::Incomplete { socket: self.shown(), why: why.to_string() }
    }

    fn shown(&self) -> PathBuf {
        absolute(&self.socket)
    }
}

/// What the system says: reqwest's own words only name the request.
pub fn cause(error: reqwest::Error) -> String {
    deepest(&error.without_url()).to_string()
}

fn deepest(error: &reqwest::Error) -> &(dyn std::error::Error + 'static) {
    let mut cause: &(dyn std::error::Error + 'static) = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause
}

pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
