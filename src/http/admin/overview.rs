//! The overview: counts over time, gateways, webhooks and lockouts.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use askama::Template;
use axum::response::Response;

use super::list::List;
use super::page::{AdminRequest, PageHeader, Unavailable, moment};
use super::plot::Plot;
use super::words::{grouped, money, share, time_left};
use crate::delivery::Circuit;
use crate::domain::{Channel, GatewayName, Region, ServiceId, Sid, Timestamp};
use crate::http::api::params::{Parameters as _, RangeName, ServiceSid, parameters};
use crate::http::app::GatewayHealth;
use crate::http::pages::{self, Frame, GROUP};
use crate::http::route::{ApiRouter, Operation};
use crate::limits::guard::operator::BudgetView;
use crate::node::Unready;
use crate::node::history::{Counts, Delays, Group, Resolution, Row, Series, totals};
use crate::observe::metrics::GatewayReading;
use crate::verification::numbers::LockedNumber;

/// Rows of a table, without the one of all others.
const ROWS: usize = 15;

parameters! {
    /// What the overview shows.
    #[derive(Default)]
    pub struct Filters {
        /// Time
        "range" = "day" => range: Option<RangeName>,
        /// Service
        "service" = "VA0123456789abcdef0123456789abcdef" => service: Option<ServiceSid>,
        /// Country
        "country" = "DE" => country: Option<Region>,
        /// Channel
        "channel" = "sms" => channel: Option<Channel>,
        /// Gateway
        "gateway" = "Http" => gateway: Option<GatewayName>,
    }
}

/// What the overview shows, and its address.
struct View {
    list: List,
    range: &'static Range,
    filters: Filters,
    service: Option<ServiceId>,
}

impl View {
    /// What the address asks for, or everything if something is wrong with it.
    fn of(request: &AdminRequest) -> Self {
        let (mut list, filters) = List::read::<Filters>(request, "/admin");
        let mut filters = filters.unwrap_or_default();
        let range = &RANGES[filters.range.unwrap_or(DAY)];
        let mut service =
            list.service(request, filters.service).unwrap_or_default().map(|service| service.id);
        if list.problem.is_some() {
            list.clear();
            (filters, service) = (Filters::default(), None);
        }
        Self { list, range, filters, service }
    }

    fn shows(&self, series: &Series) -> bool {
        let Group { country, channel, gateway } = series.group;
        self.service.is_none_or(|service| series.service == service)
            && (self.filters.country.is_none() || self.filters.country == country)
            && self.filters.channel.is_none_or(|only| only == channel)
            && (self.filters.gateway.is_none() || self.filters.gateway == gateway)
    }

    /// The filters and their values, beside the range.
    fn chosen(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.chosen().filter(|(name, _)| *name != "range")
    }

    /// The address of the same in another range.
    fn in_range(&self, range: &Range) -> String {
        self.list.address(&[("range", range.id)])
    }

    /// The address of the same with this value of a filter.
    fn with(&self, name: &str, value: &str) -> String {
        self.list.address(&[("range", self.range.id), (name, value)])
    }

    /// The value of each filter, and the address without it.
    fn removals(&self, request: &AdminRequest) -> Vec<(String, String)> {
        let removal = |(name, value): (&str, &str)| {
            let service = request.service(value).filter(|_| name == "service");
            let title =
                service.map_or_else(|| value.to_owned(), |service| request.v2.registry.title(&service));
            (title, self.list.address(&[(name, "")]))
        };
        self.chosen().map(removal).collect()
    }

    /// The address of the page of a list since `from`, with those of the filters.
    fn list(&self, path: &str, from: Timestamp, filters: &[&str]) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let chosen = self.chosen().filter(|(name, _)| filters.contains(name));
        query.append_pair("since", &from.rfc3339_seconds().to_string()).extend_pairs(chosen);
        format!("{path}?{}", query.finish())
    }

    fn is_of(&self, service: &Sid) -> bool {
        self.filters.service.as_ref() == Some(service)
    }
}

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

/// The index of the range that is shown unless the address names one.
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
    header: PageHeader,
    /// Why the server is not ready.
    reasons: Vec<Unready>,
    spent_budgets: Vec<String>,
    /// Services that carry codes and learn of no outcome.
    without_outcomes: Vec<String>,
    view: View,
    /// Where a filter is removed: its value, and the address.
    removals: Vec<(String, String)>,
    messages: String,
    /// The address of the numbers that were refused messages, by what, and whether some were just now.
    refusals: String,
    refused_by: String,
    are_refused: bool,
    now: Timestamp,
    services: Vec<(Sid, String)>,
    all: Counts,
    /// Also of the period before, if its counts are still kept.
    figures: Vec<Figure>,
    funnel: [Step; 4],
    arrival: String,
    failing_webhooks: usize,
    currency: String,
    plots: [Plot; 3],
    causes: String,
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

/// A figure of this period, and a note about the one before.
struct Figure {
    name: &'static str,
    value: String,
    note: String,
}

fn figures(all: &Counts, before: Option<&Counts>, currency: &str) -> Vec<Figure> {
    let figures = |of: &Counts| {
        [
            ("Messages sent", grouped(of.accepted)),
            ("Numbers verified", grouped(of.verified)),
            ("Conversion", share(of.verified, of.begun)),
            ("Failed messages", grouped(of.failed.total())),
            ("Refused messages", grouped(of.refused.total())),
            ("Estimated cost", format!("{} {currency}", money(of.cost_micros))),
        ]
    };
    let mut earlier = before.map(figures).into_iter().flatten();
    let figure = |(name, value)| {
        let note = earlier.next().map(|(_, value)| format!("{value} before"));
        let saved = (name == "Refused messages" && all.saved_micros > 0)
            .then(|| format!("saved {} {currency}", money(all.saved_micros)));
        Figure { name, value, note: [note, saved].into_iter().flatten().collect::<Vec<_>>().join(", ") }
    };
    figures(all).into_iter().map(figure).collect()
}

/// A step of the way from a message to a verified number.
struct Step {
    name: &'static str,
    count: u64,
    /// The share of the step before it; empty of the first.
    share: String,
    before: Option<u64>,
}

fn funnel(all: &Counts, before: Option<&Counts>) -> [Step; 4] {
    let steps = |counts: &Counts| {
        [
            ("sent", counts.accepted),
            ("delivered, as reported", counts.delivery.total()),
            ("tried", counts.tried),
            ("verified", counts.verified),
        ]
    };
    let has_reports = all.delivery.total() > 0;
    let (now, before) = (steps(all), before.map(steps));
    let mut place = 0_usize;
    now.map(|(name, count)| {
        // Without reports the messages that a gateway took are the step before a check.
        let last = place.checked_sub(if place == 2 && !has_reports { 2 } else { 1 });
        let is_known = has_reports || place != 1;
        let whole = last.filter(|_| is_known).map(|last| now[last].1);
        let step = Step {
            name,
            count,
            share: whole.map(|whole| share(count, whole)).unwrap_or_default(),
            before: before.map(|before| before[place].1),
        };
        place += 1;
        step
    })
}

/// The times within which half and 95 % of the messages arrived: `4 s, 16 s`.
fn delivery_time(delays: impl Borrow<Delays>) -> String {
    let delays = delays.borrow();
    if delays.total() == 0 {
        return "–".to_owned();
    }
    let [half, most] = [50, 95].map(|percent| match delays.within(percent) {
        Some(seconds) => format!("{seconds} s"),
        None => "> 128 s".to_owned(),
    });
    format!("{half}, {most}")
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
async fn page(request: AdminRequest) -> Result<Response, Unavailable> {
    let (now, app) = (request.now(), &request.call.app);
    let view = View::of(&request);
    let (starts, resolution) = (view.range.starts(now), view.range.resolution);
    let from = starts.first().copied().unwrap_or(now);
    // The period before ends now, less its length: the last bucket of both has not ended.
    let length = resolution.length() * view.range.buckets;
    let has_before = resolution.kept_for() >= length * 2;
    let since = if has_before { from.minus(length) } else { from };
    let mut rows = request.admin.history.between(resolution, since, now.plus(resolution.length())).await?;
    rows.retain(|row| view.shows(&row.series));
    let earlier: Vec<Row> = rows.extract_if(.., |row| row.series.start < from).collect();
    let sum = |rows: &[Row]| totals(rows, |_| ()).remove(&()).unwrap_or_default();
    let (all, before) = (sum(&rows), has_before.then(|| sum(&earlier)));
    let recent = starts.iter().rev().nth(1).copied().unwrap_or(now);
    let are_refused = rows.iter().any(|row| row.series.start >= recent && row.counts.refused.total() > 0);
    let without_outcomes = request.admin.verifying.without_outcomes().await?;
    let scan = request.admin.lockouts.read(&request.admin.verifying, now).await?;
    let (locked, count) = &*scan;
    let mut health: BTreeMap<&str, GatewayHealth> =
        app.gateways().into_iter().map(|health| (health.name, health)).collect();
    let reading = app.reading().unwrap_or_default();
    let line =
        |reading: GatewayReading| GatewayLine { health: health.remove(reading.name.as_str()), reading };
    let budgets = request.admin.verifying.guard().map(|guard| guard.budgets(None)).unwrap_or_default();
    let spent_budgets = budgets.iter().filter(|budget| budget.is_spent).map(spent).collect();
    let is_part = pages::is_part(&request.call.head);
    let page = |frame: Frame, header| OverviewPage {
        frame: frame.live(is_part),
        header,
        reasons: app.reasons_against(),
        spent_budgets,
        without_outcomes,
        removals: view.removals(&request),
        messages: view.list("/admin/messages", from, Filters::NAMES),
        refusals: view.list("/admin/refusals", from, &["service", "country"]),
        refused_by: in_words(refused_by(&all)),
        are_refused,
        now,
        services: request.services(),
        all,
        figures: figures(&all, before.as_ref(), request.admin.history.currency()),
        funnel: funnel(&all, before.as_ref()),
        arrival: delivery_time(all.delivery),
        failing_webhooks: request.v2.outbox.failing(),
        currency: request.admin.history.currency().to_owned(),
        plots: plots(view.range, &starts, &rows, request.admin.history.currency()),
        causes: in_words(causes(&all)),
        tables: breakdowns(&request, &view, &rows),
        gateways: reading.gateways.into_iter().map(line).collect(),
        backlog: reading.webhook_backlog as u64,
        lockouts: locked.iter().map(|locked| lockout(&request, locked, now)).collect(),
        locked: *count,
        view,
    };
    Ok(request.render("/admin", page))
}

fn spent(budget: &BudgetView) -> String {
    let whose = budget.service_sid.as_ref().map_or("all services", |_| &budget.service);
    format!("The budget {} of {whose} is spent ({budget}): messages are refused.", budget.name)
}

fn lockout(request: &AdminRequest, lockout: &LockedNumber, now: Timestamp) -> LockoutLine {
    let (path, left) = (request.path_of(lockout.number), time_left(lockout.until.since(now)));
    let service = request.v2.registry.title_of(lockout.service);
    LockoutLine { lockout: *lockout, path, service, left }
}

fn plots(range: &Range, starts: &[Timestamp], rows: &[Row], currency: &str) -> [Plot; 3] {
    let by_time = totals(rows, |series| series.start);
    let values =
        |count: fn(&Counts) -> u64| starts.iter().map(|start| by_time.get(start).map_or(0, count)).collect();
    let times = || starts.iter().map(|start| range.label(*start)).collect();
    let [sent, verified, failed, refused]: [Vec<u64>; 4] = [
        values(|counts| counts.accepted),
        values(|counts| counts.verified),
        values(|counts| counts.failed.total()),
        values(|counts| counts.refused.total()),
    ];
    let sum = |values: &[u64]| grouped(values.iter().sum::<u64>());
    let (sent_in_all, verified_in_all) = (sum(&sent), sum(&verified));
    let messages = format!(
        "{sent_in_all} sent and {verified_in_all} verified, by {}. The table has the cost.",
        range.bucket
    );
    let cost = values(|counts| counts.cost_micros).into_iter().map(money).collect();
    let failures = format!("{} failed, by {}.", sum(&failed), range.bucket);
    let refusals = format!("{} refused, by {}.", sum(&refused), range.bucket);
    let (messages_of, failures_of) = ([("sent", sent), ("verified", verified)], [("failed", failed)]);
    let mut messages =
        Plot::new("messages", "Messages sent, numbers verified", messages, times(), messages_of);
    messages.column = Some((format!("cost, {currency}"), cost));
    [
        messages,
        Plot::new("failures", "Failed messages", failures, times(), failures_of),
        Plot::new("refusals", "Refused messages", refusals, times(), [("refused", refused)]),
    ]
}

/// Counts with what they are of, but for those that are none.
fn in_words<const N: usize>(counts: [(&str, u64); N]) -> String {
    let counted = counts.into_iter().filter(|(_, count)| *count > 0);
    counted.map(|(what, count)| format!("{} {what}", grouped(count))).collect::<Vec<_>>().join(", ")
}

/// What refused messages.
const fn refused_by(counts: &Counts) -> [(&'static str, u64); 5] {
    let refused = &counts.refused;
    [
        ("by the guard", refused.guard),
        ("by budgets", refused.budget),
        ("by rate limits", refused.rate_limit),
        ("by lockouts", refused.lockout),
        ("by limits of verifications", refused.verification),
    ]
}

/// Why messages failed.
const fn causes(counts: &Counts) -> [(&'static str, u64); 5] {
    let failed = &counts.failed;
    [
        ("number not reachable", failed.number),
        ("configuration or account", failed.configuration),
        ("refused by the provider", failed.refused),
        ("no gateway available", failed.unavailable),
        ("outcome unknown", failed.unknown),
    ]
}

fn breakdowns(request: &AdminRequest, view: &View, rows: &[Row]) -> Vec<Breakdown> {
    let registry = &request.v2.registry;
    let row = |name: &'static str, value: Option<String>| match value {
        Some(value) => (value.clone(), Some(view.with(name, &value))),
        None => ("unknown".to_owned(), None),
    };
    let service = |id: Option<ServiceId>| {
        let service = id.and_then(|id| registry.service_by_id(id));
        let name = id.map_or_else(String::new, |id| registry.title_of(id));
        (name, service.map(|service| view.with("service", &service.sid.to_string())))
    };
    let country = |country: Option<Region>| row("country", country.map(|country| country.to_string()));
    let channel =
        |channel: Option<Channel>| row("channel", channel.map(|channel| channel.as_str().to_owned()));
    let gateway =
        |gateway: Option<GatewayName>| row("gateway", gateway.map(|gateway| gateway.as_str().to_owned()));
    // What begins has no gateway yet.
    let has_gateway = view.filters.gateway.is_some();
    let begun = if has_gateway { |counts: &Counts| counts.accepted } else { |counts: &Counts| counts.begun };
    let mut by_gateway = totals(rows, |series| series.group.gateway);
    // A message that another gateway accepted has not failed; the attempt of its first gateway has.
    for counts in by_gateway.iter_mut().filter_map(|(name, counts)| name.as_ref().map(|_| counts)) {
        counts.failed = counts.failed_attempts;
    }
    by_gateway.retain(|name, counts| name.is_some() || counts.accepted + counts.failed.total() > 0);
    vec![
        Breakdown::new("services", "By service", totals(rows, |series| Some(series.service)), service, begun),
        Breakdown::new(
            "countries",
            "By country",
            totals(rows, |series| series.group.country),
            country,
            begun,
        ),
        Breakdown::new(
            "channels",
            "By channel",
            totals(rows, |series| Some(series.group.channel)),
            channel,
            begun,
        ),
        Breakdown::new("by-gateway", "By gateway", by_gateway, gateway, |counts| counts.accepted),
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

pub fn routes() -> ApiRouter {
    ApiRouter::of(GROUP).get("/admin", page, Operation::page())
}

#[cfg(test)]
mod tests {
    use super::*;

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
