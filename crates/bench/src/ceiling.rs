//! The ceiling: what hyper and reqwest cost when nothing is kept, counted or written.
//!
//! It reads the same requests, calls the mock once for each send with the same form, and gives answers of the same size.
//! It knows its answers by the request alone: its code is always the same, a wrong code tells how many were allowed
//! before it, and locked numbers have areas of their own.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;

use crate::error::BenchError;
use crate::numbers::is_locked;
use crate::reference::{Check, MAX_TRIALS, Outcome, Provider, User, listen};
use crate::script::trials_before;

const CODE: &str = "123456";

pub async fn serve(provider: Provider) -> Result<(), BenchError> {
    let (listener, provider) = (listen().await?, Arc::new(provider));
    loop {
        let (stream, _) = listener.accept().await.map_err(BenchError::io("accept a connection"))?;
        let _ = stream.set_nodelay(true);
        let provider = provider.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(provider.clone(), request));
            let connection = auto::Builder::new(TokioExecutor::new());
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    provider: Arc<Provider>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_send = request.uri().path() == "/api/send-otp";
    let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
    let outcome = if is_send {
        match serde_json::from_slice::<User>(&body) {
            Ok(user) => send(&provider, user.phone_number).await,
            Err(_) => Outcome::BadBody,
        }
    } else {
        serde_json::from_slice(&body).map_or(Outcome::BadBody, verify)
    };
    Ok(outcome.into_response())
}

fn is_locked_number(number: &str) -> bool {
    number.trim_start_matches('+').parse().is_ok_and(is_locked)
}

async fn send(provider: &Provider, number: String) -> Outcome {
    if is_locked_number(&number) {
        return Outcome::Locked { number, minutes: 30 };
    }
    if provider.send(&number, CODE).await {
        Outcome::Sent { number, trials: MAX_TRIALS }
    } else {
        Outcome::Failed
    }
}

fn verify(Check { user: User { phone_number: number }, code }: Check) -> Outcome {
    if is_locked_number(&number) {
        return Outcome::Locked { number, minutes: 30 };
    }
    match trials_before(CODE, &code) {
        None => Outcome::Verified(number),
        Some(1) => Outcome::Locked { number, minutes: 30 },
        Some(trials) => Outcome::Wrong { number, trials: i64::from(trials) - 1 },
    }
}
