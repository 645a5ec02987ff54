//! The ceiling: what hyper and reqwest cost when nothing is kept, counted or written.
//!
//! It reads the same requests, calls the same double once for each send with the same form, and
//! gives answers of the same size. Its codes are always right.

use std::convert::Infallible;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

use crate::twilio::{ACCOUNT_SID, AUTH_TOKEN, SENDER};

/// Says where the double is, and so that this process is to be the ceiling.
const VARIABLE: &str = "ONCEWARD_LOAD_CEILING";

/// The double's address, when this process is to be the ceiling.
pub fn requested() -> Option<String> {
    std::env::var(VARIABLE).ok()
}

/// This program again, as the ceiling.
pub fn command(twilio: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the name of this program"));
    command.env_clear().env(VARIABLE, twilio);
    command
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Send {
    phone_number: String,
}

#[derive(Deserialize)]
struct Verify {
    user: Send,
    code: String,
}

struct Provider {
    http: reqwest::Client,
    url: String,
}

/// Serves until it is killed.
pub fn serve(twilio: &str) {
    // The double speaks plain HTTP, but the client will not be built without.
    rustls::crypto::ring::default_provider().install_default().expect("the first provider");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = format!("{twilio}/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json");
    let provider = Arc::new(Provider { http, url });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(accept(provider));
}

async fn accept(provider: Arc<Provider>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    announce(&listener);
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("an option of the socket");
        let provider = provider.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(provider.clone(), request));
            let connection = auto::Builder::new(TokioExecutor::new());
            // The driver hangs up when it has enough.
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

#[expect(clippy::print_stderr, reason = "the parent process reads it there")]
fn announce(listener: &TcpListener) {
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    eprintln!("{}", json!({"level": "INFO", "message": "listening", "url": url}));
}

async fn answer(
    provider: Arc<Provider>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let sends = request.uri().path() == "/api/send-otp";
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    let (message, data) = if sends {
        let Send { phone_number } = serde_json::from_slice(&body).expect("a send");
        provider.send(&phone_number).await;
        ("OTP send successfully.", json!({"user": {"phoneNumber": phone_number}, "trials": 5}))
    } else {
        let Verify { user, code } = serde_json::from_slice(&body).expect("a check");
        assert_eq!(code, CODE);
        ("OTP verified successfully.", json!(user.phone_number))
    };
    let body = json!({"code": 200, "message": message, "data": data}).to_string();
    let response =
        Response::builder().status(StatusCode::OK).header(header::CONTENT_TYPE, "application/json");
    Ok(response.body(Full::new(Bytes::from(body))).expect("a response"))
}

/// Keeping nothing, it cannot tell codes apart.
const CODE: &str = "123456";

impl Provider {
    async fn send(&self, number: &str) {
        let text = format!("OTP message is {CODE}");
        let form = [("To", number), ("From", SENDER), ("Body", text.as_str()), ("ValidityPeriod", "30")];
        let request = self.http.post(&self.url).basic_auth(ACCOUNT_SID, Some(AUTH_TOKEN)).form(&form);
        let response = request.send().await.expect("an answer of the double");
        assert_eq!(response.status(), StatusCode::CREATED);
        let accepted: serde_json::Value =
            serde_json::from_slice(&response.bytes().await.expect("its body")).expect("JSON");
        assert!(accepted["sid"].is_string());
    }
}
