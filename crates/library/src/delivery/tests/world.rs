//! A delivery with scripted gateways, whose wall time is tokio's paused time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::sleep;

use super::gateways::{Record, Scripted, ScriptedGateway, Sent, TokioClock};
use crate::clock::Clock as _;
use crate::config::{AttemptLogSettings, Bounds, BreakerSettings, DeliverySettings, WorkflowStep};
use crate::delivery::attempts::AttemptLog;
use crate::delivery::error::Failure;
use crate::delivery::{
    Attempt, Check, CodeLiveness, CodeState, Delivered, Delivery, DeliveryDeps, FollowUp, Outgoing,
    Permitted, Reason, Routed, TakenAllowance,
};
use crate::domain::{
    AttemptLogKey, Channel, Code, GatewayName, Held, NumberKey, PhoneNumber, ProviderName, Routing, ServiceId,
};
use crate::engine::{CheckResult, PossiblySent, Salt, SendOptions, SendPermit, SendResult, Verification};
use crate::gateway::{ErrorClass, Gateway, ReceiptStatus};
use crate::limits::guard::Ticket;
use crate::template::{MessageStyle, Templates, Wording};

pub fn number() -> PhoneNumber {
    PhoneNumber::from_u64(14_155_552_671).expect("a number")
}

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub const KEY: AttemptLogKey =
    AttemptLogKey { service: ServiceId::DEFAULT, verification: 0x0102_0304_0506_0708 };

/// A message, and the right to send it.
pub struct Job {
    pub outgoing: Outgoing,
    pub permitted: Permitted,
    code: Code,
}

pub struct Setup {
    /// The routing; all gateways in it and in `beside` exist.
    pub routing: &'static str,
    pub beside: Vec<GatewayName>,
    pub settings: DeliverySettings,
    pub bounds: Bounds,
    /// The life of the code, from the world's start.
    pub life: Duration,
}

impl Setup {
    /// Without retries, workflow and voice, and with a circuit that rarely opens.
    pub fn routing(routing: &'static str) -> Self {
        let breaker = BreakerSettings { failures: 100, ..BreakerSettings::default() };
        let settings = DeliverySettings { breaker, voice_fallback: false, ..DeliverySettings::default() };
        Self { routing, beside: Vec::new(), settings, bounds: Bounds::default(), life: World::LIFE }
    }

    /// Adds Twilio's calls, which replace text messages.
    pub fn with_voice(mut self) -> Self {
        self.beside.push(GatewayName::TwilioVoice);
        self.settings.voice_fallback = true;
        self
    }

    pub fn with_retry(mut self) -> Self {
        (self.settings.sms_retry, self.settings.max_retries) = (true, 3);
        self.life = secs(600);
        self
    }

    /// Each step has 20 s.
    pub fn with_workflow(mut self, channels: &[Channel]) -> Self {
        let step = |channel: &Channel| WorkflowStep { channel: *channel, timeout: secs(20) };
        self.settings.workflow = channels.iter().map(step).collect();
        self.life = secs(600);
        self
    }

    /// A circuit that opens after `failures` failures, first for 10 s and then for 20 s.
    pub fn with_breaker(mut self, failures: u32) -> Self {
        self.settings.breaker = BreakerSettings { failures, open_for: secs(10), longest: secs(20) };
        self.life = secs(600);
        self
    }

    pub fn build(self) -> World {
        World::of(self)
    }
}

pub struct World {
    pub delivery: Delivery,
    gateways: Vec<Arc<ScriptedGateway>>,
    record: Record,
    /// The record of the attempts, as in the number's shard.
    log: Mutex<AttemptLog>,
    clock: Arc<TokioClock>,
    life: Duration,
    code: Mutex<CodeState>,
    has_lease: AtomicBool,
    asked: AtomicUsize,
}

impl World {
    pub const LIFE: Duration = Duration::from_secs(30);

    /// A world with one gateway.
    pub fn answering(script: impl IntoIterator<Item = Scripted>) -> Self {
        Setup::routing("Simulator").build().and(GatewayName::Simulator, script)
    }

    /// A world with one gateway and few places.
    pub fn with_places(sends: usize, sends_waiting: usize) -> Self {
        let bounds = Bounds { sends, sends_waiting, ..Bounds::default() };
        Setup { bounds, ..Setup::routing("Simulator") }.build()
    }

    fn of(setup: Setup) -> Self {
        let Setup { routing, beside, settings, bounds, life } = setup;
        let clock = TokioClock::starting_now();
        let record = Record::default();
        let resolved = Routing::parse(routing, |name| match name {
            ProviderName::Twilio => Ok(GatewayName::TwilioMessages),
            ProviderName::Gateway(name) => Ok(name),
        });
        let routing = resolved.expect("a routing");
        let names = routing.entries().iter().map(|entry| entry.gateway).chain(beside);
        let gateways: Vec<_> =
            names.map(|name| ScriptedGateway::new(name, clock.clone(), record.clone())).collect();
        let routed = |gateway: Arc<dyn Gateway>| {
            let name = gateway.name();
            let voice = name == GatewayName::TwilioVoice && !routing.names(name);
            Routed { routed_as: if voice { GatewayName::TwilioMessages } else { name }, gateway }
        };
        let routed = gateways.iter().map(|gateway| routed(gateway.clone())).collect();
        let log = Mutex::new(AttemptLog::new(number(), TokioClock::EPOCH, AttemptLogSettings::default()));
        let delivery = Delivery::new(DeliveryDeps {
            gateways: routed,
            routing,
            settings,
            services: None,
            templates: Templates::new("{code}", "{code}"),
            clock: clock.clone(),
            rng: Mutex::new(StdRng::seed_from_u64(7)),
            bounds,
            guard: None,
            metrics: Arc::default(),
        });
        let (code, has_lease) = (Mutex::new(CodeState::Live), AtomicBool::new(true));
        let asked = AtomicUsize::new(0);
        Self { delivery, gateways, record, log, clock, life, code, has_lease, asked }
    }

    pub fn gateway(&self, name: GatewayName) -> &ScriptedGateway {
        self.gateways.iter().find(|gateway| gateway.name() == name).expect("that gateway")
    }

    pub fn and(self, name: GatewayName, script: impl IntoIterator<Item = Scripted>) -> Self {
        self.gateway(name).answers(script);
        self
    }

    /// Adds a script to the gateway of a world with one.
    pub fn and_answers(self, script: impl IntoIterator<Item = Scripted>) -> Self {
        self.and(GatewayName::Simulator, script)
    }

    pub fn job(&self) -> Job {
        let style = MessageStyle {
            wording: Wording::Custom("Secret code: {code}".into()),
            ..MessageStyle::default()
        };
        let code = Code::parse("012345").expect("a code");
        let salt = Salt([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        let options = SendOptions { life: self.life, length: code.length() };
        let verification = Verification::beginning(salt, &options, TokioClock::EPOCH);
        let outgoing = Outgoing {
            style,
            channel: Some(self.delivery.first_channel_of(ServiceId::DEFAULT)),
            allowance: TakenAllowance::Refundable(Ticket::default()),
            request_id: Some("id-of-the-request".into()),
            ..Outgoing::new(NumberKey::new(ServiceId::DEFAULT, number()))
        };
        let permitted = Permitted {
            permit: SendPermit { verification, replaced: None, before: None },
            begins: true,
            log: KEY,
            first_attempt: self.log.lock().expect("the record").reserve(),
            follow_up: None,
            asked: Vec::new(),
        };
        Job { outgoing, permitted, code }
    }

    /// A planned message.
    pub fn planned(&self, plan: FollowUp) -> Job {
        let mut job = self.job();
        (job.outgoing.channel, job.outgoing.allowance) = (Some(plan.channel), plan.allowance);
        job.permitted.follow_up = Some(plan);
        job
    }

    pub async fn deliver(&self, job: &Job, liveness: &impl CodeLiveness) -> Delivered {
        self.delivery.deliver(&job.outgoing, &job.permitted, &job.code, liveness).await
    }

    pub async fn run(&self, job: Job) -> Ended {
        let delivered = self.deliver(&job, self).await;
        let class = delivered.attempts.last().and_then(|attempt| attempt.class);
        let mut log = self.log.lock().expect("the record");
        log.settle(&job.outgoing.style, &job.permitted, &delivered);
        Ended { result: delivered.result, reason: delivered.reason, class }
    }

    pub async fn requests(&self) -> Ended {
        self.run(self.job()).await
    }

    /// The same for a service that is not the default one.
    pub async fn requests_of(&self, service: ServiceId) -> Ended {
        let mut job = self.job();
        job.outgoing.key.service = service;
        job.permitted.log = AttemptLogKey { service, ..KEY };
        self.run(job).await
    }

    pub async fn requests_by(&self, channel: Channel) -> Ended {
        let mut job = self.job();
        job.outgoing.channel = Some(channel);
        self.run(job).await
    }

    /// For worlds with one gateway that holds no codes and is never retried.
    pub async fn delivers(&self) -> Result<String, Ended> {
        as_result(self.requests().await)
    }

    pub async fn delivers_expiring_in(&self, life: Duration) -> Result<String, Ended> {
        let mut job = self.job();
        job.permitted.permit.verification.expires = TokioClock::EPOCH.plus(life);
        as_result(self.run(job).await)
    }

    /// Waits until a send is due, and delivers it as the shard would.
    pub async fn follows_up(&self) -> Ended {
        self.follows_up_held(None).await
    }

    pub async fn follows_up_held(&self, held: Option<Held>) -> Ended {
        for _ in 0..100_000 {
            let now = self.clock.now();
            let is_due = |log: &AttemptLog| log.plan.as_ref().is_some_and(|plan| plan.follow_up.due <= now);
            if is_due(&self.log.lock().expect("the record"))
                && let Some(follow_up) = self.takes_plan()
            {
                let mut job = self.planned(follow_up);
                job.permitted.permit.verification.held = held;
                return self.run(job).await;
            }
            sleep(Duration::from_millis(1)).await;
        }
        panic!("nothing is due within 100 s");
    }

    /// Takes the planned attempt, whenever it is due.
    pub fn takes_plan(&self) -> Option<FollowUp> {
        let plan = self.log.lock().expect("the record").plan.take();
        plan.map(|plan| plan.follow_up)
    }

    /// A further message of the same verification.
    pub async fn sends_again(&self) -> Ended {
        let mut job = self.job();
        let log = self.log.lock().expect("the record").clone();
        job.permitted.asked = log.asked_in_vain();
        self.run(job).await
    }

    /// The provider reports that the message with this id has arrived.
    pub fn arrived(&self, message_id: &str) {
        let mut log = self.log.lock().expect("the record");
        let row = log.rows.iter_mut().find(|row| row.message_id.as_deref() == Some(message_id));
        row.expect("that message").receipt = Some(ReceiptStatus::Delivered);
    }

    pub fn rows(&self) -> Vec<Attempt> {
        let mut rows = self.log.lock().expect("the record").rows.clone();
        rows.sort_by_key(|row| row.number);
        rows
    }

    pub async fn checks(&self, by: GatewayName) -> CheckResult {
        let check = Check::new(NumberKey::new(KEY.service, number()), Code::parse("012345"));
        self.delivery.check(&check, Held { by, channel: Channel::Sms }).await
    }

    /// From now on the code counts as used, replaced or locked.
    pub fn code_is_used_up(&self) {
        *self.code.lock().expect("no panic") = CodeState::Ended;
    }

    /// From now on this process may not own the number any more.
    pub fn loses_lease(&self) {
        self.has_lease.store(false, Ordering::SeqCst);
        self.shard_restarts();
    }

    /// From now on the number's shard answers no question about the code.
    pub fn shard_restarts(&self) {
        *self.code.lock().expect("no panic") = CodeState::Unknown;
    }

    pub async fn waits(&self, span: Duration) {
        sleep(span).await;
    }

    pub fn times_asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub fn sent(&self) -> Vec<Sent> {
        self.record.lock().expect("the record").clone()
    }

    /// The requests to gateways with their channels, in their order.
    pub fn asked(&self) -> Vec<(GatewayName, Channel)> {
        self.sent().iter().map(|sent| (sent.by, sent.channel)).collect()
    }

    pub fn sent_at(&self) -> Vec<u128> {
        self.sent().iter().map(|sent| sent.at_ms).collect()
    }

    pub fn most_at_once(&self) -> usize {
        self.gateway(GatewayName::Simulator).most_present.load(Ordering::SeqCst)
    }

    pub fn elapsed_ms(&self) -> u128 {
        self.clock.elapsed().as_millis()
    }

    /// Whether every script has ended.
    pub fn is_played_out(&self) -> bool {
        self.gateways.iter().all(|gateway| gateway.has_said_everything())
    }
}

impl CodeLiveness for World {
    async fn code_state(&self) -> CodeState {
        self.asked.fetch_add(1, Ordering::SeqCst);
        *self.code.lock().expect("no panic")
    }

    fn may_send(&self) -> bool {
        self.has_lease.load(Ordering::SeqCst)
    }
}

/// The caller's result of a delivery, and the class of the last gateway's error.
#[derive(Debug, Clone)]
pub struct Ended {
    pub result: SendResult,
    pub reason: Option<Failure>,
    pub class: Option<ErrorClass>,
}

impl Ended {
    pub const fn may_have_been_sent(&self) -> bool {
        matches!(self.result, SendResult::Failed { may_have_been_sent: Some(_) })
    }

    pub fn is_about_the_number(&self) -> bool {
        self.result == SendResult::NumberRefused
    }
}

impl PartialEq for Ended {
    fn eq(&self, other: &Self) -> bool {
        (&self.result, self.reason) == (&other.result, other.reason)
    }
}

impl PartialEq<SendResult> for Ended {
    fn eq(&self, other: &SendResult) -> bool {
        self.result == *other
    }
}

fn as_result(ended: Ended) -> Result<String, Ended> {
    match ended.result {
        SendResult::Accepted { message_id, held: None } => Ok(message_id),
        SendResult::Accepted { .. } | SendResult::Postponed { .. } => panic!("{ended:?}"),
        _ => Err(ended),
    }
}

/// The result of a message that a gateway without codes accepted.
pub fn taken(id: &str) -> SendResult {
    SendResult::Accepted { message_id: id.to_owned(), held: None }
}

pub fn postponed(row: u8) -> SendResult {
    let message_id = format!("postponed-0-0102030405060708-{row}");
    SendResult::Postponed { message_id, may_have_been_sent: None }
}

/// The caller's result of this error.
pub fn failed(error: Failure) -> Ended {
    let possibly_sent = matches!(error, Failure::NoAnswerInTime).then_some(PossiblySent { held: None });
    Ended { result: error.result(possibly_sent), reason: Some(error), class: None }
}

pub fn failure(ended: Ended) -> Ended {
    let failed = !matches!(ended.result, SendResult::Accepted { .. } | SendResult::Postponed { .. });
    assert!(failed, "{ended:?}");
    ended
}

/// The retries until now, if the plan is a retry.
pub fn retries(plan: &FollowUp) -> Option<(u8, u32)> {
    match plan.reason {
        Reason::Retry { attempt, retries } => Some((attempt, retries)),
        Reason::NextStep => None,
    }
}
