//! The builder of an engine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::senders::Senders;
use super::texts::Texts;
use crate::clock::Clock;
use crate::config::{
    Bounds, BreakerSettings, DeliverySettings, GatewaySettings, GuardSettings, Pricing, RegistrySettings,
    RetrySettings, Settings, StorageSettings, TrackerSettings, WorkflowStep,
};
use crate::domain::{Channel, CodeLength, Locale, Region};
use crate::engine::{LockoutRule, Policy, SendOptions, SendRules};
use crate::gateway::{
    Gateway, HttpGatewaySettings, MadaSettings, SinchSettings, TwilioSettings, TwilioVerifySettings,
    TwilioVoiceSettings,
};

/// Describes an engine; [`OtpBuilder::start`] starts it.
///
/// Without further words it sends to an inbox in memory ([`Otp::inbox_code`](super::Otp::inbox_code)), with six
/// digits that live for five minutes, five attempts and a lockout of 30 minutes. Nothing is checked before
/// [`OtpBuilder::start`], whose error names the value that cannot be used. The limits are those of the
/// configuration of the server: `docs/reference/configuration.md`.
///
/// ```
/// use std::time::Duration;
/// use onceward::otp::{Channel, CodeLength, Locale, Otp};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// let otp = Otp::builder(directory.path())
///     .brand("Acme")
///     .message("{brand}: your code is {code}. It works for {minutes} minutes.")
///     .text(Channel::Sms, Locale::parse("de"), "{brand}: Ihr Code ist {code}")
///     .code(CodeLength::SIX, Duration::from_secs(10 * 60))
///     .attempts(3, Duration::from_secs(60 * 60))
///     .voice(true)
///     .start()
///     .await?;
/// # otp.stop().await?;
///
/// // A value that cannot be used is an error that names it.
/// let refused = Otp::builder(directory.path()).attempts(0, Duration::from_secs(60)).start().await;
/// assert!(refused.err().unwrap().to_string().starts_with("attempts = 0: it must be from 1 to 100"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing runs before `start`"]
pub struct OtpBuilder {
    pub(super) storage: StorageSettings,
    pub(super) clock: Option<Arc<dyn Clock>>,
    pub(super) senders: Senders,
    pub(super) delivery: DeliverySettings,
    /// `None`: as `voice`.
    pub(super) voice_fallback: Option<bool>,
    pub(super) public_url: Option<String>,
    pub(super) tracker: TrackerSettings,
    pub(super) history: Pricing,
    pub(super) guard: GuardSettings,
    pub(super) policy: Policy,
    pub(super) texts: Texts,
    pub(super) registry: RegistrySettings,
    pub(super) shards: usize,
    pub(super) bounds: Bounds,
}

impl OtpBuilder {
    pub(super) fn new(data_dir: PathBuf) -> Self {
        Self {
            storage: StorageSettings { data_dir, ..StorageSettings::default() },
            clock: None,
            senders: Senders::default(),
            delivery: DeliverySettings::default(),
            voice_fallback: None,
            public_url: None,
            tracker: TrackerSettings::default(),
            history: Pricing::default(),
            guard: GuardSettings::default(),
            policy: Policy {
                max_attempts: Policy::DEFAULT_MAX_ATTEMPTS,
                lockout: LockoutRule::Fixed(Duration::from_secs(30 * 60)),
                sends: SendRules::CONTRACT,
                code: SendOptions { life: Duration::from_secs(5 * 60), length: CodeLength::SIX },
            },
            texts: Texts::default(),
            registry: RegistrySettings::default(),
            shards: crate::config::default_shards(crate::node::process::parallelism()),
            bounds: Bounds::default(),
        }
    }

    /// Starts from the server's settings, to change some of them or to add your own gateway. Ignores the settings of
    /// HTTP.
    pub fn from_settings(settings: Settings) -> Self {
        let DeliverySettings { public_url, voice, voice_fallback, .. } = &settings.delivery;
        Self {
            // Without calls the settings say nothing about it.
            voice_fallback: voice.then_some(*voice_fallback),
            public_url: public_url.as_deref().map(str::to_owned),
            storage: settings.storage,
            clock: None,
            senders: Senders::of(settings.gateways),
            delivery: settings.delivery,
            tracker: settings.tracker,
            history: settings.history,
            guard: settings.guard,
            policy: settings.policy,
            texts: Texts::checked(settings.templates, settings.brand),
            registry: settings.registry,
            shards: settings.shards,
            bounds: settings.bounds,
        }
    }

    /// A file with the server key, 64 hexadecimal digits, in place of `server.key` in the data directory. The
    /// file must exist. Codes are derived with the key; therefore it should not be where the data's backup is.
    pub fn key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.storage.server_key_file = Some(path.into());
        self
    }

    /// The value of `{brand}` in texts: 1 to 100 characters without line breaks and braces. `onceward`
    /// without it.
    pub fn brand(mut self, name: impl Into<String>) -> Self {
        self.texts.set().brand = name.into();
        self
    }

    /// The text of messages where [`OtpBuilder::text`] gives none that fits better: `Your code is {code}`
    /// without it. `{code}` or `_CODE_` is where the code goes and must be there; `{brand}` and `{minutes}`,
    /// the life of a code, are filled in too. At most 1600 characters with all that in it.
    ///
    /// On a builder that was made of the server's settings, the first text or brand that is given puts the
    /// builder's texts in place of all texts of the settings; the brand stays.
    pub fn message(mut self, text: impl Into<String>) -> Self {
        self.texts.set().message = text.into();
        self
    }

    /// The text of one channel, or of any (`None`), in one language, or in any (`None`). A message takes
    /// the text of its channel in the language asked for ([`MessageStyle::locale`](super::MessageStyle)), of the
    /// number's country, or of [`OtpBuilder::default_locale`], in this order. For a call the digits of the code
    /// are set apart, and the text is said twice.
    pub fn text(
        mut self,
        channel: impl Into<Option<Channel>>,
        locale: impl Into<Option<Locale>>,
        text: impl Into<String>,
    ) -> Self {
        self.texts.set().add(channel.into(), locale.into(), text.into());
        self
    }

    /// The language where neither the caller nor the number's country leads to a text.
    pub fn default_locale(mut self, locale: Locale) -> Self {
        self.texts.set().default_locale = Some(locale);
        self
    }

    /// The host name, such as `example.com`, of the web site whose form the browser is to fill in by itself:
    /// text messages then end in `@example.com #123456` (`WebOTP`).
    pub fn webotp_domain(mut self, host: impl Into<String>) -> Self {
        self.texts.set().webotp_domain = Some(host.into());
        self
    }

    /// The length of a code, and its lifetime: 1 s to 24 h. Codes of Twilio Verify and Sinch have
    /// the length that is set with them.
    pub const fn code(mut self, length: CodeLength, life: Duration) -> Self {
        self.policy.code = SendOptions { life, length };
        self
    }

    /// Wrong codes in a row until a number is locked out, 1 to 100, and for how long it then is, 1 s to
    /// 30 days. Together they may allow guesses at a tenth of all codes in a day at most.
    pub const fn attempts(mut self, max: u8, lockout: Duration) -> Self {
        self.policy.max_attempts = max;
        self.policy.lockout = LockoutRule::Fixed(lockout);
        self
    }

    /// Several providers at once, in the order of [`GatewaySettings::routing`], instead of the earlier ones.
    pub fn gateways(mut self, gateways: GatewaySettings) -> Self {
        self.senders = Senders::of(gateways);
        self
    }

    /// Adds Twilio Messages: text messages, and `WhatsApp` where a sender for it is given.
    pub fn twilio_messages(mut self, twilio: TwilioSettings) -> Self {
        self.senders.twilio_messages(twilio);
        self
    }

    /// Adds Twilio Voice. Calls take the place of Twilio Messages in the order where that is given too.
    /// Only with [`OtpBuilder::voice`].
    pub fn twilio_voice(mut self, twilio: TwilioVoiceSettings) -> Self {
        self.senders.twilio_voice(twilio);
        self
    }

    /// Adds Twilio Verify, which makes and holds codes itself.
    pub fn twilio_verify(mut self, twilio: TwilioVerifySettings) -> Self {
        self.senders.twilio_verify(twilio);
        self
    }

    /// Adds Sinch Verification, which makes and holds codes itself.
    pub fn sinch(mut self, sinch: SinchSettings) -> Self {
        self.senders.sinch(sinch);
        self
    }

    /// Adds Mada.
    pub fn mada(mut self, mada: MadaSettings) -> Self {
        self.senders.mada(mada);
        self
    }

    /// Adds a provider that is described by a request and what its answers mean.
    pub fn http_gateway(mut self, http: HttpGatewaySettings) -> Self {
        self.senders.http(http);
        self
    }

    /// Adds a provider of your own: [`Gateway`]. It goes by the name that [`Gateway::name`] says, in the
    /// order, in lists and on the disk. There is at most one of each name; therefore choose one that is not used
    /// otherwise and keep it: a code that a gateway holds is checked by the gateway of that name.
    pub fn gateway(mut self, gateway: Arc<dyn Gateway>) -> Self {
        self.senders.own(gateway);
        self
    }

    /// The gateways in their order, with the numbers of each, as the setting `otp-sms-provider` spells it:
    /// `Twilio;Mada:+35987,+35988;Sinch`. A gateway with prefixes takes the numbers that begin with one
    /// of them; behind it come those without. `Twilio` is Messages where that is given, else Verify.
    /// Without a routing, gateways are tried in the order in which they were added; one that is left out
    /// of it sends nothing, and checks the codes that it still holds.
    pub fn routing(mut self, order: impl Into<String>) -> Self {
        self.senders.routing(order.into());
        self
    }

    /// Allows calls: on request, and where a text message cannot reach a number. Some gateway in the order must be
    /// able to call.
    pub const fn voice(mut self, allowed: bool) -> Self {
        self.delivery.voice = allowed;
        self
    }

    /// Whether a number that text messages do not reach is called. It is where calls are allowed, unless this
    /// says otherwise; without [`OtpBuilder::voice`] it has no effect.
    pub const fn voice_fallback(mut self, allowed: bool) -> Self {
        self.voice_fallback = Some(allowed);
        self
    }

    /// Retries in the background if no gateway accepts a message: the send then counts as accepted. A planned retry
    /// survives a restart, and nothing is sent for a code that was used, replaced or has expired.
    pub const fn retry(mut self, retry: RetrySettings) -> Self {
        self.delivery.retry = Some(retry);
        self
    }

    /// Rules and budgets of the pumping guard: `docs/concepts/guard.md`. A limit of `u64::MAX` is none. Without a budget, a
    /// new data directory has one of 500 messages an hour if a gateway is not the simulator.
    pub fn guard(mut self, settings: GuardSettings) -> Self {
        self.guard = settings;
        self
    }

    /// Channels that are tried one after another, at most ten, until a provider reports that a message
    /// arrived; each waits for that for 1 s to 1 h. Needs a gateway for each channel, and reports:
    /// [`OtpBuilder::public_url`].
    pub fn workflow(mut self, steps: impl IntoIterator<Item = WorkflowStep>) -> Self {
        self.delivery.workflow = steps.into_iter().collect();
        self
    }

    /// Messages that one verification may cost over all steps and retries: 1 to 20, 5 without it.
    pub const fn workflow_sends(mut self, sends: u8) -> Self {
        self.delivery.workflow_sends = sends;
        self
    }

    /// When a gateway counts as dead and is left alone for a while.
    pub const fn breaker(mut self, breaker: BreakerSettings) -> Self {
        self.delivery.breaker = breaker;
        self
    }

    /// Under which address providers reach your program: scheme, host and perhaps a path. They report to
    /// the paths below it that [`Otp::provider_callback`](super::Otp::provider_callback) takes.
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.public_url = Some(url.into());
        self
    }

    /// Retention of sends, 1 min to 366 days, and the largest number of remembered verifications.
    pub const fn tracker(mut self, tracker: TrackerSettings) -> Self {
        self.tracker = tracker;
        self
    }

    /// The country of numbers that are given without `+`. Without it such numbers are refused.
    pub const fn default_region(mut self, region: Region) -> Self {
        self.storage.default_region = Some(region);
        self
    }

    /// The number of shards, 1 to 1024. The default is half the number of processors.
    pub const fn shards(mut self, shards: usize) -> Self {
        self.shards = shards;
        self
    }

    /// All limits. Ignores those of connections.
    pub const fn bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// Another clock than the machine's, such as a [`ManualClock`](super::ManualClock) in tests. It decides
    /// when codes expire and lockouts end; waits for gateways take real time.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }
}

impl std::fmt::Debug for OtpBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OtpBuilder").field("data_dir", &self.storage.data_dir).finish_non_exhaustive()
    }
}
