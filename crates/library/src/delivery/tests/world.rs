//! A delivery with scripted gateways, whose wall time is tokio's paused time. It stays apart from
//! [`crate::testing::World`], where shards ask delivery and the clock stands still while a gateway is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep};

use crate::clock::{Clock, EngineClock};
use crate::config::{AttemptLogSettings, Bounds, BreakerSettings, DeliverySettings, Pricing};
use crate::delivery::attempts::AttemptLog;
use crate::delivery::error::Failure;
use crate::delivery::{
    Attempt, Check, Delivered, Delivery, DeliveryDeps, Outgoing, Permitted, PlannedMessage, Results, Routed,
};
use crate::domain::{
    AttemptLogKey, Channel, Code, GatewayName, Held, NumberKey, PhoneNumber, ServiceId, Timestamp,
    WorkflowStep,
};
use crate::engine::{
    CheckPermit, CheckResult, PossiblySent, Salt, SendOptions, SendPermit, SendResult, Verification,
};
use crate::template::Templates;
use crate::testing::{self, Answer, Handed, ProviderDouble, START, secs};

pub const KEY: AttemptLogKey =
    AttemptLogKey { service: ServiceId::DEFAULT, verification: 0x0102_0304_0506_0708 };

fn number() -> PhoneNumber {
    testing::number(2_671)
}

fn code() -> Code {
    Code::parse("012345").expect("a code")
}

/// A message, and the right to send it.
pub struct Job {
    pub outgoing: Outgoing,
    pub permitted: Permitted,
}

pub struct Setup {
    /// The routing; all gateways in it and in `beside` exist.
    pub routing: &'static str,
    pub beside: Vec<GatewayName>,
    pub settings: DeliverySettings,
    pub bounds: Bounds,
}

impl Setup {
    /// Without retries, workflow and voice, and with a circuit that rarely opens.
    pub fn routing(routing: &'static str) -> Self {
        let breaker = BreakerSettings { failures: 100, ..BreakerSettings::default() };
        let settings = DeliverySettings { breaker, ..DeliverySettings::default() };
        Self { routing, beside: Vec::new(), settings, bounds: Bounds::default() }
    }

    /// Adds Twilio's calls, which replace text messages.
    pub fn with_voice(mut self) -> Self {
        self.beside.push(GatewayName::TwilioVoice);
        self.settings.voice = true;
        self
    }

    pub fn with_retry(mut self) -> Self {
        (self.settings.sms_retry, self.settings.max_retries) = (true, 3);
        self
    }

    /// Each step has 20 s.
    pub fn with_workflow(mut self, channels: &[Channel]) -> Self {
        let step = |channel: &Channel| WorkflowStep { channel: *channel, timeout: secs(20) };
        self.settings.workflow = channels.iter().map(step).collect();
        self
    }

    /// A circuit that opens after `failures` failures for 10 s, or for the 20 s that a provider may ask for.
    pub fn with_breaker(mut self, failures: u32) -> Self {
        self.settings.breaker = BreakerSettings { failures, open_for: secs(10), longest: secs(20) };
        self
    }

    /// The places of each gateway.
    pub fn with_places(mut self, sends: usize, sends_waiting: usize) -> Self {
        self.bounds = Bounds { sends, sends_waiting, ..Bounds::default() };
        self
    }

    #[expect(clippy::disallowed_methods, reason = "tokio's paused time is the injected one here")]
    pub fn build(self) -> World {
        let Self { routing, beside, settings, bounds } = self;
        let clock = Arc::new(TokioClock(Instant::now()));
        let provider = ProviderDouble::scripted();
        let routing = testing::routing(routing);
        let names = routing.entries().iter().map(|entry| entry.gateway).chain(beside);
        let routed = names.map(|name| {
            let voice = name == GatewayName::TwilioVoice && !routing.names(name);
            let routed_as = if voice { GatewayName::TwilioMessages } else { name };
            Routed { routed_as, gateway: provider.gateway_for(name, channels_of(name)) }
        });
        let routed = routed.collect();
        let log = Mutex::new(AttemptLog::new(number(), START, AttemptLogSettings::default()));
        let results = Arc::new(Results::new(Pricing::default(), Box::new(|_| ())));
        let has_lease = Arc::new(AtomicBool::new(true));
        let may_send = Arc::clone(&has_lease);
        let deps = DeliveryDeps {
            routing,
            settings,
            services: None,
            templates: Templates::new("{code}"),
            clock: EngineClock::over(clock.clone()),
            rng: Mutex::new(StdRng::seed_from_u64(7)),
            bounds,
            guard: None,
            metrics: Arc::default(),
            results,
            may_send: Box::new(move || may_send.load(Ordering::SeqCst)),
        };
        let delivery = Delivery::new(routed, deps);
        let code = Mutex::new(Some(Ok(())));
        World { delivery, provider, log, clock, code, has_lease, asked: AtomicUsize::new(0) }
    }
}

pub struct World {
    pub delivery: Delivery,
    pub provider: ProviderDouble,
    /// The record of the attempts, as in the number's shard.
    pub log: Mutex<AttemptLog>,
    clock: Arc<TokioClock>,
    /// `None` while the number's shard does not answer.
    code: Mutex<Option<Result<(), Failure>>>,
    has_lease: Arc<AtomicBool>,
    asked: AtomicUsize,
}

impl World {
    /// A world with one gateway.
    pub fn answering(script: impl IntoIterator<Item = Answer>) -> Self {
        Setup::routing("Simulator").build().and(GatewayName::Simulator, script)
    }

    /// A world with one gateway and few places.
    pub fn with_places(sends: usize, sends_waiting: usize, script: impl IntoIterator<Item = Answer>) -> Self {
        let setup = Setup::routing("Simulator").with_places(sends, sends_waiting);
        setup.build().and(GatewayName::Simulator, script)
    }

    pub fn and(self, name: GatewayName, script: impl IntoIterator<Item = Answer>) -> Self {
        self.provider.answers(name, script);
        self
    }

    pub fn job(&self) -> Job {
        let options = SendOptions { life: secs(600), length: code().length() };
        let verification = Verification::beginning(Salt([1; 16]), &options, START);
        let channel = self.delivery.first_channel_of(ServiceId::DEFAULT);
        let outgoing = Outgoing::new(NumberKey::new(ServiceId::DEFAULT, number()), channel);
        let permitted = Permitted {
            permit: SendPermit { verification, replaced: None, before: None },
            log: KEY,
            first_attempt: self.log.lock().reserve(),
            repeated: Vec::new(),
            planned: None,
            asked: Vec::new(),
        };
        Job { outgoing, permitted }
    }

    /// A planned message.
    pub fn planned(&self, plan: Box<PlannedMessage>) -> Job {
        let mut job = self.job();
        (job.outgoing.channel, job.outgoing.allowance) = (plan.channel, plan.allowance.clone());
        job.permitted.repeated = self.log.lock().repeated_by(&plan);
        job.permitted.planned = Some(plan);
        job
    }

    pub async fn deliver(&self, job: &Job) -> Delivered {
        self.delivery.deliver(&job.outgoing, &job.permitted, &code(), &|_| self.code_is_live()).await
    }

    /// What the caller is told.
    pub async fn run(&self, job: Job) -> String {
        let delivered = self.deliver(&job).await;
        self.log.lock().settle(&job.permitted, &delivered);
        told(&delivered)
    }

    pub async fn requests(&self) -> String {
        self.requests_with(|_| {}).await
    }

    pub async fn requests_with(&self, change: impl FnOnce(&mut Job)) -> String {
        let mut job = self.job();
        change(&mut job);
        self.run(job).await
    }

    pub async fn requests_by(&self, channel: Channel) -> String {
        self.requests_with(|job| job.outgoing.channel = channel).await
    }

    /// Waits until the planned message is due, and delivers it as the shard would.
    pub async fn follows_up(&self) -> String {
        let plan = self.takes_plan().expect("a plan");
        sleep(plan.due.since(self.clock.now())).await;
        self.run(self.planned(plan)).await
    }

    /// Takes the planned message, whenever it is due.
    pub fn takes_plan(&self) -> Option<Box<PlannedMessage>> {
        self.log.lock().plan.take()
    }

    /// A further message of the same verification.
    pub async fn sends_again(&self) -> String {
        self.requests_with(|job| job.permitted.asked = self.log.lock().asked_in_vain()).await
    }

    pub fn rows(&self) -> Vec<Attempt> {
        let mut rows = self.log.lock().rows.clone();
        rows.sort_by_key(|row| row.number);
        rows
    }

    pub async fn checks(&self, by: GatewayName) -> CheckResult {
        let check = Check::new(NumberKey::new(KEY.service, number()), Some(code()));
        let (held, until) = (Held { by, channel: Channel::Sms }, self.clock.now().plus(secs(60)));
        let result = self.delivery.check(&check, &CheckPermit { salt: Salt([1; 16]), held, until }).await;
        let question = (number(), Channel::Sms, code().expose().to_owned());
        assert!(self.provider.questions().iter().all(|asked| *asked == question));
        result
    }

    /// From now on the number's shard says this about the code; with `None` it does not answer.
    pub fn code_is(&self, state: Option<Result<(), Failure>>) {
        *self.code.lock() = state;
    }

    async fn code_is_live(&self) -> Result<(), Failure> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let state = *self.code.lock();
        if let Some(state) = state { state } else { std::future::pending().await }
    }

    /// From now on this process may not own the number any more.
    pub fn loses_lease(&self) {
        self.has_lease.store(false, Ordering::SeqCst);
    }

    pub fn times_asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub fn sent(&self) -> Vec<Handed> {
        self.provider.handed()
    }

    /// The requests to gateways with their channels, in their order.
    pub fn asked(&self) -> Vec<(GatewayName, Channel)> {
        self.sent().iter().map(|sent| (sent.by, sent.channel)).collect()
    }

    pub fn sent_at(&self) -> Vec<u128> {
        self.sent().iter().map(|sent| (sent.at - self.clock.0).as_millis()).collect()
    }

    pub fn elapsed_ms(&self) -> u128 {
        self.clock.0.elapsed().as_millis()
    }
}

/// The channels of the real gateway.
fn channels_of(name: GatewayName) -> &'static [Channel] {
    match name {
        GatewayName::Simulator | GatewayName::TwilioVerify => &Channel::ALL,
        GatewayName::TwilioMessages => &[Channel::Sms, Channel::WhatsApp],
        GatewayName::TwilioVoice => &[Channel::Call],
        GatewayName::Sinch => &[Channel::Sms, Channel::Call],
        _ => &[Channel::Sms],
    }
}

/// A wall clock that moves with tokio's.
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        START.plus(self.0.elapsed())
    }
}

/// What a caller learns: the id of the message, or why there is none; whether it may have left, and who holds its code.
fn told(delivered: &Delivered) -> String {
    let by = |held: &Option<Held>| {
        held.map_or_else(String::new, |Held { by, channel }| format!(", held by {by} {channel:?}"))
    };
    let maybe = |sent: &Option<PossiblySent>| {
        sent.as_ref().map_or_else(String::new, |sent| format!(", maybe sent{}", by(&sent.held)))
    };
    match (&delivered.result, delivered.reason) {
        (SendResult::Accepted { message_id, held }, None) => format!("{message_id}{}", by(held)),
        (SendResult::Postponed { message_id, may_have_been_sent }, None) => {
            let row = message_id.strip_prefix("postponed-0-0102030405060708-").expect("an id");
            format!("later, row {row}{}", maybe(may_have_been_sent))
        }
        (SendResult::Failed { may_have_been_sent: None }, Some(Failure::OutOfService { until })) => {
            format!("OutOfService for {:?}", until.since(START))
        }
        (SendResult::Failed { may_have_been_sent }, Some(reason)) => {
            format!("{reason:?}{}", maybe(may_have_been_sent))
        }
        other => panic!("{other:?}"),
    }
}
