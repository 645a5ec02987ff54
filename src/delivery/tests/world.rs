//! A delivery with a scripted gateway. Wall time and tokio's paused time are the same here.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing_subscriber::fmt::MakeWriter;

use crate::clock::Clock;
use crate::config::Bounds;
use crate::delivery::{Delivery, DeliveryError, Letter};
use crate::domain::GatewayName;
use crate::domain::{Channel, Code, PhoneNumber, Timestamp};
use crate::gateway::{Accepted, BoxFuture, ErrorClass, Gateway, GatewayError, OutgoingMessage};
use crate::template::{MessageStyle, Templates, Wording};

pub(super) fn number() -> PhoneNumber {
    PhoneNumber::from_u64(14_155_552_671).expect("a number")
}

/// One answer of the scripted gateway.
#[derive(Debug, Clone)]
pub(super) struct Scripted {
    delay: Duration,
    result: Result<Accepted, GatewayError>,
}

pub(super) fn accepted(id: &str) -> Scripted {
    Scripted { delay: Duration::ZERO, result: Ok(Accepted { message_id: id.to_owned() }) }
}

pub(super) fn error(class: ErrorClass) -> Scripted {
    let detail = "was told to fail".to_owned();
    let error =
        GatewayError { gateway: GatewayName::Simulator, class, code: Some(7), detail, whole_gateway: false };
    Scripted { delay: Duration::ZERO, result: Err(error) }
}

/// Answers long after every budget has ended.
pub(super) fn hanging() -> Scripted {
    accepted("too late").after_ms(3_600_000)
}

impl Scripted {
    pub(super) fn after_ms(self, delay: u64) -> Self {
        Self { delay: Duration::from_millis(delay), ..self }
    }
}

/// What the gateway was asked to send, and when.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) at_ms: u128,
    pub(super) to: PhoneNumber,
    pub(super) text: String,
    pub(super) code: String,
    pub(super) valid_for: Duration,
}

struct ScriptedGateway {
    script: Mutex<VecDeque<Scripted>>,
    sent: Mutex<Vec<Sent>>,
    present: AtomicUsize,
    most_present: AtomicUsize,
    clock: Arc<TokioClock>,
}

/// Counts a message as present until the answer, or until it is given up.
struct Presence<'a>(&'a AtomicUsize);

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Gateway for ScriptedGateway {
    fn name(&self) -> GatewayName {
        GatewayName::Simulator
    }

    fn channels(&self) -> &[Channel] {
        &Channel::ALL
    }

    fn send<'a>(&'a self, message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        Box::pin(async move {
            let present = self.present.fetch_add(1, Ordering::SeqCst) + 1;
            let _presence = Presence(&self.present);
            self.most_present.fetch_max(present, Ordering::SeqCst);
            self.sent.lock().expect("sent").push(Sent {
                at_ms: self.clock.elapsed().as_millis(),
                to: message.to,
                text: message.text.clone(),
                code: message.code.expose().to_owned(),
                valid_for: message.valid_for,
            });
            let next = self.script.lock().expect("the script").pop_front();
            let answer = next.expect("the gateway was asked more often than the script says");
            sleep(answer.delay).await;
            answer.result
        })
    }

    fn readiness(&self) -> Result<(), String> {
        Ok(())
    }
}

/// A wall clock that moves with tokio's.
struct TokioClock(Instant);

impl TokioClock {
    const EPOCH: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[expect(clippy::disallowed_methods, reason = "tokio's paused time is the injected one here")]
    fn starting_now() -> Self {
        Self(Instant::now())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Self::EPOCH.plus(self.elapsed())
    }
}

pub(super) struct World {
    pub(super) delivery: Delivery,
    gateway: Arc<ScriptedGateway>,
    clock: Arc<TokioClock>,
    usable: AtomicBool,
    asked: AtomicUsize,
}

impl World {
    /// How long a code can be used from the world's beginning.
    pub(super) const LIFE: Duration = Duration::from_secs(30);

    pub(super) fn answering(script: impl IntoIterator<Item = Scripted>) -> Self {
        Self::with_places(512, 10_000).and_answers(script)
    }

    pub(super) fn with_places(sends: usize, sends_waiting: usize) -> Self {
        Self::build(&Bounds { sends, sends_waiting, ..Bounds::default() }, None)
    }

    pub(super) fn through(gateway: Arc<dyn Gateway>) -> Self {
        Self::build(&Bounds::default(), Some(gateway))
    }

    fn build(bounds: &Bounds, other_gateway: Option<Arc<dyn Gateway>>) -> Self {
        let clock = Arc::new(TokioClock::starting_now());
        let gateway = Arc::new(ScriptedGateway {
            script: Mutex::default(),
            sent: Mutex::default(),
            present: AtomicUsize::new(0),
            most_present: AtomicUsize::new(0),
            clock: clock.clone(),
        });
        let used = other_gateway.unwrap_or_else(|| gateway.clone());
        let delivery = Delivery::new(used, clock.clone(), Templates::new("{code}", "{code}"), bounds);
        Self { delivery, gateway, clock, usable: AtomicBool::new(true), asked: AtomicUsize::new(0) }
    }

    pub(super) fn and_answers(self, script: impl IntoIterator<Item = Scripted>) -> Self {
        self.gateway.script.lock().expect("the script").extend(script);
        self
    }

    pub(super) fn job(template: &str) -> Letter {
        Letter {
            to: number(),
            channel: Channel::Sms,
            style: MessageStyle { wording: Wording::Custom(template.into()), ..MessageStyle::default() },
            code: Code::parse("012345").expect("a code"),
            expires: TokioClock::EPOCH.plus(Self::LIFE),
        }
    }

    pub(super) async fn deliver(&self, template: &str) -> Result<Accepted, DeliveryError> {
        self.run(Self::job(template)).await
    }

    pub(super) async fn deliver_expiring_in(&self, life: Duration) -> Result<Accepted, DeliveryError> {
        self.run(Letter { expires: TokioClock::EPOCH.plus(life), ..Self::job("{code}") }).await
    }

    async fn run(&self, job: Letter) -> Result<Accepted, DeliveryError> {
        let still_usable = || async {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.usable.load(Ordering::SeqCst)
        };
        self.delivery.deliver_letter(job, still_usable).await
    }

    /// From now on the code counts as used, replaced or locked.
    pub(super) fn code_is_used_up(&self) {
        self.usable.store(false, Ordering::SeqCst);
    }

    pub(super) async fn wait(&self, span: Duration) {
        sleep(span).await;
    }

    pub(super) fn times_asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        self.gateway.sent.lock().expect("sent").clone()
    }

    pub(super) fn sent_at(&self) -> Vec<u128> {
        self.sent().iter().map(|sent| sent.at_ms).collect()
    }

    pub(super) fn most_at_once(&self) -> usize {
        self.gateway.most_present.load(Ordering::SeqCst)
    }

    pub(super) fn elapsed_ms(&self) -> u128 {
        self.clock.elapsed().as_millis()
    }
}

/// Everything that is logged on this thread.
#[derive(Debug, Clone, Default)]
pub(super) struct LogCapture(Arc<Mutex<Vec<u8>>>);

/// Captures until it is dropped.
pub(super) struct Capturing {
    _guard: tracing::subscriber::DefaultGuard,
    _second: tracing::Dispatch,
}

impl LogCapture {
    /// Begins to capture, and runs `scenario` once unheard: each log line of tracing keeps for the
    /// whole process whether anybody listens, and another test's thread, where nobody does, may be
    /// the first to reach it. With two listeners in the process tracing asks both instead of the
    /// thread's own.
    pub(super) async fn start(&self, scenario: impl AsyncFn()) -> Capturing {
        let second = tracing::Dispatch::new(tracing_subscriber::registry());
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .without_time()
            .with_writer(self.clone())
            .finish();
        let capturing = Capturing { _guard: tracing::subscriber::set_default(subscriber), _second: second };
        scenario().await;
        tracing::callsite::rebuild_interest_cache();
        self.take();
        capturing
    }

    /// What was logged since the last call.
    pub(super) fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().expect("the log"))).expect("UTF-8")
    }
}

impl std::io::Write for LogCapture {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("the log").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogCapture {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
