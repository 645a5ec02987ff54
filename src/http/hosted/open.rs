//! What the browser that has a session does with it.

use std::net::IpAddr;

use axum::response::Response;
use hyper::StatusCode;
use tracing::{debug, info};
use url::Url;

use super::captcha::Captcha;
use super::context::{PageContext, field, return_url};
use super::page::{COUNTRIES, Notice, Page, View, seconds_left};
use crate::domain::{Channel, Code, PhoneNumber, Region, Sid, Timestamp};
use crate::http::api::verifications::log_check;
use crate::http::call::{Call, Transport};
use crate::http::error::Error;
use crate::http::pages::{as_cookie, redirect};
use crate::limits::guard::{ClientNet, ClientSignals, GuardRefusal};
use crate::registry::Service;
use crate::template::MessageStyle;
use crate::verification::hosted::{Denied, HostedSession, MessageEnd, SessionSecret};
use crate::verification::{
    CheckCode, Failure, GivenKey, Outgoing, Refusal, Refused, Status, VerificationTarget,
};

/// A request from the browser that has the session.
#[derive(Clone, Copy)]
pub struct OpenSession<'a> {
    pub context: &'a PageContext<'a>,
    /// Of the cookie, or of the address before a browser has the session.
    pub secret: &'a SessionSecret,
    pub is_begun: bool,
    pub service: &'a Service,
    pub session: &'a HostedSession,
}

impl OpenSession<'_> {
    /// The page of the session, with what the last form led to.
    pub async fn page(&self) -> Result<Response, Error> {
        let Self { context, session, .. } = *self;
        let (texts, locked_until) = (context.texts, self.locked_until().await?);
        let view = self.view(locked_until.is_some());
        let notice = self.notice();
        let locked = locked_until.map(|until| Notice::Locked(Some(until)));
        // A number that was typed in place of a locked one has its own problem.
        let typed = notice.filter(|notice| matches!(notice, Notice::Number(..) | Notice::Refused));
        let problem = |notice: &Notice| {
            let words = notice.words(texts, session.next_send, context.now)?;
            Some((words, notice.is_about_the_field()))
        };
        let problem = typed.and_then(problem).or_else(|| locked.as_ref().or(notice).and_then(problem));
        let target = &session.request.returns_to;
        let is_tried = !self.is_begun && target.is_embedded;
        let page = Page {
            of: Some((self.service, session)),
            problem,
            token: if self.is_begun { self.secret.form_token() } else { String::new() },
            buttons: context.buttons(session),
            challenge: self.captcha().map(|captcha| &captcha.settings),
            data: is_tried.then_some(("cookie", context.cookie_attributes(target))).into_iter().collect(),
            ..Page::new(StatusCode::OK, texts, view)
        };
        let response = page.answer();
        Ok(match notice {
            Some(_) => context.with_cookie(response, &context.notice_name(), None, target),
            None => response,
        })
    }

    fn notice(&self) -> Option<&Notice> {
        self.context.notice.as_ref().filter(|_| self.is_begun)
    }

    /// The service whose challenge the next message needs.
    fn captcha(&self) -> Option<&Captcha> {
        let asks = |captcha: &&Captcha| captcha.settings.always || self.session.asks_challenge;
        self.context.call.app.captcha.as_ref().filter(asks)
    }

    /// A number that is locked out may be changed for another one.
    fn view(&self, is_locked: bool) -> View {
        let session = self.session;
        match session.number {
            _ if session.approved.is_some() => View::Verified,
            _ if is_locked && !session.may_change() => View::NoneLeft,
            Some(number) if session.awaits_code && !is_locked => View::Code {
                // The person has typed it here, unless the application fixed it.
                number: if self.is_fixed() { number.to_string() } else { number.international() },
                wait: seconds_left(session.next_send, self.context.now),
                may_resend: session.has_sends(),
                may_change: session.may_change(),
            },
            number => {
                // The country beside a refused number is to be corrected, too.
                let national = || number.and_then(|number| number.national(number.region()?));
                let typed = match self.notice() {
                    Some(Notice::Number(text, _)) => Some(text.clone()),
                    Some(Notice::Refused) => national(),
                    _ => None,
                };
                let known = number.filter(|_| !is_locked).map(PhoneNumber::e164);
                self.number_view(typed.or(known).unwrap_or_default())
            }
        }
    }

    fn is_fixed(&self) -> bool {
        self.session.request.to.is_some() && !self.session.request.may_change
    }

    fn number_view(&self, hint: String) -> View {
        let fixed = self.session.request.to.filter(|_| self.is_fixed()).map(|number| number.to_string());
        let is_offered = |region: Region| self.context.running.guard.permits(self.service.id, region);
        let countries = COUNTRIES.iter().copied().filter(|(region, _)| is_offered(*region)).collect();
        let of_number = self.session.number.and_then(PhoneNumber::region);
        let chosen = match self.notice() {
            Some(Notice::Number(_, chosen)) => *chosen,
            _ => None,
        };
        let known = [chosen, of_number].into_iter().chain(self.context.regions).flatten();
        let region = known.chain(Region::parse("US")).find(|region| is_offered(*region));
        let action = if self.is_begun {
            "/verify/send".to_owned()
        } else {
            format!("/verify/{}", self.secret.expose())
        };
        View::Number { action, fixed, hint, region, countries }
    }

    /// When the code that the page asks for may be checked again; `None` if it may be.
    async fn locked_until(&self) -> Result<Option<Timestamp>, Refusal> {
        let HostedSession { number, awaits_code, .. } = self.session;
        let is_asked = *awaits_code && self.session.approved.is_none();
        let Some(number) = number.filter(|_| is_asked) else { return Ok(None) };
        match self.context.running.verifier.lockout(self.service.id, number).await {
            Ok(lockout) => Ok(lockout.until),
            Err(Refused::Unavailable(refusal)) => Err(refusal),
            Err(_) => Ok(None),
        }
    }

    /// Leads to the page, which tells what the form led to.
    fn told(&self, notice: &Notice) -> Response {
        let Self { context, session, .. } = self;
        let (name, value) = (context.notice_name(), as_cookie(notice));
        context.with_cookie(redirect("/verify"), &name, Some(&value), &session.request.returns_to)
    }

    /// The answer to a form.
    pub fn answer(&self, done: Result<Response, Denied>) -> Result<Response, Error> {
        match done {
            Ok(response) => Ok(response),
            Err(Denied::NoneLeft) => Ok(self.told(&Notice::Locked(None))),
            Err(Denied::NotNow) => Ok(self.told(&Notice::Failed)),
            Err(denied) => self.context.denied(denied),
        }
    }

    /// The form at the address of a session: exchanges the address for a cookie, and may ask for the first message.
    pub async fn begin(&self, form: &[u8]) -> Result<Response, Denied> {
        let context = self.context;
        let cookie = context.running.hosted.begin(self.secret).await?;
        let open = OpenSession { secret: &cookie, is_begun: true, ..*self };
        // The address is used up: whatever happens, the browser gets the cookie.
        let response = if field(form, "channel").is_empty() {
            redirect("/verify")
        } else {
            open.answer(open.send(form).await).unwrap_or_else(|_| open.told(&Notice::Failed))
        };
        let target = &open.session.request.returns_to;
        Ok(context.with_cookie(response, context.cookie_name(), Some(cookie.expose()), target))
    }

    /// Sends a code to the number of the form, or to that of the session.
    pub async fn send(&self, form: &[u8]) -> Result<Response, Denied> {
        let Self { context, session, .. } = *self;
        let (sessions, call) = (&context.running.hosted, context.call);
        let (text, region) =
            (field(form, "number"), Region::parse(&field(form, "country")).or(context.default_region()));
        let number = match session.number.filter(|_| text.is_empty()) {
            Some(known) => Ok(known),
            None => PhoneNumber::parse_dialled(&text, region),
        };
        let Ok(number) = number else {
            let shown = text.chars().take(Notice::LONGEST_NUMBER).collect();
            return Ok(self.told(&Notice::Number(shown, region)));
        };
        // A message that is certainly refused is not one of the session's.
        if session.number == Some(number)
            && let Some(until) = self.locked_until().await?
        {
            return Ok(self.told(&Notice::Locked(Some(until))));
        }
        if !sessions.change(self.secret, true, move |session, now| session.begin_send(number, now)).await? {
            return Ok(self.told(&Notice::Wait));
        }
        let mut client =
            ClientSignals { network: address_of(call).map(ClientNet::from), ..ClientSignals::default() };
        if let Some(captcha) = self.captcha() {
            let response = Captcha::response(form);
            if !captcha.passes(response.as_deref().map_or("", String::as_str)).await {
                // A form without a response costs no message.
                let end = if response.is_some() { MessageEnd::NotSent } else { MessageEnd::AsksChallenge };
                self.sent(number, end).await?;
                return Ok(self.told(&Notice::Failed));
            }
            client.is_exempt = true;
        }
        let buttons = context.buttons(session);
        let asked = field(form, "channel");
        let offered = buttons.iter().find(|(name, _)| *name == *asked).or(buttons.first());
        let channel = offered.and_then(|(name, _)| Channel::parse(name));
        let verifications = &context.running.verifier;
        let message = |locale| Outgoing {
            style: MessageStyle { locale, web_host: self.web_host(), ..MessageStyle::default() },
            client,
            request_id: Some(call.id.clone()),
            ..verifications.message(self.service.id, number, channel)
        };
        // The language of the page, unless the service has one.
        let of_page = || self.service.settings.locale.is_none().then_some(context.texts.locale);
        let mut outcome = verifications.begin(message(session.request.locale.or_else(of_page))).await;
        if matches!(outcome, Err(Refused::Text(_))) {
            // The service's texts are not in that language.
            outcome = verifications.begin(message(None)).await;
        }
        match outcome {
            Ok(verification) => {
                debug!(request_id = call.request_id(), %number, "hosted page: code sent");
                let end = MessageEnd::Sent(verification.sid, verification.channel);
                self.sent(number, end).await.map_err(unknown)
            }
            Err(refused) => self.refused(number, refused).await,
        }
    }

    /// The message to the number was refused or failed.
    async fn refused(&self, number: PhoneNumber, refused: Refused) -> Result<Response, Denied> {
        let (context, call) = (self.context, self.context.call);
        let notice = match &refused {
            Refused::Failed(Failure::Guard(refusal))
                if refusal.is_for_an_allowance() && context.call.app.captcha.is_some() =>
            {
                return self.sent(number, MessageEnd::AsksChallenge).await;
            }
            Refused::NoChecksLeft { until } => Notice::Locked(Some(*until)),
            Refused::Unavailable(Refusal::NumberBusy)
            | Refused::Failed(Failure::Limited(_) | Failure::Guard(GuardRefusal { until: Some(_), .. })) => {
                Notice::Later
            }
            // The reason is not the number's.
            Refused::Unavailable(_)
            | Refused::Failed(
                Failure::OutOfService { .. }
                | Failure::Gateway
                | Failure::NoAnswerInTime
                | Failure::TimedOutWaiting,
            ) => Notice::Failed,
            _ => Notice::Refused,
        };
        self.sent(number, MessageEnd::NotSent).await?;
        match (&notice, refused) {
            (Notice::Failed, Refused::Unavailable(refusal)) => return Err(Denied::Refused(refusal)),
            (Notice::Failed, _) => {}
            (_, refused) => {
                let reason = Error::refused(&refused, context.now);
                info!(request_id = call.request_id(), %number, %reason, "hosted page: no code sent");
            }
        }
        Ok(self.told(&notice))
    }

    async fn sent(&self, number: PhoneNumber, end: MessageEnd) -> Result<Response, Denied> {
        let end_send = move |session: &mut HostedSession, now| {
            session.end_send(number, end, now);
            Ok(())
        };
        self.context.running.hosted.change(self.secret, true, end_send).await?;
        Ok(redirect("/verify"))
    }

    /// The host name of the page, if browsers may fill in a code for it: over TLS, and not in a frame of another site.
    /// It is that of `public-url`, not of the request, because it becomes part of a message.
    fn web_host(&self) -> Option<Box<str>> {
        let is_own = !self.session.request.returns_to.is_embedded;
        let is_encrypted = self.context.transport == Transport::Encrypted;
        let public_url = self.context.call.app.settings.delivery.public_url.as_deref();
        let public_url = public_url.filter(|_| is_own && is_encrypted)?;
        Url::parse(public_url).ok()?.domain().map(Box::from)
    }

    /// Checks a code, and leads the person back if it is right. In a verified session, draws a new code for the
    /// application.
    pub async fn check(&self, text: &str) -> Result<Response, Denied> {
        let call = self.context.call;
        if self.session.approved.is_some() {
            return self.approve(None).await;
        }
        let Some((sid, _)) = self.session.sent else { return Err(Denied::NotNow) };
        let digits = self.service.settings.code_length;
        let Some(code) =
            Code::submitted(text).filter(Code::is_decimal).or_else(|| Code::within(text, digits))
        else {
            return Ok(self.told(&Notice::NoCode(digits.get())));
        };
        let (target, request_id) = (VerificationTarget::Sid(sid), Some(call.id.clone()));
        // The answer to a form that a crash cut off, or that was sent twice, is not lost.
        let once = Some(GivenKey { key: self.secret.check_key(&sid, text), fingerprint: [0; 32] });
        let check = CheckCode { once, request_id, ..CheckCode::new(target, Some(code)) };
        let outcome = self.context.running.verifier.check(self.service.id, check).await;
        if let Ok(verification) = &outcome {
            log_check(call, verification);
        }
        let notice = match outcome.map(|verification| verification.status) {
            Ok(Status::Approved) => return self.approve(Some(sid)).await.map_err(unknown),
            Ok(Status::MaxAttemptsReached) => Notice::Locked(self.locked_until().await?),
            // The same form is being answered: the page shows what became of it.
            Err(Refused::Unavailable(Refusal::NumberBusy)) => return Ok(redirect("/verify")),
            Ok(_) | Err(Refused::NotFound) => Notice::Wrong,
            Err(Refused::NoChecksLeft { until }) => Notice::Locked(Some(until)),
            Err(Refused::Unavailable(refusal)) => return Err(refusal.into()),
            Err(_) => Notice::Failed,
        };
        Ok(self.told(&notice))
    }

    async fn approve(&self, verification: Option<Sid>) -> Result<Response, Denied> {
        let code = self.context.running.hosted.approve(self.secret, verification).await?;
        Ok(self.leave(("code", code.expose())))
    }

    pub async fn change_number(&self) -> Result<Response, Denied> {
        self.context.running.hosted.change(self.secret, true, |session, _| session.change_number()).await?;
        Ok(redirect("/verify"))
    }

    pub async fn cancel(&self) -> Result<Response, Denied> {
        let Self { context, session, .. } = *self;
        let reason = if self.locked_until().await?.is_none() { "canceled" } else { "too_many_attempts" };
        context.running.hosted.end(self.secret).await?;
        let left = self.leave(("error", reason));
        Ok(context.with_cookie(left, context.cookie_name(), None, &session.request.returns_to))
    }

    /// Leads back to the application, with the code or why there is none.
    fn leave(&self, result: (&'static str, &str)) -> Response {
        let Self { context, session, .. } = *self;
        let target = &session.request.returns_to;
        match return_url(target, result) {
            Some(url) => redirect(&url),
            None if target.is_embedded => {
                let texts = context.texts;
                let state = target.state.iter().map(|state| ("state", state.as_str()));
                let data = [result].into_iter().chain(state).collect();
                let text = if result.0 == "code" { texts.verified } else { texts.cancel };
                let page = Page::new(StatusCode::OK, texts, View::Message { text });
                Page { of: Some((self.service, session)), data, ..page }.answer()
            }
            None => context.gone(),
        }
    }
}

/// A refusal after the request had an effect.
fn unknown(denied: Denied) -> Denied {
    if let Denied::Refused(_) = denied { Refusal::OutcomeUnknown.into() } else { denied }
}

/// The IP address of the person; `None` behind a proxy that does not report it.
fn address_of(call: &Call) -> Option<IpAddr> {
    let is_proxy =
        call.connection.peer.is_loopback() || call.app.settings.proxies.trusts(call.connection.peer);
    call.client.or((!is_proxy).then_some(call.connection.peer))
}
