//! The overview: counts over time, gateways, webhooks and lockouts.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use tokio::sync::Mutex;

use super::plot::Plot;
use super::{AdminRequest, Deps, PageHeader, moment};
use crate::clock::Stopwatch;
use crate::delivery::Circuit;
use crate::domain::{PhoneNumber, ServiceId, Sid, SidKind, Timestamp, seconds_up};
use crate::guard::operator::BudgetView;
use crate::history::{Counts, Resolution, Row, totals};
use crate::http::pages::{Frame, LIVE};
use crate::http::response::Response;
use crate::http::server::GatewayHealth;
use crate::metrics::GatewayReading;
use crate::numbers::{LockedNumber, Refusal};
use crate::verify::Verifying;

/// Lockouts that are listed.
const LOCKOUTS: usize = 20;

/// Rows of a table, without the one of all others.
const ROWS: usize = 15;

/// A time span up to now, in buckets.
#[derive(Debug, PartialEq, Eq)]
struct Range {
    /// The value of `range` in the URL.
    id: &'static str,
    title: &'static str,
    /// What one bar is.
    bucket: &'static str,
    resolution: Resolution,
    buckets: u32,
    /// The part of a moment that names a bucket.
    label: std::ops::Range<usize>,
}

/// The index of the range that is shown unless the URL names one.
const DAY: usize = 1;

static RANGES: [Range; 3] = [
    Range::new("hour", "Last hour", ("minute", Resolution::Minute, 60), 11..16),
    Range::new("day", "Last day", ("hour", Resolution::Hour, 24), 11..16),
    Range::new("14d", "14 days", ("day", Resolution::Day, 14), 5..10),
];

impl Range {
    const fn new(
        id: &'static str,
        title: &'static str,
        (bucket, resolution, buckets): (&'static str, Resolution, u32),
        label: std::ops::Range<usize>,
    ) -> Self {
        Self { id, title, bucket, resolution, buckets, label }
    }

    /// The starts of its buckets.
    fn starts(&self, now: Timestamp) -> Vec<Timestamp> {
        let last = self.resolution.bucket(now);
        (0..self.buckets).rev().map(|back| last.minus(self.resolution.length() * back)).collect()
    }

    fn label(&self, start: Timestamp) -> String {
        moment(start).get(self.label.clone()).unwrap_or_default().to_owned()
    }
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    script: &'static str,
    header: PageHeader,
    /// Why the server is not ready.
    reasons: Vec<String>,
    spent_budgets: Vec<String>,
    /// Services that carry codes and learn of no outcome.
    without_outcomes: Vec<String>,
    range: &'static Range,
    now: Timestamp,
    services: Vec<(Sid, String)>,
    /// The service that is shown alone.
    chosen: Option<Sid>,
    all: Counts,
    currency: String,
    plots: [Plot; 3],
    causes: Vec<(&'static str, String)>,
    tables: Vec<Breakdown>,
    gateways: Vec<GatewayLine>,
    backlog: u64,
    lockouts: Vec<LockoutLine>,
    locked: usize,
}

struct LockoutLine {
    lockout: LockedNumber,
    /// The path of the number's page.
    path: String,
    service: String,
    left: String,
}

impl OverviewPage {
    fn is_chosen(&self, service: &Sid) -> bool {
        self.chosen.as_ref() == Some(service)
    }
}

/// The address of the overview of a range, and perhaps of one service.
fn address(range: &Range, service: Option<&Sid>) -> String {
    let service = service.map(|sid| format!("&service={sid}")).unwrap_or_default();
    format!("/admin?range={}{service}", range.id)
}

/// A table of counts by one property.
struct Breakdown {
    id: &'static str,
    title: &'static str,
    rows: Vec<BreakdownRow>,
}

struct BreakdownRow {
    name: String,
    /// Where the counts of the row alone are shown.
    address: Option<String>,
    counts: Counts,
    /// What the verified share is a share of.
    whole: u64,
}

struct GatewayLine {
    reading: GatewayReading,
    health: Option<GatewayHealth>,
}

impl GatewayLine {
    fn circuit(&self) -> &'static str {
        self.reading.circuit.iter().find(|(_, is)| *is).map_or("unknown", |(state, _)| state)
    }

    fn is_healthy(&self) -> bool {
        self.state() == "working"
    }

    /// The words of the badge: a closed circuit says nothing about a refused account.
    fn state(&self) -> &'static str {
        let circuit = self.circuit();
        match Circuit::ALL.into_iter().find(|known| known.as_str() == circuit) {
            Some(Circuit::Closed) if self.problem().is_some() => "not working",
            Some(Circuit::Closed) => "working",
            Some(Circuit::Open) => "paused",
            Some(Circuit::HalfOpen) => "probing",
            None => "unknown",
        }
    }

    fn problem(&self) -> Option<&str> {
        self.health.as_ref()?.problem.as_deref()
    }

    /// The problem, unless the last error has the same text.
    fn further_problem(&self) -> Option<&str> {
        let last = self.reading.last_error.as_ref().map(|(_, cause)| cause.as_str());
        let last = last.map(|cause| cause.split_once(": ").map_or(cause, |(_class, detail)| detail));
        self.problem().filter(|problem| last.is_none_or(|last| !problem.contains(last)))
    }

    fn next_try(&self) -> Option<u64> {
        self.health.as_ref()?.next_try_in_seconds
    }

    /// The class and the cause of the last error, and when it was.
    fn last_error(&self) -> Option<(&str, u64, String)> {
        self.reading.last_error.as_ref().map(|(at, cause)| (cause.as_str(), at.as_millis(), moment(*at)))
    }

    fn latency(&self) -> String {
        let Some(latency) = self.reading.latency else { return "–".to_owned() };
        let [median, most] = latency.map(|time| match time.as_millis() {
            0 => "1 ms".to_owned(),
            millis => format!("{millis} ms"),
        });
        format!("{median}, 95 % within {most}")
    }
}

/// `GET /admin?range=&service=`.
pub async fn page(request: &AdminRequest<'_>, deps: &Deps) -> Result<Response, Refusal> {
    let (registry, now) = (&request.v2.registry, request.now());
    let range = request.query("range").unwrap_or_default();
    let range = RANGES.iter().find(|known| known.id == range).unwrap_or(&RANGES[DAY]);
    let chosen = request.query("service").and_then(|sid| Sid::parse(SidKind::Service, &sid));
    let chosen = chosen.and_then(|sid| registry.service(&sid).ok());
    let (starts, resolution) = (range.starts(now), range.resolution);
    let from = starts.first().copied().unwrap_or(now);
    let mut rows = request.admin.history.between(resolution, from, now.plus(resolution.length())).await?;
    rows.retain(|row| chosen.as_ref().is_none_or(|service| row.series.service == service.id));
    let all = totals(&rows, |_| ()).remove(&()).unwrap_or_default();
    let without_outcomes = request.admin.verifying.without_outcomes().await?;
    let scan = request.admin.lockouts.read(&request.admin.verifying, now).await?;
    let (locked, count) = &*scan;
    let mut health: BTreeMap<&str, GatewayHealth> =
        (deps.gateways)().into_iter().map(|health| (health.name, health)).collect();
    let reading = (deps.reading)().unwrap_or_default();
    let line =
        |reading: GatewayReading| GatewayLine { health: health.remove(reading.name.as_str()), reading };
    let budgets = request.admin.verifying.guard().map(|guard| guard.budgets(None)).unwrap_or_default();
    let spent_budgets = budgets.iter().filter(|budget| budget.is_spent).map(spent).collect();
    let page = |frame, header| OverviewPage {
        frame,
        script: LIVE,
        header,
        reasons: (deps.readiness)().err().unwrap_or_default(),
        spent_budgets,
        without_outcomes,
        range,
        now,
        services: request.services(),
        chosen: chosen.map(|service| service.sid),
        all,
        currency: request.admin.history.currency().to_owned(),
        plots: plots(range, &starts, &rows),
        causes: causes(&all),
        tables: breakdowns(request, range, &rows),
        gateways: reading.gateways.into_iter().map(line).collect(),
        backlog: reading.webhook_backlog as u64,
        lockouts: locked.iter().map(|locked| lockout(request, locked, now)).collect(),
        locked: *count,
    };
    Ok(request.render("/admin", page))
}

fn spent(budget: &BudgetView) -> String {
    let whose = budget.service_sid.as_ref().map_or("all services", |_| &budget.service);
    format!("The budget {} of {whose} is spent ({budget}): messages are refused.", budget.name)
}

fn lockout(request: &AdminRequest<'_>, lockout: &LockedNumber, now: Timestamp) -> LockoutLine {
    let (path, left) = (request.path_of(lockout.number), time_left(lockout.until.since(now)));
    let (_, service) = request.v2.registry.named_by_id(lockout.service);
    LockoutLine { lockout: *lockout, path, service, left }
}

fn plots(range: &Range, starts: &[Timestamp], rows: &[Row]) -> [Plot; 3] {
    let by_time = totals(rows, |series| series.start);
    let values =
        |count: fn(&Counts) -> u64| starts.iter().map(|start| by_time.get(start).map_or(0, count)).collect();
    let times = || starts.iter().map(|start| range.label(*start)).collect();
    let [sent, verified, failed, guarded]: [Vec<u64>; 4] = [
        values(|counts| counts.accepted),
        values(|counts| counts.verified),
        values(|counts| counts.failed.total()),
        values(|counts| counts.guarded),
    ];
    let sum = |values: &[u64]| grouped(values.iter().sum::<u64>());
    let messages = format!("{} sent and {} verified, by {}.", sum(&sent), sum(&verified), range.bucket);
    let failures = format!("{} failed, by {}.", sum(&failed), range.bucket);
    let refusals = format!("{} refused by the guard, by {}.", sum(&guarded), range.bucket);
    let (messages_of, failures_of) = ([("sent", sent), ("verified", verified)], [("failed", failed)]);
    [
        Plot::new("messages", "Messages sent, numbers verified", messages, times(), messages_of),
        Plot::new("failures", "Failed messages", failures, times(), failures_of),
        Plot::new("refusals", "Messages refused by the guard", refusals, times(), [("refused", guarded)]),
    ]
}

/// Why messages failed.
fn causes(counts: &Counts) -> Vec<(&'static str, String)> {
    let failed = &counts.failed;
    let causes = [
        ("number not reachable", failed.number),
        ("configuration or account", failed.configuration),
        ("refused by the provider", failed.refused),
        ("no gateway available", failed.unavailable),
        ("outcome unknown", failed.unknown),
    ];
    causes.into_iter().filter(|(_, count)| *count > 0).map(|(cause, count)| (cause, grouped(count))).collect()
}

fn breakdowns(request: &AdminRequest<'_>, range: &Range, rows: &[Row]) -> Vec<Breakdown> {
    let registry = &request.v2.registry;
    let service = |id: Option<ServiceId>| {
        let service = id.and_then(|id| registry.service_by_id(id));
        let name = id.map_or_else(String::new, |id| request.v2.registry.named_by_id(id).1);
        (name, service.map(|service| address(range, Some(&service.sid))))
    };
    let plain = |name: Option<String>| (name.unwrap_or_else(|| "unknown".to_owned()), None);
    let begun = |counts: &Counts| counts.begun;
    let mut by_gateway =
        totals(rows, |series| series.group.gateway.map(|gateway| gateway.as_str().to_owned()));
    // A message that another gateway accepted has not failed; the attempt of its first gateway has.
    for counts in by_gateway.iter_mut().filter_map(|(name, counts)| name.as_ref().map(|_| counts)) {
        counts.failed = counts.failed_attempts;
    }
    // What begins has no gateway yet.
    by_gateway.retain(|name, counts| name.is_some() || counts.accepted + counts.failed.total() > 0);
    vec![
        Breakdown::new("services", "By service", totals(rows, |series| Some(series.service)), service, begun),
        Breakdown::new(
            "countries",
            "By country",
            totals(rows, |series| series.group.country.map(|country| country.to_string())),
            plain,
            begun,
        ),
        Breakdown::new(
            "channels",
            "By channel",
            totals(rows, |series| Some(series.group.channel.as_str().to_owned())),
            plain,
            begun,
        ),
        Breakdown::new("by-gateway", "By gateway", by_gateway, plain, |counts| counts.accepted),
    ]
}

impl Breakdown {
    /// `name` names a row, `of` is what its verified share is a share of.
    fn new<K>(
        id: &'static str,
        title: &'static str,
        totals: BTreeMap<Option<K>, Counts>,
        name: impl Fn(Option<K>) -> (String, Option<String>),
        of: fn(&Counts) -> u64,
    ) -> Self {
        let mut totals: Vec<_> = totals.into_iter().collect();
        totals.sort_by_key(|(_, counts)| {
            std::cmp::Reverse(counts.accepted + counts.failed.total() + counts.begun)
        });
        let others = totals.split_off(totals.len().min(ROWS));
        let row =
            |(name, address), counts: Counts| BreakdownRow { name, address, whole: of(&counts), counts };
        let mut rows: Vec<_> = totals.into_iter().map(|(key, counts)| row(name(key), counts)).collect();
        if !others.is_empty() {
            let mut sum = Counts::default();
            for (_, counts) in &others {
                sum += *counts;
            }
            rows.push(row((format!("{} others", others.len()), None), sum));
        }
        Self { id, title, rows }
    }
}

/// The last scan of all numbers for lockouts. The next one begins after twenty times the time that it took: scans take a
/// twentieth of a processor at most.
#[derive(Default)]
pub struct LockoutScan(Mutex<Option<Scanned>>);

/// The lockouts that end last, and the number of all.
type Lockouts = Arc<(Vec<LockedNumber>, usize)>;

struct Scanned {
    good_until: Timestamp,
    lockouts: Lockouts,
}

impl LockoutScan {
    async fn read(&self, verifying: &Verifying, now: Timestamp) -> Result<Lockouts, Refusal> {
        let mut last = self.0.lock().await;
        if let Some(scanned) = last.as_ref().filter(|scanned| now < scanned.good_until) {
            return Ok(Arc::clone(&scanned.lockouts));
        }
        let stopwatch = Stopwatch::start();
        let lockouts = Arc::new(verifying.lockouts(LOCKOUTS).await?);
        let good_until = verifying.now().plus(stopwatch.elapsed() * 20);
        *last = Some(Scanned { good_until, lockouts: Arc::clone(&lockouts) });
        Ok(lockouts)
    }

    /// Makes the next reader scan: a lockout has ended.
    pub async fn invalidate(&self) {
        *self.0.lock().await = None;
    }
}

/// A count with its thousands set apart: `1,234,567`.
pub fn grouped(count: impl Borrow<u64>) -> String {
    let digits = count.borrow().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share in percent, `–` of nothing. More can be verified than began in a short time.
fn share(part: impl Borrow<u64>, whole: impl Borrow<u64>) -> String {
    let (part, whole) = (*part.borrow(), *whole.borrow());
    let tenths = (u128::from(part) * 1_000 + u128::from(whole) / 2).checked_div(u128::from(whole));
    tenths.map_or_else(|| "–".to_owned(), |tenths| format!("{}.{} %", tenths / 10, tenths % 10))
}

/// An amount to the cent, with its thousands set apart.
fn money(micros: impl Borrow<u64>) -> String {
    let micros = *micros.borrow();
    if (1..10_000).contains(&micros) {
        return "< 0.01".to_owned();
    }
    let cents = micros.saturating_add(5_000) / 10_000;
    format!("{}.{:02}", grouped(cents / 100), cents % 100)
}

/// A time span that is left, rounded up.
pub fn time_left(left: Duration) -> String {
    let seconds = seconds_up(left);
    let minutes = seconds.div_ceil(60);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{minutes} min"),
        7_200..172_800 => format!("{} h", minutes.div_ceil(60)),
        _ => format!("{} days", minutes.div_ceil(24 * 60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        assert_eq!([0_u64, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(share(0_u64, 0_u64), "–");
        assert_eq!(
            [(2_u64, 3_u64), (7, 7), (0, 9)].map(|(part, whole)| share(part, whole)),
            ["66.7 %", "100.0 %", "0.0 %"]
        );
        assert_eq!(money(0_u64), "0.00");
        assert_eq!([1_u64, 9_999, 10_000, 25_000].map(money), ["< 0.01", "< 0.01", "0.01", "0.03"]);
        assert_eq!([300_000_u64, 999_996_000, 1_234_567_890].map(money), ["0.30", "1,000.00", "1,234.57"]);
        let spans =
            [1, 119, 120, 7_199, 7_200, 30 * 86_400].map(|seconds| time_left(Duration::from_secs(seconds)));
        assert_eq!(spans, ["1 s", "119 s", "2 min", "120 min", "2 h", "30 days"]);
    }

    #[test]
    fn a_range_ends_with_the_bucket_of_now() {
        let now = Timestamp::parse_day_or_moment("2027-01-31T12:34:56Z").expect("a moment");
        for (range, first, last) in
            [(&RANGES[0], "11:35", "12:34"), (&RANGES[DAY], "13:00", "12:00"), (&RANGES[2], "01-18", "01-31")]
        {
            let starts = range.starts(now);
            let labels = [starts.first(), starts.last()].map(|start| range.label(*start.expect("a bucket")));
            assert_eq!(labels, [first, last]);
        }
    }
}
