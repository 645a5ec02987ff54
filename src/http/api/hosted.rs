//! `/v2/Services/{ServiceSid}/HostedSessions`: sessions of the hosted page, and their results.

use super::prelude::*;
use crate::verification::hosted::{Denied, ReturnTarget, SessionRequest, SessionResult};

parameters! {
    pub struct NewSession {
        /// The number, in E.164 form. The person cannot change it.
        "To" = "+14155552671" => to: Option<PhoneNumber>,
        /// A number that the page proposes, in place of To.
        "ToHint" = "+14155552671" => hint: Option<PhoneNumber>,
        /// The channels that the page offers, the usual one first; by default those of the service.
        "Channels" = "sms,call" => channels: Option<ChannelList>,
        /// One of the service's ReturnUrls, exactly. Either this or EmbedOrigin must be given.
        "ReturnUrl" = "https://app.example.com/verified" => return_url: Option<Note<2048>>,
        /// One of the service's EmbedOrigins: the page is shown in a frame or a pop-up of it.
        "EmbedOrigin" = "https://app.example.com" => embed_origin: Option<Note<2048>>,
        /// Comes back with the code. Bind it to the person's session with you.
        "State" = "2f1f8c1b7a10" => state: Option<Note<500>>,
        /// The language of the page and the message; by default that of the browser.
        "Locale" = "de" => locale: Option<Locale>,
    }
}

parameters! {
    /// The code that came back.
    pub struct Redeemed {
        /// The parameter code of the ReturnUrl.
        "Code" = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v" => code: Note<100>,
    }
}

view! {
    HostedSessionView as "HostedSession"(frame, service: Sid, sid: Sid, address: Url, expires: Timestamp) {
        sid: HostedSessionSid = Id(sid),
        service_sid: ServiceSid = Id(service),
        account_sid: AccountSid = Id(frame.account),
        /// The page. Its address works once.
        url: Url = address,
        date_expires: Date = expires.into(),
    }
}

view! {
    SessionResultView as "HostedSessionResult"(frame, service: Sid, sid: Sid, result: &SessionResult) {
        sid: HostedSessionSid = Id(sid),
        service_sid: ServiceSid = Id(service),
        account_sid: AccountSid = Id(frame.account),
        /// Always approved: without a verified number there is no code.
        #[schemars(regex(pattern = "^approved$"))]
        status: &'static str = "approved",
        /// The verified number, in E.164 form.
        to: String = result.to.e164(),
        /// The channel of the last message.
        #[schemars(extend("enum" = Channel::ALL.map(Channel::as_str)))]
        channel: &'static str = result.channel.as_str(),
        date_verified: Date = result.verified.into(),
    }
}

pub async fn create(InService(request, service, params): InService<NewSession>) -> Made<HostedSessionView> {
    let channels = params.channels.unwrap_or_default();
    request.check_served("Channels", &channels)?;
    if params.to.is_some() && params.hint.is_some() {
        return Err(Error::parameter("ToHint", "leave it out, or `To`"));
    }
    let state = params.state;
    let (returns_to, name) = match (params.return_url, params.embed_origin) {
        (Some(url), None) => (ReturnTarget::Url { url, state }, "ReturnUrl"),
        (None, Some(origin)) => (ReturnTarget::Embed { origin, state }, "EmbedOrigin"),
        _ => return Err(Error::invalid("Give either `ReturnUrl` or `EmbedOrigin`")),
    };
    if !returns_to.is_listed(&service.settings) {
        let problem = format_args!("it must be one of the service's `{name}s`, letter by letter");
        return Err(Error::parameter(name, problem));
    }
    let session = SessionRequest {
        to: params.to.or(params.hint),
        may_change: params.to.is_none(),
        channels,
        locale: params.locale,
        returns_to,
    };
    let (secret, expires) = request.running.hosted.create(service.id, session).await?;
    let frame = request.frame();
    let address = Url(format!("{}/verify/{}", frame.base.trim_end_matches("/v2"), secret.expose()));
    created(HostedSessionView::new(&frame, service.sid, secret.sid(), address, expires))
}

/// `POST` of `Result`: exchanges the code for the result.
pub async fn result(
    InService(request, service, Redeemed { code }): InService<Redeemed>,
) -> Answer<SessionResultView> {
    let sid = request.sid("Sid", SidKind::HostedSession)?;
    let result =
        request.running.hosted.redeem(service.id, &sid, &code).await.map_err(|denied| match denied {
            Denied::Refused(refusal) => refusal.into(),
            _ => Error::NotFound,
        })?;
    Ok(Json(SessionResultView::new(&request.frame(), service.sid, sid, &result)))
}

#[rustfmt::skip] // A table.
pub fn routes() -> ApiRouter {
    ApiRouter::of(ApiGroup::twilio("Hosted sessions",
            "A page of this server on which a person verifies a number, and its result. API keys need the scope \
            verify. Not in Twilio's API.",
            Access::Scope(Scope::Verify)))
        .post("/v2/Services/{ServiceSid}/HostedSessions", create,
            operation(create, "CreateHostedSession", "Create a hosted session")
                .about("Lead the person to its url, which works once."))
        .post("/v2/Services/{ServiceSid}/HostedSessions/{Sid}/Result", result,
            operation(result, "CreateHostedSessionResult", "Exchange the code for the result")
                .about("Once, within 60 s after the person came back. Anything else is 404."))
}
