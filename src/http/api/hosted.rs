//! `/v2/Services/{ServiceSid}/HostedSessions`: sessions of the hosted page, and their results.

use super::prelude::*;
use crate::verification::hosted::{Denied, ReturnTarget, SessionRequest};

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct NewSession {
    /// The number. The person cannot change it.
    pub to: Option<values::PhoneNumber>,
    /// A number that the page proposes, in place of To.
    pub to_hint: Option<values::PhoneNumber>,
    /// The channels that the page offers, the usual one first; by default those of the service.
    pub channels: Option<values::Channels>,
    /// One of the service's ReturnUrls, exactly. Either this or EmbedOrigin must be given.
    pub return_url: Option<values::Note<2048>>,
    /// One of the service's EmbedOrigins: the page is shown in a frame or a pop-up of it.
    pub embed_origin: Option<values::Note<2048>>,
    /// Comes back with the code. Bind it to the person's session with you.
    pub state: Option<values::Note<500>>,
    /// The language of the page and the message; by default that of the browser.
    pub locale: Option<values::Locale>,
}

/// The code that came back.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Redeemed {
    /// The parameter code of the ReturnUrl.
    pub code: values::Note<100>,
}

#[derive(Serialize, JsonSchema)]
pub struct HostedSession {
    pub sid: HostedSessionSid,
    pub service_sid: ServiceSid,
    pub account_sid: AccountSid,
    /// The page. Its address works once.
    pub url: Url,
    pub date_expires: Date,
}

#[derive(Serialize, JsonSchema)]
pub struct HostedSessionResult {
    pub sid: HostedSessionSid,
    pub service_sid: ServiceSid,
    pub account_sid: AccountSid,
    /// Always approved: without a verified number there is no code.
    pub status: &'static str,
    /// The verified number, in E.164 form.
    pub to: String,
    /// The channel of the last message.
    pub channel: Channel,
    pub date_verified: Date,
}

async fn create(of: InService, Params(params): Params<NewSession>) -> Made<HostedSession> {
    let channels = params.channels.map(|channels| channels.0).unwrap_or_default();
    of.check_served("Channels", &channels)?;
    if params.to.is_some() && params.to_hint.is_some() {
        return Err(Error::parameter("ToHint", "leave it out, or `To`"));
    }
    let state = params.state.map(|state| state.0);
    let (is_embedded, address, name) = match (params.return_url, params.embed_origin) {
        (Some(url), None) => (false, url.0, "ReturnUrl"),
        (None, Some(origin)) => (true, origin.0, "EmbedOrigin"),
        _ => return Err(Error::invalid("Give either `ReturnUrl` or `EmbedOrigin`")),
    };
    let returns_to = ReturnTarget { is_embedded, address, state };
    if !returns_to.is_listed(&of.service.settings) {
        let problem = format_args!("it must be one of the service's `{name}s`, letter by letter");
        return Err(Error::parameter(name, problem));
    }
    let session = SessionRequest {
        to: params.to.or(params.to_hint).map(|number| number.0),
        may_change: params.to.is_none(),
        channels,
        locale: params.locale.map(|locale| locale.0),
        returns_to,
    };
    let (secret, expires) = of.running.hosted.create(of.service.id, session).await?;
    created(HostedSession {
        sid: Id(secret.sid),
        service_sid: Id(of.service.sid),
        account_sid: of.account(),
        url: of.url(format_args!("/verify/{}", secret.expose())),
        date_expires: expires.into(),
    })
}

/// `POST` of `Result`: exchanges the code for the result.
async fn result(
    of: InService<HostedSessionSid>,
    Params(Redeemed { code }): Params<Redeemed>,
) -> Answer<HostedSessionResult> {
    let redeemed = of.running.hosted.redeem(of.service.id, &of.path.0, &code.0).await;
    let (to, channel, verified) = redeemed.map_err(|denied| match denied {
        Denied::Refused(refusal) => refusal.into(),
        _ => Error::NO_RESOURCE,
    })?;
    Ok(Json(HostedSessionResult {
        sid: of.path,
        service_sid: Id(of.service.sid),
        account_sid: of.account(),
        status: "approved",
        to: to.e164(),
        channel,
        date_verified: verified.into(),
    }))
}

#[rustfmt::skip] // A table.
pub fn routes() -> Routes {
    Routes::new("Hosted sessions", "A page of this server on which a person verifies a number, and its result. API keys need the scope \
            verify. Not in Twilio's API.", Group::twilio(Access::Scope(Scope::Verify)))
        .post("/v2/Services/{ServiceSid}/HostedSessions", create, made::<NewSession, HostedSession>("CreateHostedSession", "Create a hosted session")
                .about("Lead the person to its url, which works once."))
        .post("/v2/Services/{ServiceSid}/HostedSessions/{Sid}/Result", result, ok::<Redeemed, HostedSessionResult>("CreateHostedSessionResult", "Exchange the code for the result")
                .about("Once, within 60 s after the person came back. Anything else is 404."))
}
