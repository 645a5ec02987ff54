//! The endpoints, one file each: parse, call, map.

mod call;
mod callback;
mod description;
mod health;
mod hello_world;
mod inbox;
mod index;
mod json;
pub mod measured;
mod send_code;
mod send_otp;
mod send_wishes;
mod verify_code;
mod verify_otp;

use hyper::Method;
use hyper::http::request::Parts;
use tracing::debug;

use super::answer::Answer;
use super::body::RequestBody;
use super::browser;
use super::deps::Verify;
use super::problem::Problem;
use super::route::Route;
use super::v2;
pub use call::Call;
pub use hello_world::answer as greeting;

/// Answers a request.
pub async fn answer<V: Verify>(
    call: &Call<'_, V>,
    route: Route,
    head: &Parts,
    body: &mut RequestBody,
) -> Answer {
    match try_answer(call, route, head, body).await {
        Ok(answer) => answer,
        Err(problem) => {
            if let Problem::BadBody(reason) = problem {
                debug!(request_id = call.request_id, route = route.name(), %reason, "bad request body");
            }
            problem.answer(route.shape())
        }
    }
}

async fn try_answer<V: Verify>(
    call: &Call<'_, V>,
    route: Route,
    head: &Parts,
    body: &mut RequestBody,
) -> Result<Answer, Problem> {
    let deps = call.deps;
    let exists = match route {
        Route::Inbox => deps.pages.is_some(),
        Route::Callback(_) => deps.callbacks.is_some(),
        _ => true,
    };
    let Some(methods) = route.allow().filter(|_| exists) else {
        return Err(Problem::NotFound);
    };
    if !route.allows(&head.method) {
        return Err(Problem::MethodNotAllowed(methods));
    }
    let changes = head.method == Method::POST || head.method == Method::DELETE;
    if changes && browser::is_cross_site(&head.headers) {
        return Err(Problem::CrossSite);
    }
    if route.is_compatible()
        && let Some(v2) = deps.v2.get()
    {
        v2.admit_compatible(&head.headers)?;
    }
    let (limit, time) = (deps.bounds.body_bytes, deps.bounds.body_timeout);
    match route {
        Route::SendOtp => send_otp::answer(call, &body.read(limit, time).await?).await,
        Route::VerifyOtp => verify_otp::answer(call, &body.read(limit, time).await?).await,
        Route::SendCode => send_code::answer(call, &body.read(limit, time).await?).await,
        Route::VerifyCode => verify_code::answer(call, &body.read(limit, time).await?).await,
        Route::HelloWorld => Ok(hello_world::answer()),
        Route::Healthz => Ok(health::alive()),
        Route::Readyz => Ok(health::ready(deps)),
        Route::Index => Ok(index::answer(deps.pages.is_some(), deps.callbacks.is_some())),
        Route::Inbox => inbox::answer(deps, head),
        Route::OpenApi => Ok(description::json()),
        Route::Docs => Ok(description::page()),
        Route::V2(kind) => Ok(v2::answer(call, kind, head, body).await.unwrap_or_else(v2::Error::answer)),
        Route::Callback(kind) => callback::answer(deps, kind, head, body.read(limit, time).await?).await,
        Route::Unknown => Err(Problem::NotFound),
    }
}
