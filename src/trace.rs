//! Spans for OpenTelemetry: what happened in a request, and how long it took. They leave through a queue, which `app`
//! empties to a collector.
//!
//! Without a [`Tracer`] no span is made. A span holds no number, code, key or path: names and attributes are the
//! server's own words, but for the id of the request.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _};
use tokio::sync::mpsc;

use crate::clock::{Clock, Stopwatch};

/// Spans that wait for the exporter. Beyond it they are dropped and counted.
const MAX_QUEUE: usize = 4_096;

/// Webhook events whose cause is remembered, for links. The oldest are forgotten first.
const MAX_ORIGINS: usize = 10_000;

/// Which requests are traced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Whether the decision of a caller that names a trace counts.
    pub follows_caller: bool,
    /// The share of the other requests, from 0 to 1.
    pub ratio: f64,
}

impl Sampler {
    fn samples(self, trace: u128, caller: Option<&RemoteParent>) -> bool {
        match caller {
            Some(caller) if self.follows_caller => caller.is_sampled,
            // By the same bits of the id as other libraries: a trace is whole or absent.
            _ => {
                let place = u32::try_from(trace >> 32 & 0xffff_ffff).unwrap_or(0);
                self.ratio >= 1.0 || f64::from(place) < self.ratio * 4_294_967_296.0
            }
        }
    }
}

/// Makes spans.
pub struct Tracer {
    sampler: Sampler,
    clock: Arc<dyn Clock>,
    ids: Mutex<StdRng>,
    finished: mpsc::Sender<FinishedSpan>,
    dropped: AtomicU64,
    origins: Mutex<EventOrigins>,
}

/// The requests that caused webhook events, by the ids of the events.
#[derive(Default)]
struct EventOrigins {
    spans: HashMap<[u8; 16], SpanId>,
    order: VecDeque<[u8; 16]>,
}

/// The caller's span, from the header `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteParent {
    id: SpanId,
    is_sampled: bool,
}

/// The ids that other spans name a span by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId {
    pub trace: u128,
    pub span: u64,
}

impl RemoteParent {
    /// Reads the header (W3C Trace Context, level 1). `None` if it is not valid: a new trace begins then.
    pub fn of_header(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let mut hex = |length: usize| {
            let part = parts.next()?;
            let is_hex = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            (part.len() == length && is_hex).then_some(part)
        };
        let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        // A later version may have more parts.
        if version == "ff" || version == "00" && parts.next().is_some() {
            return None;
        }
        let trace = NonZeroU128::new(u128::from_str_radix(trace, 16).ok()?)?;
        let span = NonZeroU64::new(u64::from_str_radix(span, 16).ok()?)?;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        let id = SpanId { trace: trace.get(), span: span.get() };
        Some(Self { id, is_sampled: flags & 1 == 1 })
    }
}

impl Tracer {
    /// A tracer, and the queue of its finished spans. `ids` makes the ids of spans.
    pub fn new(
        sampler: Sampler,
        clock: Arc<dyn Clock>,
        ids: StdRng,
    ) -> (Arc<Self>, mpsc::Receiver<FinishedSpan>) {
        let (finished, queue) = mpsc::channel(MAX_QUEUE);
        let (ids, origins) = (Mutex::new(ids), Mutex::default());
        (Arc::new(Self { sampler, clock, ids, finished, dropped: AtomicU64::new(0), origins }), queue)
    }

    /// Begins the span of a request. `None` if the request is not sampled.
    pub fn request(
        self: &Arc<Self>,
        name: impl Into<Cow<'static, str>>,
        caller: Option<&RemoteParent>,
    ) -> Option<Span> {
        let trace = caller.map_or_else(|| self.new_trace_id(), |caller| caller.id.trace);
        let is_wanted = self.sampler.samples(trace, caller);
        is_wanted.then(|| {
            self.root(name.into(), SpanKind::Server, trace, caller.map_or(0, |caller| caller.id.span))
        })
    }

    /// Begins the span of a delivery of a webhook's event. `None` if its cause was not traced.
    pub fn delivery(self: &Arc<Self>, event: [u8; 16]) -> Option<Span> {
        let cause = self.origins().spans.get(&event).copied()?;
        let mut span = self.root("deliver webhook".into(), SpanKind::Client, self.new_trace_id(), 0);
        span.finished.link = Some(cause);
        Some(span)
    }

    /// Remembers which request caused an event.
    pub fn note_cause(&self, event: [u8; 16], cause: SpanId) {
        let EventOrigins { spans, order } = &mut *self.origins();
        if order.len() == MAX_ORIGINS
            && let Some(oldest) = order.pop_front()
        {
            spans.remove(&oldest);
        }
        order.push_back(event);
        spans.insert(event, cause);
    }

    /// Takes the number of spans that were dropped since the last call.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    fn root(self: &Arc<Self>, name: Cow<'static, str>, kind: SpanKind, trace: u128, parent: u64) -> Span {
        let clock = TraceClock {
            at: Duration::from_millis(self.clock.wall().as_millis()),
            since: Stopwatch::start(),
        };
        self.span(name, kind, SpanId { trace, span: parent }, clock)
    }

    fn span(
        self: &Arc<Self>,
        name: Cow<'static, str>,
        kind: SpanKind,
        parent: SpanId,
        clock: TraceClock,
    ) -> Span {
        let id = SpanId { span: self.new_span_id(), ..parent };
        let context = SpanContext(Arc::new(Context { tracer: Arc::clone(self), id, clock }));
        let finished = Box::new(FinishedSpan {
            id,
            parent: parent.span,
            name,
            kind,
            start: clock.now(),
            end: Duration::ZERO,
            attributes: Vec::new(),
            has_failed: false,
            link: None,
        });
        Span { context, finished }
    }

    fn new_trace_id(&self) -> u128 {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).random::<NonZeroU128>().get()
    }

    fn new_span_id(&self) -> u64 {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).next_u64().max(1)
    }

    fn origins(&self) -> std::sync::MutexGuard<'_, EventOrigins> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tracer")
    }
}

/// The time of the first span of a process in a trace. The times of its children are measured from there.
#[derive(Debug, Clone, Copy)]
struct TraceClock {
    /// Since 1970.
    at: Duration,
    since: Stopwatch,
}

impl TraceClock {
    fn now(&self) -> Duration {
        self.at + self.since.elapsed()
    }
}

/// A span that has children. Cheap to clone and to carry: a command has one, or none.
#[derive(Clone)]
pub struct SpanContext(Arc<Context>);

struct Context {
    tracer: Arc<Tracer>,
    id: SpanId,
    clock: TraceClock,
}

impl SpanContext {
    pub fn child(&self, name: impl Into<Cow<'static, str>>, kind: SpanKind) -> Span {
        self.0.tracer.span(name.into(), kind, self.0.id, self.0.clock)
    }

    /// Remembers that this request caused an event.
    pub fn note_cause_of(&self, event: [u8; 16]) {
        self.0.tracer.note_cause(event, self.0.id);
    }
}

impl fmt::Debug for SpanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0.id.span)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Within the server.
    Internal,
    /// A request of a client.
    Server,
    /// A request to another server.
    Client,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    Text(Cow<'static, str>),
    Number(i64),
}

/// A span that is going on. It ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    context: SpanContext,
    finished: Box<FinishedSpan>,
}

impl Span {
    pub const fn context(&self) -> &SpanContext {
        &self.context
    }

    pub fn text(&mut self, name: &'static str, value: impl Into<Cow<'static, str>>) {
        self.finished.attributes.push((name, Attribute::Text(value.into())));
    }

    pub fn number(&mut self, name: &'static str, value: impl Into<i64>) {
        self.finished.attributes.push((name, Attribute::Number(value.into())));
    }

    /// Notes that what the span is about has failed.
    pub const fn fail(&mut self) {
        self.finished.has_failed = true;
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Context { tracer, clock, .. } = &*self.context.0;
        self.finished.end = clock.now();
        let none = FinishedSpan { name: Cow::Borrowed(""), attributes: Vec::new(), ..*self.finished };
        let finished = std::mem::replace(&mut *self.finished, none);
        if tracer.finished.try_send(finished).is_err() {
            tracer.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A span that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedSpan {
    pub id: SpanId,
    /// The id of the parent in the same trace; 0 for none.
    pub parent: u64,
    pub name: Cow<'static, str>,
    pub kind: SpanKind,
    /// Since 1970, as `end`.
    pub start: Duration,
    pub end: Duration,
    pub attributes: Vec<(&'static str, Attribute)>,
    pub has_failed: bool,
    /// The span of another trace that caused this one.
    pub link: Option<SpanId>,
}

/// The id of a client's request in the log, and the request's span if it is traced.
#[derive(Debug, Clone)]
pub struct RequestId {
    text: Arc<str>,
    span: Option<SpanContext>,
}

impl RequestId {
    pub fn new(text: &str, span: Option<SpanContext>) -> Self {
        Self { text: text.into(), span }
    }

    pub const fn span(&self) -> Option<&SpanContext> {
        self.span.as_ref()
    }
}

impl From<&str> for RequestId {
    fn from(text: &str) -> Self {
        Self::new(text, None)
    }
}

impl Deref for RequestId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::Timestamp;

    const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn tracer(follows_caller: bool, ratio: f64) -> (Arc<Tracer>, mpsc::Receiver<FinishedSpan>) {
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)));
        Tracer::new(Sampler { follows_caller, ratio }, clock, StdRng::seed_from_u64(7))
    }

    #[test]
    fn a_caller_is_named_by_a_valid_header_only() {
        let caller = RemoteParent::of_header(CALLER).expect("a caller");
        assert_eq!(caller.id.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert!(caller.id.span == 0xb7ad_6b71_6920_3331 && caller.is_sampled);
        assert!(!RemoteParent::of_header(&CALLER.replace("-01", "-00")).expect("a caller").is_sampled);
        assert!(RemoteParent::of_header(&format!("{}-more", CALLER.replacen("00-", "01-", 1))).is_some());
        let zeros = (CALLER.replace("b7ad6b7169203331", &"0".repeat(16)), "0".repeat(32));
        for wrong in [
            "",
            "00",
            &CALLER.to_uppercase(),
            &CALLER.replacen("00-", "ff-", 1),
            &format!("{CALLER}-more"),
            &CALLER[..54],
            &zeros.0,
            &CALLER.replace("0af7651916cd43dd8448eb211c80319c", &zeros.1),
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(RemoteParent::of_header(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_child_is_in_the_trace_of_its_parent_and_within_its_time() {
        let (tracer, mut queue) = tracer(true, 1.0);
        let caller = RemoteParent::of_header(CALLER);
        let mut request = tracer.request("POST /api/send-otp", caller.as_ref()).expect("sampled");
        request.number("http.response.status_code", 200);
        drop(request.context().child("decide", SpanKind::Internal));
        drop(request);
        let (child, request) = (queue.try_recv().expect("a span"), queue.try_recv().expect("a span"));
        assert_eq!((request.id.trace, request.parent), (caller.unwrap().id.trace, caller.unwrap().id.span));
        assert_eq!((child.id.trace, child.parent), (request.id.trace, request.id.span));
        assert!(request.start <= child.start && child.start <= child.end && child.end <= request.end);
        assert!(request.start >= Duration::from_secs(1_700_000_000));
        assert_eq!(request.attributes, [("http.response.status_code", Attribute::Number(200))]);
    }

    #[test]
    fn the_sampler_decides_unless_it_follows_a_caller_that_has() {
        let (sampled, not_sampled) =
            (RemoteParent::of_header(CALLER), RemoteParent::of_header(&CALLER.replace("-01", "-00")));
        let wants = |follows_caller, ratio, caller: &Option<RemoteParent>| {
            let (tracer, _queue) = tracer(follows_caller, ratio);
            tracer.request("GET /", caller.as_ref()).is_some()
        };
        assert!(wants(true, 0.0, &sampled) && !wants(true, 1.0, &not_sampled));
        assert!(!wants(false, 0.0, &sampled) && wants(false, 1.0, &not_sampled));
        assert!(wants(true, 1.0, &None) && !wants(true, 0.0, &None));
        let (tracer, _queue) = tracer(true, 0.25);
        let count = (0..4_000).filter(|_| tracer.request("GET /", None).is_some()).count();
        assert!((900..1_100).contains(&count), "{count}");
    }

    #[test]
    fn spans_beyond_the_queue_are_dropped_and_counted() {
        let (tracer, _queue) = tracer(true, 1.0);
        for _ in 0..MAX_QUEUE + 3 {
            drop(tracer.request("GET /", None));
        }
        assert_eq!((tracer.take_dropped(), tracer.take_dropped()), (3, 0));
    }

    #[test]
    fn a_delivery_is_linked_to_its_cause_while_that_is_remembered() {
        let (tracer, mut queue) = tracer(true, 1.0);
        let request = tracer.request("POST /", None).expect("sampled");
        for event in 0..=MAX_ORIGINS as u128 {
            request.context().note_cause_of(event.to_be_bytes());
        }
        assert!(tracer.delivery(0_u128.to_be_bytes()).is_none(), "the oldest is forgotten");
        drop(tracer.delivery((MAX_ORIGINS as u128).to_be_bytes()));
        let delivery = queue.try_recv().expect("a span");
        assert_eq!((delivery.link, delivery.parent), (Some(request.context().0.id), 0));
        assert_ne!(delivery.id.trace, request.context().0.id.trace);
    }
}
