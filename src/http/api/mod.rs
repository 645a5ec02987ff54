//! From a request to what answers it: whether there is such a route, who may use it, and its handler.

pub mod compatible;
pub mod server;

use hyper::Method;
use hyper::http::request::Parts;
use tracing::debug;

use super::answer::Answer;
use super::body::RequestBody;
use super::browser;
use super::deps::{Deps, Verify};
use super::problem::Problem;
use super::route::{Access, Handler, Resource, Target};
use super::v2;

/// One request at a route.
pub struct Call<'a, V> {
    /// What the handler may use.
    pub deps: &'a Deps<V>,
    /// Stands in the answer and in the log.
    pub request_id: &'a str,
}

/// Answers a request.
pub async fn answer<V: Verify>(
    call: &Call<'_, V>,
    target: Target,
    head: &Parts,
    body: &mut RequestBody,
) -> Answer {
    match try_answer(call, target, head, body).await {
        Ok(answer) => answer,
        Err(problem) => {
            if let Problem::BadBody(reason) = problem {
                debug!(request_id = call.request_id, route = target.name(), %reason, "bad request body");
            }
            problem.answer(target.errors())
        }
    }
}

async fn try_answer<V: Verify>(
    call: &Call<'_, V>,
    target: Target,
    head: &Parts,
    body: &mut RequestBody,
) -> Result<Answer, Problem> {
    let deps = call.deps;
    let Target::Resource(resource) = target else { return Err(Problem::NotFound) };
    if !is_there(deps, resource) {
        return Err(Problem::NotFound);
    }
    let found = resource.route(&head.method);
    if found.is_none() && !resource.allows(&head.method) {
        return Err(Problem::MethodNotAllowed(&resource.allow));
    }
    let changes = head.method == Method::POST || head.method == Method::DELETE;
    if changes && browser::is_cross_site(&head.headers) {
        return Err(Problem::CrossSite);
    }
    let Some((access, route)) = found else {
        let what = resource.not_served.unwrap_or_default();
        return Ok(v2::not_served(call, what, head).answer());
    };
    if access == Access::Compatible
        && let Some(v2) = deps.v2.get()
    {
        v2.admit_compatible(&head.headers)?;
    }
    let (limit, time) = (deps.bounds.body_bytes, deps.bounds.body_timeout);
    match route.handler {
        Handler::SendOtp => compatible::send_otp(call, &body.read(limit, time).await?).await,
        Handler::VerifyOtp => compatible::verify_otp(call, &body.read(limit, time).await?).await,
        Handler::SendCode => compatible::send_code(call, &body.read(limit, time).await?).await,
        Handler::VerifyCode => compatible::verify_code(call, &body.read(limit, time).await?).await,
        Handler::V2(handler) => {
            let answer = v2::answer(call, (access, handler), head, body).await;
            Ok(answer.unwrap_or_else(v2::Error::answer))
        }
        Handler::Callback(kind) => server::callback(deps, kind, head, body.read(limit, time).await?).await,
        Handler::Inbox => server::inbox(deps, head),
        Handler::Ready => Ok(server::ready(deps)),
        Handler::Index => Ok(server::index(&head.headers, deps.pages.is_some(), deps.callbacks.is_some())),
        Handler::Fixed(answer) => Ok(answer()),
    }
}

/// Whether this server has a resource: the inbox and the callbacks depend on its gateways.
fn is_there<V>(deps: &Deps<V>, resource: &Resource) -> bool {
    match resource.first() {
        Some(Handler::Inbox) => deps.pages.is_some(),
        Some(Handler::Callback(_)) => deps.callbacks.is_some(),
        _ => true,
    }
}
