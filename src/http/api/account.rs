//! `/v2/Templates`: texts of messages that services and requests can choose. `/v2/SafeList/Numbers`: numbers to which the
//! pumping guard refuses no message. `/v2/Services/{ServiceSid}/TestNumbers`, which is not Twilio's: numbers that are
//! never sent anything, with a known code.

use std::collections::BTreeMap;
use std::time::Duration;

use super::prelude::*;
use crate::limits::guard::EntryError;
use crate::registry::{self, Template, Translation};

/// The default lifetime of a test number: long enough for a test, and it expires by itself.
const LASTS: Duration = Duration::from_secs(30 * 24 * 60 * 60);

parameters! {
    pub struct TemplateFilters {
        /// With this name.
        "FriendlyName" = "login" => name: Option<Note<64>>,
    }
}

parameters! {
    pub struct SafeNumber {
        /// The number, in E.164 form.
        "PhoneNumber" = "+14155552671" => number: PhoneNumber,
    }
}

parameters! {
    pub struct TestNumber {
        /// A number in E.164 form, in which x stands for any digit.
        "Pattern" = "+1415555012x" => pattern: Pattern,
        /// The code that verifies it.
        "Code" = "123456" => code: TestCode,
        /// The end, at most a year ahead; the default is 30 days.
        "DateExpires" = "2026-12-31T12:00:00Z" => expires: Option<Timestamp>,
        /// Whether the pattern may match a real subscriber's number.
        "Force" = "false" => force: Option<bool>,
    }
}

view! {
    /// Texts of messages, in several languages.
    TemplateView as "Template"(frame, template: &Template) {
        sid: TemplateSid = Id(template.sid),
        account_sid: AccountSid = Id(frame.account),
        friendly_name: String = template.friendly_name.clone(),
        /// Calls are `voice` here, as Twilio spells it.
        channels: Vec<&'static str> = template.channels.iter().map(|channel| match channel {
            Channel::Call => "voice",
            other => other.as_str(),
        }).collect(),
        /// By language.
        translations: BTreeMap<String, TranslationView> = template.translations.iter().map(|translation| {
            let is_default = Some(translation.locale) == template.default_locale();
            let view = TranslationView::new(frame, translation, is_default, template.created);
            (translation.locale.to_string(), view)
        }).collect(),
    }
}

view! {
    /// A text in one language.
    TranslationView as "Translation"(_frame, translation: &Translation, is_default: bool, date: Timestamp) {
        /// Whether it is used if no other language fits.
        is_default_translation: bool = is_default,
        #[schemars(regex(pattern = "^approved$"))]
        status: &'static str = "approved",
        locale: String = translation.locale.to_string(),
        text: String = translation.text.clone(),
        date_updated: Date = date.into(),
        date_created: Date = date.into(),
    }
}

view! {
    /// A number on the safe list.
    SafeNumberView as "SafeListNumber"(frame, sid: Sid, number: PhoneNumber) {
        sid: SafeNumberSid = Id(sid),
        /// In E.164 form.
        phone_number: String = number.e164(),
        url: Url = frame.url(format_args!("/SafeList/Numbers/{}", number.e164())),
    }
}

view! {
    /// Numbers that receive no message and have a known code.
    TestNumberView as "TestNumber"(frame, service: Sid, number: &registry::TestNumber) {
        service_sid: ServiceSid = Id(service),
        account_sid: AccountSid = Id(frame.account),
        /// In E.164 form; `x` stands for any digit.
        pattern: String = number.pattern.clone(),
        /// The code that verifies them.
        code: String = number.code.clone(),
        /// The time from which they are ordinary numbers again.
        date_expires: Date = number.expires.into(),
        url: Url = frame.url(format_args!("/Services/{service}/TestNumbers/{}", number.pattern)),
    }
}

/// `GET` of the templates: all, or those with this friendly name.
pub async fn list_templates(Given(request, params): Given<TemplateFilters>) -> Answer<Listed<TemplateView>> {
    let is_listed = |name: &str| params.name.as_ref().is_none_or(|wanted| *wanted == *name);
    let (page, frame) = (request.page(TemplateFilters::NAMES)?, request.frame());
    let templates = request.running.registry.templates().iter();
    let listed = templates.filter(|template| is_listed(&template.friendly_name)).skip(page.skip());
    Ok(Json(page.of("templates", listed, |template| TemplateView::new(&frame, template))))
}

pub async fn create_safe_number(Given(request, new): Given<SafeNumber>) -> Made<SafeNumberView> {
    let (SafeNumber { number }, guard) = (new, &request.running.guard);
    guard.add_safe_number(number, request.author()).await.map_err(|error| match error {
        EntryError::IsSafe => Error::plain(Cause::SAFE_NUMBER_EXISTS),
        EntryError::TooMany(too_many) => Error::conflict(too_many.to_string()),
        EntryError::InNoPlan(_) | EntryError::OnlyAll => Error::parameter("PhoneNumber", error),
        EntryError::Refused(refusal) => refusal.into(),
    })?;
    created(SafeNumberView::new(&request.frame(), guard.safe_sid(number), number))
}

pub async fn fetch_safe_number(request: Request) -> Answer<SafeNumberView> {
    let (number, guard) = (request.number("PhoneNumber")?, &request.running.guard);
    let found = guard.is_safe(number).then(|| guard.safe_sid(number)).ok_or(Error::NotFound)?;
    Ok(Json(SafeNumberView::new(&request.frame(), found, number)))
}

pub async fn delete_safe_number(request: Request) -> Gone {
    let number = request.number("PhoneNumber")?;
    let was_on_it = request.running.guard.remove_safe_number(number, request.author()).await?;
    if was_on_it { Ok(StatusCode::NO_CONTENT) } else { Err(Error::NotFound) }
}

pub async fn list_test_numbers(InService(request, service, ()): InService) -> Answer<Listed<TestNumberView>> {
    request.list("test_numbers", service.test_numbers.iter(), |frame, number| {
        TestNumberView::new(frame, service.sid, number)
    })
}

/// `POST` of a test number. One with the same pattern is replaced.
pub async fn create_test_number(
    InService(request, service, new): InService<TestNumber>,
) -> Made<TestNumberView> {
    let TestNumber { pattern, code, expires, force } = new;
    let force = force.unwrap_or(false);
    if force && !request.caller.may_everywhere(Scope::Admin) {
        return Err(Error::forbidden("Force needs the account's credentials, or a key for all services"));
    }
    let expires = expires.unwrap_or_else(|| request.now().plus(LASTS));
    let number = registry::TestNumber { pattern, code, expires, force };
    let number = request.registry().put_test_number(service.sid, number).await?;
    created(TestNumberView::new(&request.frame(), service.sid, &number))
}

/// `DELETE` of a test number, by its pattern.
pub async fn delete_test_number(InService(request, service, ()): InService) -> Gone {
    let pattern = request.param("Pattern")?.to_owned();
    request.registry().delete_test_number(service.sid, pattern).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[rustfmt::skip] // A table.
pub fn routes() -> ApiRouter {
    ApiRouter::of(ApiGroup::twilio("Test numbers",
            "Numbers that receive no message and have a known code. Not in Twilio's API.",
            Access::Scope(Scope::Admin)))
        .post("/v2/Services/{ServiceSid}/TestNumbers", create_test_number,
            operation(create_test_number, "CreateTestNumber", "Create a test number")
                .about("Replaces a test number with the same pattern. The server refuses a pattern that \
                        could match a real subscriber's number, unless Force is true."))
        .get("/v2/Services/{ServiceSid}/TestNumbers", list_test_numbers,
            listing(list_test_numbers, "test_numbers", "ListTestNumber", "List test numbers"))
        .delete("/v2/Services/{ServiceSid}/TestNumbers/{Pattern}", delete_test_number,
            operation(delete_test_number, "DeleteTestNumber", "Delete a test number"))
        .merge(ApiRouter::of(ApiGroup::twilio("Templates and the safe list",
            "Texts of messages, and numbers to which the pumping guard refuses no message. The safe list is for \
            the account itself.",
            Access::Account("the safe list")))
        .get("/v2/Templates", list_templates,
            listing(list_templates, "templates", "ListVerificationTemplate", "List templates")
                .about("Templates are built in or come from the configuration.").access(Access::AnyScope))
        .post("/v2/SafeList/Numbers", create_safe_number,
            operation(create_safe_number, "CreateSafelist", "Add a number to the safe list"))
        .get("/v2/SafeList/Numbers/{PhoneNumber}", fetch_safe_number,
            operation(fetch_safe_number, "FetchSafelist", "Fetch a number of the safe list"))
        .delete("/v2/SafeList/Numbers/{PhoneNumber}", delete_safe_number,
            operation(delete_safe_number, "DeleteSafelist", "Remove a number from the safe list")))
}
