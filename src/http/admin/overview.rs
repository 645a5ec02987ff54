//! The overview: counts over time, gateways, webhooks and lockouts.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use super::figures::{
    DAY, Figure, Plot, Plots, RANGES, Range, SOME, Span, Step, causes, figures, funnel, refused_by,
};
use super::prelude::*;
use crate::config::members;
use crate::delivery::{Circuit, GatewayState};
use crate::domain::{Sid, Timestamp, seconds_up};
use crate::limits::guard::operator::{BudgetView, Item, readable};
use crate::node::history::{Counts, Delays, Group, Resolution, Row, Series, totals};
use crate::observe::metrics::GatewayReading;
use crate::registry::gateway_sid;
use crate::verification::{LockedNumber, Refusal};

/// Rows of a table, without the one of all others.
const ROWS: usize = 8;

/// Lockouts and spent budgets that are listed.
const LOCKOUTS: usize = 5;
const SPENT: usize = 3;

/// What the overview shows.
#[derive(Default, Deserialize, JsonSchema)]
pub struct Filters {
    /// Time
    pub range: Option<values::RangeName>,
    /// From, UTC
    pub since: Option<values::UtcTime>,
    /// To, UTC
    pub until: Option<values::UtcTime>,
    /// Service
    pub service: Option<values::ServiceSid>,
    /// Country
    pub country: Option<values::Region>,
    /// Channel
    pub channel: Option<values::Channel>,
    /// Gateway
    pub gateway: Option<values::GatewayName>,
}

/// The filters that are about time.
const TIMES: [&str; 3] = ["range", "since", "until"];

/// What the overview shows, and its address.
struct View {
    list: List,
    span: Span,
    filters: Filters,
    service: Option<ServiceId>,
}

impl View {
    /// What the address asks for, or everything if something is wrong with it.
    fn of(request: &AdminRequest) -> Self {
        let (mut list, mut filters) = List::read::<Filters>(request, "/admin");
        let now = request.now();
        let mut service = list.service(request, filters.service).map(|service| service.id);
        let last_day = list.given("until").len() == "2027-01-31".len();
        let since = filters.since.as_ref().map(|since| since.0);
        let until = filters.until.as_ref().map(|until| until.0);
        let until = until.map(|until| if last_day { until.plus(Resolution::Day.length()) } else { until });
        let own = (since.is_some() || until.is_some()).then(|| Span::between(since, until, now));
        if own == Some(None) {
            list.problem = Some("From is after To.".to_owned());
        }
        if list.problem.is_some() {
            list.clear();
            (filters, service) = (Filters::default(), None);
        }
        let range = &RANGES[filters.range.as_ref().map_or(DAY, |range| range.0)];
        let span = own.flatten().filter(|_| list.problem.is_none()).unwrap_or_else(|| range.until(now));
        Self { list, span, filters, service }
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

    /// The filters and their values, beside the time.
    fn chosen(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.chosen().filter(|(name, _)| !TIMES.contains(name))
    }

    /// The address of the same in another range.
    fn in_range(&self, range: &Range) -> String {
        self.list.address(&[("range", range.id), ("since", ""), ("until", "")])
    }

    /// The address of the same with this value of a filter.
    fn with(&self, name: &str, value: &str) -> String {
        match self.span.range {
            Some(range) => self.list.address(&[("range", range), (name, value)]),
            None => self.list.address(&[(name, value)]),
        }
    }

    /// A value in a table, and the address of what it alone counts.
    fn row(&self, name: &str, value: Option<impl ToString>) -> (String, Option<String>) {
        let Some(value) = value else { return ("unknown".to_owned(), None) };
        let value = value.to_string();
        let address = self.with(name, &value);
        (value, Some(address))
    }

    /// The value of each filter, and the address without it.
    fn removals(&self, request: &AdminRequest) -> Vec<(String, String)> {
        let removal = |(name, value): (&str, &str)| {
            let service = request.service(value).filter(|_| name == "service");
            let title = service.map_or_else(|| value.to_owned(), |service| service.title());
            (title, self.list.address(&[(name, "")]))
        };
        self.chosen().map(removal).collect()
    }

    /// The address of a list in this time, with those of the filters.
    fn list(&self, path: &str, filters: &[&str]) -> String {
        let [since, until] = [self.span.from(), self.span.to].map(|at| at.rfc3339_seconds().to_string());
        let until = self.span.range.is_none().then_some(("until", until.as_str()));
        let chosen = self.chosen().filter(|(name, _)| filters.contains(name));
        address(path, [("since", since.as_str())].into_iter().chain(until).chain(chosen))
    }

    fn is_of(&self, service: &Sid) -> bool {
        self.filters.service.is_some_and(|only| only.0 == *service)
    }

    /// The day of a time that a person chose.
    fn day(&self, name: &str) -> &str {
        self.list.given(name).get(..10).unwrap_or_default()
    }

    fn is_range(&self, id: &str) -> bool {
        self.span.range == Some(id)
    }
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage<'a> {
    request: &'a AdminRequest,
    /// Budgets that are spent.
    spent: Vec<BudgetView>,
    known_only: Vec<Item>,
    /// Services that carry codes and learn of no outcome.
    view: View,
    /// Whether messages were refused just now.
    are_refused: bool,
    /// The lockouts of the period before, if there are many more now.
    fewer_lockouts: Option<u64>,
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
    /// The gateway's `MessagingServiceSid`.
    fn id(&self) -> Sid {
        gateway_sid(self.reading.name)
    }

    /// The words of the badge: a closed circuit says nothing about a refused account.
    fn state(&self) -> &'static str {
        match self.health.circuit {
            Circuit::Closed if self.problem().is_some() => "not working",
            Circuit::Closed => "working",
            Circuit::Open => "paused",
            Circuit::HalfOpen => "probing",
        }
    }

    fn problem(&self) -> Option<&str> {
        self.health.problem.as_deref()
    }

    /// The problem, unless the last error has the same text.
    fn further_problem(&self) -> Option<&str> {
        let last = self.reading.last_error.as_ref().map(|(_, cause)| cause.as_str());
        let last = last.map(|cause| cause.split_once(": ").map_or(cause, |(_class, detail)| detail));
        self.problem().filter(|problem| last.is_none_or(|last| !problem.contains(last)))
    }

    fn next_try(&self) -> Option<u64> {
        self.health.tries_again_in.map(seconds_up)
    }
}

/// The counts that a view is about, and those of the period before, if they are still kept.
async fn counted(request: &AdminRequest, view: &View) -> Result<(Vec<Row>, Option<Counts>), Refusal> {
    let (span, now) = (&view.span, request.now());
    let (from, shift) = (span.from(), span.shift(now));
    let since = shift.map_or(from, |shift| from.minus(shift));
    let mut rows = request.running.history.between(span.resolution, since, span.to).await?;
    rows.retain(|row| view.shows(&row.series));
    if view.filters.gateway.is_some() {
        // A message that another gateway accepted has not failed; the attempt of this one has.
        for row in &mut rows {
            row.counts.failed = row.counts.failed_attempts;
        }
    }
    let earlier: Vec<Row> = rows.extract_if(.., |row| row.series.start < from).collect();
    let before = shift.map(|shift| {
        let is_before = |row: &&Row| row.series.start.plus(shift) < span.to;
        sum(earlier.iter().filter(is_before).map(|row| &row.counts))
    });
    Ok((rows, before))
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
    let (rows, before) = counted(&request, &view).await?;
    let all = sum(rows.iter().map(|row| &row.counts));
    let recent = view.span.starts.iter().rev().nth(1).copied().unwrap_or(now);
    let are_refused = rows.iter().any(|row| row.series.start >= recent && row.counts.refused.total() > 0);
    let scan = app.lockouts.read(&request.running.verifying, now).await?;
    let locked = scan.iter().filter(|of| view.is_about(of.service, || of.number.region()));
    let locked = locked.copied().collect();
    let states = request.running.delivery.states().into_iter();
    let mut health: BTreeMap<GatewayName, GatewayState> = states.map(|state| (state.name, state)).collect();
    let reading = app.reading().unwrap_or_default();
    let line = |reading: GatewayReading| Some(GatewayLine { health: health.remove(&reading.name)?, reading });
    let (mut spent, known_only) = (request.running.guard.budgets(), request.running.guard.known_only());
    spent.retain(|budget| budget.is_spent);
    let currency = request.running.history.currency();
    let failed = if view.filters.gateway.is_some() { "Failed attempts" } else { "Failed messages" };
    let page = OverviewPage {
        request: &request,
        spent,
        known_only,
        are_refused,
        fewer_lockouts: before
            .map(|before| before.lockouts)
            .filter(|usual| all.lockouts >= SOME && all.lockouts >= usual.saturating_mul(3)),
        now,
        all,
        figures: figures(&all, before.as_ref(), currency, failed, view.filters.gateway.is_some()),
        funnel: funnel(&all, before.as_ref()),
        currency,
        plots: plots(&view.span, &rows, failed),
        tables: breakdowns(&request, &view, &rows),
        gateways: reading.gateways.into_iter().filter_map(line).collect(),
        backlog: reading.webhook_backlog as u64,
        locked,
        view,
    };
    Ok(html(&page))
}

/// `failed` names failures.
fn plots(span: &Span, rows: &[Row], failed: &str) -> Plots {
    let of = |totals: &BTreeMap<Timestamp, Counts>, count: fn(&Counts) -> u64| {
        span.starts.iter().map(|start| totals.get(start).map_or(0, count)).collect::<Vec<_>>()
    };
    let by_time = totals(rows, |series| series.start);
    let costs = of(&by_time, |counts| counts.cost_micros).into_iter().map(money).collect();
    let times = span.starts.iter().map(|start| span.label(*start)).collect();
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
    Plots { all, times, costs, bucket: span.resolution.as_str() }
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
        totals.sort_by_key(|(_, counts)| {
            std::cmp::Reverse(counts.accepted + counts.failed.total() + counts.begun)
        });
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
