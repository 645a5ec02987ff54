//! The overview: counts over time, gateways and lockouts.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::figures::{DAY, Figure, Plot, Plots, RANGES, Range, Step, causes, figures, funnel, refused_by};
use super::prelude::*;
use crate::config::members;
use crate::delivery::{Circuit, GatewayState};
use crate::domain::seconds_up;
use crate::node::history::{Counts, Delays, Group, Row, Series, totals};
use crate::observe::metrics::GatewayReading;
use crate::verification::LockedNumber;

/// Rows of a table, without the one of all others.
const ROWS: usize = 8;

/// Lockouts that are listed.
const LOCKOUTS: usize = 5;

/// What the overview shows.
#[derive(Default, Deserialize, JsonSchema)]
pub struct Filters {
    /// Time
    pub range: Option<values::RangeName>,
    /// Service
    pub service: Option<values::ServiceSid>,
    /// Country
    pub country: Option<values::Region>,
    /// Channel
    pub channel: Option<values::Channel>,
    /// Gateway
    pub gateway: Option<values::GatewayName>,
}

/// What the overview shows, and its address.
struct View {
    list: List,
    range: &'static Range,
    /// The start of each bucket.
    starts: Vec<Timestamp>,
    filters: Filters,
    service: Option<ServiceId>,
}

impl View {
    /// What the address asks for, or everything if something is wrong with it.
    fn of(request: &AdminRequest) -> Self {
        let (mut list, mut filters) = List::read::<Filters>(request, "/admin");
        let mut service = list.service(request, filters.service).map(|service| service.id);
        if list.problem.is_some() {
            list.clear();
            (filters, service) = (Filters::default(), None);
        }
        let range = &RANGES[filters.range.as_ref().map_or(DAY, |range| range.0)];
        Self { list, range, starts: range.starts(request.now()), filters, service }
    }

    fn shows(&self, series: &Series) -> bool {
        let Group { country, channel, gateway } = series.group;
        self.is_about(series.service, || country)
            && self.filters.channel.as_ref().is_none_or(|only| only.0 == channel)
            && self.filters.gateway.as_ref().is_none_or(|only| Some(only.0) == gateway)
    }

    fn is_about(&self, service: ServiceId, country: impl FnOnce() -> Option<Region>) -> bool {
        self.service.is_none_or(|only| service == only)
            && self.filters.country.as_ref().is_none_or(|only| Some(only.0) == country())
    }

    /// The address of the same with this value of a filter.
    fn with(&self, name: &str, value: &str) -> String {
        self.list.address(&[("range", self.range.id), (name, value)])
    }

    fn without(&self, name: &str) -> String {
        self.list.address(&[(name, "")])
    }

    fn in_range(&self, range: &Range) -> String {
        self.list.address(&[("range", range.id)])
    }

    /// A value in a table, and the address of what it alone counts.
    fn row(&self, name: &str, value: Option<impl ToString>) -> (String, Option<String>) {
        let Some(value) = value else { return ("unknown".to_owned(), None) };
        let value = value.to_string();
        let address = self.with(name, &value);
        (value, Some(address))
    }

    /// The filters and their values, beside the time.
    fn chosen(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.chosen().filter(|(name, _)| *name != "range")
    }

    /// The address of a list since the begin of this time, with those of the filters.
    fn list(&self, path: &str, filters: &[&str]) -> String {
        let since = self.starts[0].rfc3339_seconds().to_string();
        let chosen = self.chosen().filter(|(name, _)| filters.contains(name));
        address(path, [("since", since.as_str())].into_iter().chain(chosen))
    }
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage<'a> {
    request: &'a AdminRequest,
    view: View,
    now: Timestamp,
    all: Counts,
    /// Also of the period before, if its counts are still kept.
    figures: Vec<Figure>,
    funnel: [Step; 4],
    currency: &'a str,
    plots: Plots,
    tables: Vec<Breakdown>,
    gateways: Vec<GatewayLine>,
    backlog: u64,
    /// Those that end last come first.
    locked: Vec<LockedNumber>,
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
    /// The heading of what failed.
    failed: &'static str,
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
    health: GatewayState,
}

impl GatewayLine {
    /// The words of the badge: a closed circuit says nothing about a refused account.
    fn state(&self) -> &'static str {
        match self.health.circuit {
            Circuit::Closed if self.health.problem.is_some() => "not working",
            Circuit::Closed => "working",
            Circuit::Open => "paused",
            Circuit::HalfOpen => "probing",
        }
    }

    fn next_try(&self) -> Option<u64> {
        self.health.tries_again_in.map(seconds_up)
    }
}

fn sum<'a>(counts: impl Iterator<Item = &'a Counts>) -> Counts {
    let mut sum = Counts::default();
    counts.for_each(|counts| sum += *counts);
    sum
}

/// `GET /admin?range=&service=`.
pub async fn page(request: AdminRequest) -> PageResult {
    let (now, app) = (request.now(), &request.call.app);
    let view = View::of(&request);
    let resolution = view.range.resolution;
    let history = &request.running.history;
    let (from, shift) = (view.starts[0], view.range.shift());
    let since = shift.map_or(from, |shift| from.minus(shift));
    let mut rows = history.between(resolution, since, now.plus(resolution.length())).await?;
    rows.retain(|row| view.shows(&row.series));
    let is_of_gateway = view.filters.gateway.is_some();
    if is_of_gateway {
        // A message that another gateway accepted has not failed; the attempt of this one has.
        for row in &mut rows {
            row.counts.failed = row.counts.failed_attempts;
        }
    }
    let failed = if is_of_gateway { "Failed attempts" } else { "Failed messages" };
    let earlier: Vec<Row> = rows.extract_if(.., |row| row.series.start < from).collect();
    let before = shift.map(|shift| {
        let is_before = |row: &&Row| row.series.start.plus(shift) <= now;
        sum(earlier.iter().filter(is_before).map(|row| &row.counts))
    });
    let all = sum(rows.iter().map(|row| &row.counts));
    let scan = app.lockouts.read(&request.running.verifier, now).await?;
    let locked = scan.iter().filter(|of| view.is_about(of.service, || of.number.region()));
    let locked = locked.copied().collect();
    let states = request.running.delivery.states().into_iter();
    let mut health: BTreeMap<GatewayName, GatewayState> = states.map(|state| (state.name, state)).collect();
    let reading = app.reading().unwrap_or_default();
    let line = |reading: GatewayReading| Some(GatewayLine { health: health.remove(&reading.name)?, reading });
    let page = OverviewPage {
        request: &request,
        now,
        all,
        figures: figures(&all, before.as_ref(), history.currency(), failed),
        funnel: funnel(&all, before.as_ref()),
        currency: history.currency(),
        plots: plots(&view, &rows, failed),
        tables: breakdowns(&request, &view, &rows),
        gateways: reading.gateways.into_iter().filter_map(line).collect(),
        backlog: reading.webhook_backlog as u64,
        locked,
        view,
    };
    Ok(html(&page))
}

/// `failed` names failures.
fn plots(view: &View, rows: &[Row], failed: &str) -> Plots {
    let of = |totals: &BTreeMap<Timestamp, Counts>, count: fn(&Counts) -> u64| {
        view.starts.iter().map(|start| totals.get(start).map_or(0, count)).collect::<Vec<_>>()
    };
    let by_time = totals(rows, |series| series.start);
    let costs = of(&by_time, |counts| counts.cost_micros).into_iter().map(money).collect();
    let times = view.starts.iter().map(|start| view.range.label(*start)).collect();
    let sent = ("sent", of(&by_time, |counts| counts.accepted));
    let verified = ("verified", of(&by_time, |counts| counts.verified));
    let failures = ("failed", of(&by_time, |counts| counts.failed.total()));
    let mut all = vec![
        Plot::new("messages", "Messages sent, numbers verified", [sent, verified]),
        Plot::new("failures", failed, [failures]),
    ];
    let refused = of(&by_time, |counts| counts.refused.total());
    if refused.iter().any(|count| *count > 0) {
        all.push(Plot::new("refusals", "Refused messages", [("refused", refused)]));
    }
    Plots { all, times, costs, bucket: view.range.resolution.as_str() }
}

fn breakdowns(request: &AdminRequest, view: &View, rows: &[Row]) -> Vec<Breakdown> {
    let registry = &request.running.registry;
    let service = |id: Option<ServiceId>| {
        let service = id.and_then(|id| registry.service_by_id(id));
        let name = id.map_or_else(String::new, |id| registry.title_of(id));
        (name, service.map(|service| view.with("service", &service.sid.to_string())))
    };
    // What begins has no gateway yet.
    let has_gateway = view.filters.gateway.is_some();
    let begun = if has_gateway { |counts: &Counts| counts.accepted } else { |counts: &Counts| counts.begun };
    let mut by_gateway = totals(rows, |series| series.group.gateway);
    // A message that another gateway accepted has not failed; the attempt of its first gateway has.
    for counts in by_gateway.iter_mut().filter_map(|(name, counts)| name.as_ref().map(|_| counts)) {
        counts.failed = counts.failed_attempts;
    }
    let failed = if has_gateway { "Failed attempts" } else { "Failed" };
    by_gateway.retain(|name, counts| name.is_some() || counts.accepted + counts.failed.total() > 0);
    let by_service = totals(rows, |series| Some(series.service));
    let by_country = totals(rows, |series| series.group.country);
    let by_channel = totals(rows, |series| Some(series.group.channel));
    let (country, channel) = (|name| view.row("country", name), |name| view.row("channel", name));
    let (gateway, taken) = (|name| view.row("gateway", name), |counts: &Counts| counts.accepted);
    vec![
        Breakdown::new(("services", "By service", failed), by_service, service, begun),
        Breakdown::new(("countries", "By country", failed), by_country, country, begun),
        Breakdown::new(("channels", "By channel", failed), by_channel, channel, begun),
        Breakdown::new(("by-gateway", "By gateway", "Failed attempts"), by_gateway, gateway, taken),
    ]
}

impl Breakdown {
    /// `name` names a row, `of` is what its verified share is a share of.
    fn new<K>(
        (id, title, failed): (&'static str, &'static str, &'static str),
        totals: BTreeMap<Option<K>, Counts>,
        name: impl Fn(Option<K>) -> (String, Option<String>),
        of: fn(&Counts) -> u64,
    ) -> Self {
        let mut totals: Vec<_> = totals.into_iter().collect();
        totals.sort_by_key(|(_, counts)| Reverse(counts.accepted + counts.failed.total() + counts.begun));
        let others = totals.split_off(totals.len().min(ROWS));
        let row =
            |(name, address), counts: Counts| BreakdownRow { name, address, whole: of(&counts), counts };
        let mut rows: Vec<_> = totals.into_iter().map(|(key, counts)| row(name(key), counts)).collect();
        if !others.is_empty() {
            let sum = sum(others.iter().map(|(_, counts)| counts));
            rows.push(row((format!("{} others", others.len()), None), sum));
        }
        Self { id, title, failed, rows }
    }
}
