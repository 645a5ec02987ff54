//! Parameters of Twilio Verify's API.

use super::endpoint::Type::{Boolean, Date, Events, Line, Name, Note, Pairs, Pattern, Text, Whole, Words};
use super::endpoint::{Param, Type, needed, optional};
use crate::http::v2::page::{LARGEST, LAST_PAGE};

const NUMBER: Type = Pattern(r"^\+[1-9][0-9]{6,14}$");
const OPTIONAL_NUMBER: Type = Pattern(r"^(\+[1-9][0-9]{6,14})?$");
const SERVICE_ID: Type = Pattern("^VA[0-9a-fA-F]{32}$");
const TEMPLATE_ID: Type = Pattern("^(HJ[0-9a-fA-F]{32})?$");
const GATEWAY_ID: Type = Pattern("^MG[0-9a-fA-F]{32}$");
/// Channels, each perhaps with the seconds to wait for a receipt.
const WORKFLOW: Type =
    Pattern("^((sms|call|whatsapp)(:[1-9][0-9]?s)?(,(sms|call|whatsapp)(:[1-9][0-9]?s)?){0,9})?$");
/// Language, script and region.
pub const LANGUAGE: Type = Pattern("^([A-Za-z]{2,3}([-_][A-Za-z]{4})?([-_]([A-Za-z]{2}|[0-9]{3}))?)?$");

const AN_ID: &str = "VA0123456789abcdef0123456789abcdef";

/// A service, under the name that its own path has for it.
pub const SERVICE: Param = needed("Sid", SERVICE_ID, "The service.", AN_ID);
/// A service, under the name that paths below it have for it.
pub const OF_SERVICE: Param = needed("ServiceSid", SERVICE_ID, "The service.", AN_ID);
/// A verification.
pub const VERIFICATION: Param = needed(
    "Sid",
    Pattern(r"^(VE[0-9a-fA-F]{32}|\+[1-9][0-9]{6,14})$"),
    "The verification's id, or the number that it is for.",
    "VE0123456789abcdef0123456789abcdef",
);
/// A rate limit.
pub const RATE_LIMIT: Param =
    needed("Sid", Pattern("^RK[0-9a-fA-F]{32}$"), "The rate limit.", "RK0123456789abcdef0123456789abcdef");
/// A rate limit, in the paths of its buckets.
pub const OF_RATE_LIMIT: Param = Param { name: "RateLimitSid", ..RATE_LIMIT };
/// A bucket.
pub const BUCKET: Param =
    needed("Sid", Pattern("^BL[0-9a-fA-F]{32}$"), "The bucket.", "BL0123456789abcdef0123456789abcdef");
/// A country.
pub const COUNTRY: Param = needed("Country", Pattern("^[A-Za-z]{2}$"), "Two letters of ISO 3166-1.", "DE");
/// A webhook.
pub const WEBHOOK: Param =
    needed("Sid", Pattern("^YW[0-9a-fA-F]{32}$"), "The webhook.", "YW0123456789abcdef0123456789abcdef");
/// An attempt.
pub const ATTEMPT: Param =
    needed("Sid", Pattern("^VL[0-9a-fA-F]{32}$"), "The attempt.", "VL0123456789abcdef0123456789abcdef");
/// A test number.
pub const TEST_NUMBER: Param = needed(
    "Pattern",
    Pattern("^\\+[0-9xX]{7,15}$"),
    "A number in E.164 form, in which x stands for any digit; its + may be %2B.",
    "+1415555012x",
);
/// A number on the safe list.
pub const SAFE_NUMBER: Param =
    needed("PhoneNumber", NUMBER, "The number, in E.164 form; its + may be %2B.", "+14155552671");

const PAGE_SIZE: Param =
    optional("PageSize", Whole(1, LARGEST), "Things on a page; 50 if it is not given.", "50");
const PAGE: Param = optional("Page", Whole(0, LAST_PAGE), "Which page, from 0.", "0");
const PAGE_TOKEN: Param = optional(
    "PageToken",
    Pattern("^(PT[0-9]{1,19})?$"),
    "Only from an address that a list told.",
    "PT1700000000000",
);

/// Of a list.
pub const PAGING: &[Param] = &[PAGE_SIZE, PAGE, PAGE_TOKEN];

/// Of the list of templates.
pub const TEMPLATES: &[Param] =
    &[optional("FriendlyName", Note(64), "Only those with this name.", "login"), PAGE_SIZE, PAGE, PAGE_TOKEN];

const SINCE: Param =
    optional("DateCreatedAfter", Date, "Made at this moment or later.", "2026-01-31T12:00:00Z");
const UNTIL: Param = optional("DateCreatedBefore", Date, "Made before this moment.", "2026-02-28T12:00:00Z");
const TO_COUNTRY: Param =
    optional("Country", Pattern("^([A-Za-z]{2})?$"), "To this country, two letters of ISO 3166-1.", "DE");
const BY_CHANNEL: Param = optional("Channel", Words(&["sms", "call", "whatsapp"]), "By this channel.", "sms");
const IN_SERVICE: Param =
    optional("VerifyServiceSid", Pattern("^(VA[0-9a-fA-F]{32})?$"), "Of this service.", AN_ID);

/// Of the list of attempts.
pub const ATTEMPTS: &[Param] = &[
    SINCE,
    UNTIL,
    optional("ChannelData.To", OPTIONAL_NUMBER, "To this number.", "+14155552671"),
    TO_COUNTRY,
    BY_CHANNEL,
    IN_SERVICE,
    optional(
        "VerificationSid",
        Pattern("^(VE[0-9a-fA-F]{32})?$"),
        "Of this verification.",
        "VE0123456789abcdef0123456789abcdef",
    ),
    optional(
        "Status",
        Words(&["converted", "unconverted"]),
        "That led to a verified number, or did not.",
        "converted",
    ),
    PAGE_SIZE,
    PAGE,
    PAGE_TOKEN,
];

/// Of their summary.
pub const SUMMARY: &[Param] = &[
    IN_SERVICE,
    SINCE,
    UNTIL,
    TO_COUNTRY,
    BY_CHANNEL,
    optional("DestinationPrefix", Pattern(r"^(\+?[0-9]{1,15})?$"), "To numbers that begin so.", "49"),
];

/// What makes a repetition harmless.
pub const IDEMPOTENCY: &[Param] = &[optional(
    "Idempotency-Key",
    Pattern("^[!-~]{1,255}$"),
    "Visible ASCII characters that the caller makes up, such as a UUID.",
    "7d5f4c7e-54a6-4b0e-8f6e-2f1f8c1b7a10",
)];

/// What begins a verification.
pub const BEGIN: &[Param] = &[
    needed("To", NUMBER, "The number, in E.164 form.", "+14155552671"),
    needed(
        "Channel",
        Words(&["sms", "call", "whatsapp", "auto"]),
        "How the code goes there; auto is what the service begins with.",
        "sms",
    ),
    optional("Locale", LANGUAGE, "The language of the message, such as de or pt-BR.", "de"),
    optional(
        "CustomFriendlyName",
        Name(30),
        "What the message calls the sender, with at most 4 digits.",
        "Owl Bank",
    ),
    optional(
        "CustomCode",
        Pattern("^([0-9]{4,10})?$"),
        "The code, where the service has CustomCodeEnabled.",
        "123456",
    ),
    optional(
        "AppHash",
        Pattern("^([A-Za-z0-9+/]{11})?$"),
        "The hash of the Android app that is to read the message.",
        "FA+9qCX9VSu",
    ),
    optional("TemplateSid", TEMPLATE_ID, "The text of the message.", "HJ0123456789abcdef0123456789abcdef"),
    optional(
        "TemplateCustomSubstitutions",
        Pairs,
        "What the template's own places are filled in with: a JSON object, at most 20 names.",
        r#"{"order":"42"}"#,
    ),
    optional(
        "RateLimits",
        Pairs,
        "Values for rate limits, by their unique names: a JSON object, at most 10 names.",
        r#"{"session":"abc"}"#,
    ),
    optional("DeviceIp", Text(45), "The address that the person uses.", "192.0.2.7"),
    optional(
        "Tags",
        Pairs,
        "What is to be found again in events: a JSON object, at most 10 names, of 128 characters at most.",
        r#"{"campaign":"spring"}"#,
    ),
    optional(
        "SendDigits",
        Pattern("^[0-9w*#]{0,32}$"),
        "Keys that a call presses when it is answered. Only with Channel=call.",
        "www12",
    ),
    optional("RiskCheck", Words(&["enable", "disable"]), "Whether this one is checked for fraud.", "enable"),
];

/// What ends one.
pub const END: &[Param] = &[needed(
    "Status",
    Words(&["canceled", "approved"]),
    "canceled ends it; approved says that the caller has checked in another way.",
    "canceled",
)];

/// What checks a code.
pub const CHECK: &[Param] = &[
    needed("Code", Pattern("^.{4,10}$"), "What was submitted.", "123456"),
    optional(
        "To",
        OPTIONAL_NUMBER,
        "The number. Either this or VerificationSid must be given.",
        "+14155552671",
    ),
    optional(
        "VerificationSid",
        Pattern("^(VE[0-9a-fA-F]{32})?$"),
        "The verification: whoever knows it is not slowed down by the wrong guesses of others.",
        "VE0123456789abcdef0123456789abcdef",
    ),
];

const NAME: Param =
    needed("FriendlyName", Name(30), "What its messages call it, with at most 4 digits.", "Owl Bank");

/// What a service is like. The last eight are not Twilio's.
const RULES: [Param; 18] = [
    optional("CodeLength", Whole(4, 10), "Digits of a code.", "6"),
    optional("LookupEnabled", Boolean, "Kept and shown.", "false"),
    optional(
        "SkipSmsToLandlines",
        Boolean,
        "Refuses text messages to numbers known to be landlines.",
        "true",
    ),
    optional("DtmfInputRequired", Boolean, "Kept and shown.", "true"),
    optional("TtsName", Line(64), "Kept and shown. Empty takes it away.", "Owl Bank"),
    optional("Psd2Enabled", Boolean, "Kept and shown.", "false"),
    optional(
        "DoNotShareWarningEnabled",
        Boolean,
        "Text messages warn that the code is not to be shared.",
        "true",
    ),
    optional("CustomCodeEnabled", Boolean, "Requests may bring their own codes.", "false"),
    optional(
        "DefaultTemplateSid",
        TEMPLATE_ID,
        "The text where a request names none. Empty takes it away.",
        "HJ0123456789abcdef0123456789abcdef",
    ),
    optional("VerifyEventSubscriptionEnabled", Boolean, "Kept and shown.", "false"),
    optional("CodeLife", Whole(30, 3_600), "Not Twilio's: seconds that a code can be used.", "600"),
    optional("MaxChecks", Whole(1, 100), "Not Twilio's: wrong codes of a verification.", "5"),
    optional("MaxSends", Whole(1, 20), "Not Twilio's: messages of a verification.", "5"),
    optional(
        "Lockout",
        Pattern("^(growing|[0-9]{1,7})?$"),
        "Not Twilio's: growing, or for how many seconds too many wrong codes lock a number.",
        "growing",
    ),
    optional(
        "Resend",
        Words(&["keep", "new"]),
        "Not Twilio's: whether a further send keeps the code.",
        "keep",
    ),
    optional(
        "CoolingDown",
        Boolean,
        "Not Twilio's: whether a further send has to wait for 30, 60, 120, then 300 s.",
        "false",
    ),
    optional("Locale", LANGUAGE, "Not Twilio's: the language where nothing else leads to one.", "de"),
    optional(
        "Workflow",
        WORKFLOW,
        "Not Twilio's: channels one after another, as the setting workflow.",
        "sms",
    ),
];

const fn with_name<const N: usize>(first: Param, rest: &[Param; 18]) -> [Param; N] {
    let mut all = [first; N];
    let mut at = 1;
    while at < N {
        all[at] = rest[at - 1];
        at += 1;
    }
    all
}

/// A new service.
pub const NEW_SERVICE: &[Param] = &with_name::<19>(NAME, &RULES);
/// A change of one.
pub const CHANGED_SERVICE: &[Param] = &with_name::<19>(Param { required: false, ..NAME }, &RULES);

const DESCRIPTION: Param = optional("Description", Note(512), "What people call it.", "one for each session");

/// A new rate limit.
pub const NEW_RATE_LIMIT: &[Param] =
    &[needed("UniqueName", Line(64), "What requests call it.", "session"), DESCRIPTION];
/// A change of one.
pub const CHANGED_RATE_LIMIT: &[Param] = &[DESCRIPTION];

const MAX: Param = needed("Max", Whole(1, 1_000_000), "Requests.", "5");
const INTERVAL: Param = needed("Interval", Whole(1, 604_800), "Seconds.", "60");

/// A new bucket.
pub const NEW_BUCKET: &[Param] = &[MAX, INTERVAL];
/// A change of one.
pub const CHANGED_BUCKET: &[Param] =
    &[Param { required: false, ..MAX }, Param { required: false, ..INTERVAL }];

const GATEWAY: Param = needed(
    "MessagingServiceSid",
    GATEWAY_ID,
    "The gateway; a wrong one is answered with all that there are.",
    "MG0123456789abcdef0123456789abcdef",
);

/// A new messaging configuration.
pub const NEW_MESSAGING: &[Param] = &[COUNTRY, GATEWAY];
/// A change of one.
pub const CHANGED_MESSAGING: &[Param] = &[GATEWAY];

const HOOK_NAME: Param = needed("FriendlyName", Note(64), "What people call it.", "billing");
const EVENTS: Param =
    needed("EventTypes", Events, "Which events, or * for all. May be repeated.", "verification.approved");
const HOOK_URL: Param =
    needed("WebhookUrl", Text(2_048), "Where they go: http or https.", "https://shop.example/hooks");
const HOOK_STATUS: Param =
    optional("Status", Words(&["enabled", "disabled"]), "Whether they go at all.", "enabled");
const HOOK_VERSION: Param = optional("Version", Words(&["v2"]), "The form of the events.", "v2");

/// A new webhook.
pub const NEW_WEBHOOK: &[Param] = &[HOOK_NAME, EVENTS, HOOK_URL, HOOK_STATUS, HOOK_VERSION];
/// A change of one.
pub const CHANGED_WEBHOOK: &[Param] = &[
    Param { required: false, ..HOOK_NAME },
    Param { required: false, ..EVENTS },
    Param { required: false, ..HOOK_URL },
    HOOK_STATUS,
    HOOK_VERSION,
];

const EVENT: Param = optional("EventType", Text(64), "Of this event.", "verification.approved");
const OUTCOME: Param =
    optional("Status", Words(&["pending", "delivered", "failed"]), "That are so far.", "failed");

/// Of the list of deliveries.
pub const DELIVERIES: &[Param] = &[OUTCOME, EVENT, SINCE, UNTIL, PAGE_SIZE, PAGE, PAGE_TOKEN];

/// What is to be delivered again.
pub const REPLAY: &[Param] = &[
    optional(
        "Since",
        Date,
        "Events at this moment or later. Either this or EventId must be given.",
        "2026-01-31T12:00:00Z",
    ),
    optional(
        "EventId",
        Pattern("^(evt_[0-9a-f]{32})?$"),
        "This event.",
        "evt_0123456789abcdef0123456789abcdef",
    ),
    optional("FailedOnly", Boolean, "With Since: false for those too that were delivered.", "true"),
];

/// A number for tests.
pub const NEW_TEST_NUMBER: &[Param] = &[
    TEST_NUMBER,
    needed("Code", Pattern("^[0-9]{4,10}$"), "The code that verifies it.", "123456"),
    optional(
        "DateExpires",
        Date,
        "Until when; 30 days if it is not given, a year at most.",
        "2026-12-31T12:00:00Z",
    ),
    optional("Force", Boolean, "Whether it may mean a number that somebody could own.", "false"),
];

/// A number for the safe list.
pub const NEW_SAFE_NUMBER: &[Param] = &[SAFE_NUMBER];
