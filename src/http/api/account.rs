//! `/v2/Templates`: texts of messages that services and requests can choose. `/v2/SafeList/Numbers`: numbers to which the
//! pumping guard refuses no message. `/v2/Services/{ServiceSid}/TestNumbers`, which is not Twilio's: numbers that are
//! never sent anything, with a known code.

use std::collections::BTreeMap;
use std::time::Duration;

use super::guard::not_entered;
use super::prelude::*;
use crate::domain::PhoneNumber;

/// The default lifetime of a test number: long enough for a test, and it expires by itself.
const LASTS: Duration = Duration::from_secs(30 * 24 * 60 * 60);

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct TemplateFilters {
    /// With this name.
    pub friendly_name: Option<values::Note<64>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SafeNumber {
    /// The number.
    pub phone_number: values::PhoneNumber,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct NewTestNumber {
    /// A number in E.164 form, in which x stands for any digit.
    pub pattern: values::Unchecked<20>,
    /// The code that verifies it.
    pub code: values::Unchecked<10>,
    /// The end, at most a year ahead; the default is 30 days.
    pub date_expires: Option<values::Timestamp>,
    /// Whether the pattern may match a real subscriber's number.
    pub force: Option<bool>,
}

/// Texts of messages, in several languages.
#[derive(Serialize, JsonSchema)]
pub struct Template {
    pub sid: TemplateSid,
    pub account_sid: AccountSid,
    pub friendly_name: String,
    /// Calls are `voice` here, as Twilio spells it.
    pub channels: Vec<&'static str>,
    /// By language.
    pub translations: BTreeMap<String, TranslationView>,
}

impl Template {
    fn new(caller: &Caller, template: &registry::Template) -> Self {
        let name = |channel: &Channel| if *channel == Channel::Call { "voice" } else { channel.as_str() };
        let translations = template.translations.iter().map(|(locale, text)| {
            let view = TranslationView {
                is_default_translation: Some(*locale) == template.default_locale(),
                status: "approved",
                locale: locale.to_string(),
                text: text.clone(),
                date_updated: template.created.into(),
                date_created: template.created.into(),
            };
            (locale.to_string(), view)
        });
        Self {
            sid: Id(template.sid),
            account_sid: caller.account(),
            friendly_name: template.friendly_name.clone(),
            channels: template.channels.iter().map(name).collect(),
            translations: translations.collect(),
        }
    }
}

/// A text in one language.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Translation")]
pub struct TranslationView {
    /// Whether it is used if no other language fits.
    pub is_default_translation: bool,
    pub status: &'static str,
    pub locale: String,
    pub text: String,
    pub date_updated: Date,
    pub date_created: Date,
}

/// A number on the safe list.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SafeListNumber")]
pub struct SafeNumberView {
    pub sid: SafeNumberSid,
    /// In E.164 form.
    pub phone_number: String,
    pub url: Url,
}

impl SafeNumberView {
    fn new(caller: &Caller, number: PhoneNumber) -> Self {
        Self {
            sid: Id(caller.running.guard.safe_sid(number)),
            phone_number: number.e164(),
            url: caller.url(format_args!("/v2/SafeList/Numbers/{}", number.e164())),
        }
    }
}

/// Numbers that receive no message and have a known code.
#[derive(Serialize, JsonSchema)]
pub struct TestNumber {
    pub service_sid: ServiceSid,
    pub account_sid: AccountSid,
    /// In E.164 form; `x` stands for any digit.
    pub pattern: String,
    /// The code that verifies them.
    pub code: String,
    /// The time from which they are ordinary numbers again.
    pub date_expires: Date,
    pub url: Url,
}

impl TestNumber {
    fn new(of: &InService<impl Sized>, number: &registry::TestNumber) -> Self {
        let service = of.service.sid;
        Self {
            service_sid: Id(service),
            account_sid: of.account(),
            pattern: number.pattern.clone(),
            code: number.code.clone(),
            date_expires: number.expires.into(),
            url: of.url(format_args!("/v2/Services/{service}/TestNumbers/{}", number.pattern)),
        }
    }
}

/// `GET` of the templates: all, or those with this friendly name.
pub async fn list_templates(
    caller: Caller,
    Listing(TemplateFilters { friendly_name }, page): Listing<TemplateFilters>,
) -> Result<Listed<Template>, Error> {
    let is_listed = |name: &str| friendly_name.as_ref().is_none_or(|wanted| wanted.0 == *name);
    let templates = caller.running.registry.templates().iter();
    let listed = templates.filter(|template| is_listed(&template.friendly_name));
    page.of_all("templates", listed, |template| Template::new(&caller, template))
}

async fn create_safe_number(
    caller: Caller,
    Params(SafeNumber { phone_number }): Params<SafeNumber>,
) -> Made<SafeNumberView> {
    let guard = &caller.running.guard;
    if guard.is_safe(phone_number.0) {
        return Err(Error::SAFE_NUMBER_EXISTS);
    }
    let added = guard.add_safe_number(phone_number.0, caller.author()).await;
    added.map_err(|error| not_entered("PhoneNumber", error))?;
    created(SafeNumberView::new(&caller, phone_number.0))
}

async fn fetch_safe_number(
    caller: Caller,
    Segments(number): Segments<values::PhoneNumber>,
) -> Answer<SafeNumberView> {
    let is_safe = caller.running.guard.is_safe(number.0);
    if is_safe { Ok(Json(SafeNumberView::new(&caller, number.0))) } else { Err(Error::NO_RESOURCE) }
}

async fn delete_safe_number(caller: Caller, Segments(number): Segments<values::PhoneNumber>) -> Gone {
    let was_on_it = caller.running.guard.remove_safe_number(number.0, caller.author()).await?;
    if was_on_it { Ok(StatusCode::NO_CONTENT) } else { Err(Error::NO_RESOURCE) }
}

async fn list_test_numbers(of: InService, Listing((), page): Listing) -> Result<Listed<TestNumber>, Error> {
    page.of_all("test_numbers", &of.service.test_numbers, |number| TestNumber::new(&of, number))
}

/// `POST` of a test number. One with the same pattern is replaced.
async fn create_test_number(of: InService, Params(new): Params<NewTestNumber>) -> Made<TestNumber> {
    let (pattern, code, force) = (new.pattern.0, new.code.0, new.force.unwrap_or(false));
    if force && !of.who.may_everywhere(Scope::Admin) {
        return Err(Error::forbidden("Force needs the account's credentials, or a key for all services"));
    }
    let expires = new.date_expires.map_or_else(|| of.now().plus(LASTS), |at| at.0);
    let number = registry::TestNumber { pattern, code, expires, force };
    let number = of.registry().put_test_number(of.service.sid, number).await?;
    created(TestNumber::new(&of, &number))
}

/// `DELETE` of a test number, by its pattern.
async fn delete_test_number(of: InService<String>) -> Gone {
    of.registry().delete_test_number(of.service.sid, of.path.clone()).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[rustfmt::skip] // A table.
pub fn routes() -> Routes {
    Routes::new("Test numbers", "Numbers that receive no message and have a known code. Not in Twilio's API.", Group::twilio(Access::Scope(Scope::Admin)))
        .post("/v2/Services/{ServiceSid}/TestNumbers", create_test_number, made::<NewTestNumber, TestNumber>("CreateTestNumber", "Create a test number")
                .about("Replaces a test number with the same pattern. The server refuses a pattern that could match a real subscriber's number, unless Force is true."))
        .get("/v2/Services/{ServiceSid}/TestNumbers", list_test_numbers, list_of::<(), TestNumber>("test_numbers", "ListTestNumber", "List test numbers"))
        .delete("/v2/Services/{ServiceSid}/TestNumbers/{Pattern}", delete_test_number, gone::<()>("DeleteTestNumber", "Delete a test number"))
}

#[rustfmt::skip] // A table.
pub fn account_routes() -> Routes {
    Routes::new("Safe list", "Numbers to which the pumping guard refuses no message. For the account itself.", Group::twilio(Access::Account("the safe list")))
        .post("/v2/SafeList/Numbers", create_safe_number, made::<SafeNumber, SafeNumberView>("CreateSafelist", "Add a number to the safe list"))
        .get("/v2/SafeList/Numbers/{PhoneNumber}", fetch_safe_number, ok::<(), SafeNumberView>("FetchSafelist", "Fetch a number of the safe list"))
        .delete("/v2/SafeList/Numbers/{PhoneNumber}", delete_safe_number, gone::<()>("DeleteSafelist", "Remove a number from the safe list"))
}
