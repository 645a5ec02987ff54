//! The measurements of a run and their summary as JSON and as a table: medians over the rounds, and ratios that are made in
//! each round.
//! Windows of one round are close together in time: a ratio within a round says more than one of two medians.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::contract::Routes;

/// All kinds of requests together.
pub const ALL: &str = "all answers";

/// The output of `--json`. Fields are added, never renamed.
#[derive(Debug, Serialize)]
pub struct Results {
    pub form: u32,
    pub program: &'static str,
    pub began: String,
    pub machine: String,
    pub plan: String,
    pub seed: u64,
    /// The run was stopped before its last round.
    pub stopped: bool,
    /// Servers for which the rate of an open loop was too high, with the reason.
    pub overloads: Vec<String>,
    /// CPU time of the load and its mock, per answer of any kind.
    pub own_cpu_us: Option<f64>,
    /// The ratios compare the first server with the others of the same routes.
    pub servers: Vec<ServerResults>,
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct ServerResults {
    pub name: String,
    pub what: String,
    /// `/api` or `/v2`.
    pub routes: &'static str,
    /// Of a ceiling: the goal for the ratio of CPU per request.
    pub cpu_goal: Option<f64>,
    /// Figures of its start: `ready_ms` from the start of its process, `idle_memory_bytes` before the first request.
    #[serde(skip)]
    pub start: Figures,
    /// [`ALL`], then each kind of request.
    pub summary: Vec<Summary>,
    pub windows: Vec<Window>,
}

/// [`ALL`] or one kind of requests, in all rounds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    pub name: &'static str,
    /// Sums of the counts of all rounds, the greatest `max_us` and `memory_bytes`, and the medians of the others.
    pub figures: Figures,
    /// The first server's figures divided by these: the median of the ratios of each round.
    pub ratios: Figures,
}

/// By name; a figure that could not be had is missing.
pub type Figures = BTreeMap<&'static str, f64>;

#[derive(Debug, Clone, Default, Serialize)]
pub struct Window {
    /// From the first request to the last answer.
    pub lasted_s: f64,
    /// [`ALL`], then each kind of request.
    pub kinds: Vec<KindResults>,
    /// Of an open loop: requests that never left, and the rate at which the others did.
    pub dropped: u64,
    pub achieved_per_s: Option<f64>,
    /// The 99th percentile of how late the load itself let requests leave.
    pub late_us: f64,
    /// The first unexpected answers, each once.
    pub quotes: BTreeSet<String>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct KindResults {
    /// [`ALL`], or such as `check, wrong code`.
    pub name: &'static str,
    /// Times are those of the expected answers, CPU that of the whole round and all processes of the server.
    pub figures: Figures,
}

const SUMS: [&str; 3] = ["answers", "refused", "unexpected"];

impl ServerResults {
    pub fn new(name: &str, what: &str, routes: Routes) -> Self {
        let (name, what) = (name.to_owned(), what.to_owned());
        Self { name, what, routes: routes.prefix(), ..Self::default() }
    }

    pub fn summarise(&mut self, first: Option<&Self>) {
        let mut names: Vec<&'static str> = Vec::new();
        for kind in self.windows.iter().flat_map(|window| &window.kinds) {
            if !names.contains(&kind.name) {
                names.push(kind.name);
            }
        }
        self.summary = names.into_iter().map(|name| self.summary_of(name, first)).collect();
    }

    fn summary_of(&self, name: &'static str, first: Option<&Self>) -> Summary {
        let divided = |(first, this): (&Window, &Window)| -> Figures {
            let this = this.figures(name);
            // The longest time among many answers proves nothing.
            let is_compared = |name: &str| !SUMS.contains(&name) && name != "max_us";
            let ratio = |(name, figure): (&'static str, f64)| Some((name, figure / this.get(name)?));
            let ratios = first.figures(name).into_iter().filter_map(ratio);
            ratios.filter(|(name, ratio)| is_compared(name) && ratio.is_finite()).collect()
        };
        let combined = |name: &str, figures: Vec<f64>| match name {
            _ if SUMS.contains(&name) => Some(figures.into_iter().sum()),
            "max_us" | "memory_bytes" => figures.into_iter().max_by(f64::total_cmp),
            _ => median(figures),
        };
        let pairs = first.into_iter().flat_map(|first| first.windows.iter().zip(&self.windows));
        let ratios = over_rounds(pairs.map(divided), |_, ratios| median(ratios));
        let mut figures = over_rounds(self.windows.iter().map(|window| window.figures(name)), combined);
        if name == ALL {
            figures.extend(&self.start);
        }
        Summary { name, figures, ratios }
    }
}

impl Window {
    fn figures(&self, name: &str) -> Figures {
        let kind = self.kinds.iter().find(|kind| kind.name == name);
        kind.map(|kind| kind.figures.clone()).unwrap_or_default()
    }

    /// A figure of all answers, or 0.
    pub fn figure(&self, name: &str) -> f64 {
        self.kinds.first().and_then(|all| all.figures.get(name)).copied().unwrap_or_default()
    }
}

fn over_rounds(
    rounds: impl Iterator<Item = Figures>,
    combined: impl Fn(&str, Vec<f64>) -> Option<f64>,
) -> Figures {
    let mut by_name = BTreeMap::<&'static str, Vec<f64>>::new();
    for (name, figure) in rounds.flatten() {
        by_name.entry(name).or_default().push(figure);
    }
    by_name.into_iter().filter_map(|(name, figures)| Some((name, combined(name, figures)?))).collect()
}

/// Of an even number of values: the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    Some(f64::midpoint(*values.get(low)?, *values.get(high)?))
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes of a bench")]
pub fn float(value: u64) -> f64 {
    value as f64
}

const MISSING: &str = "-";

const FIGURES_EXPLAINED: &str = "Figures are medians over the rounds; max and memory are the greatest of all \
    rounds. In parentheses: the figure of the first server divided by this one, as the median of the rounds' ratios.";

/// Name in the summary, label, and how it is written.
type Metric = (&'static str, &'static str, fn(f64) -> String);

const METRICS: [Metric; 15] = [
    ("requests_per_s", "requests/s", rate),
    ("cpu_us_per_request", "CPU per request", time),
    ("wakeups_per_request", "wake-ups per request", fraction),
    ("journal_writes_per_request", "journal writes per request", fraction),
    ("p50_us", "p50", time),
    ("p90_us", "p90", time),
    ("p99_us", "p99", time),
    ("p99_9_us", "p99.9", time),
    ("max_us", "max", time),
    ("memory_bytes", "memory", memory),
    ("ready_ms", "start to ready", |ms| time(ms * 1e3)),
    ("idle_memory_bytes", "memory when ready", memory),
    ("answers", "answers", whole),
    ("refused", "refused (429, 503)", whole),
    ("unexpected", "unexpected", whole),
];

/// Where the servers were, their figures as a table with a column for each, and notes.
pub fn text(results: &Results) -> String {
    let mut lines: Vec<String> =
        results.servers.iter().map(|server| format!("{}: {}", server.name, server.what)).collect();
    lines.extend([format!("Plan: {}", results.plan), format!("Machine: {}", results.machine)]);
    lines.push(String::new());
    lines.extend(table(results));
    lines.extend([String::new(), FIGURES_EXPLAINED.to_owned()]);
    lines.extend(results.servers.iter().filter_map(|server| {
        let (goal, found) = (server.cpu_goal?, server.summary[0].ratios.get("cpu_us_per_request")?);
        Some(format!(
            "Goal of the dist build: CPU per request below {} at {goal:.2}x that of the ceiling; found {found:.2}x.",
            server.routes
        ))
    }));
    let warnings = results.overloads.iter().chain(&results.warnings);
    lines.extend(warnings.map(|warning| format!("\nWARNING: {warning}")));
    lines.join("\n") + "\n"
}

fn table(results: &Results) -> Vec<String> {
    let names = results.servers.iter().map(|server| server.name.clone());
    let mut rows: Vec<Vec<String>> = vec![std::iter::once(String::new()).chain(names).collect()];
    let titles: Vec<&str> = results.servers[0].summary.iter().map(|summary| summary.name).collect();
    // A single kind is all.
    let titles = if titles.len() == 2 { &titles[..1] } else { &titles[..] };
    for (index, title) in titles.iter().enumerate() {
        if titles.len() > 1 {
            rows.extend((index > 0).then(Vec::new));
            rows.push(vec![(*title).to_owned()]);
        }
        rows.extend(METRICS.iter().filter_map(|metric| row(&results.servers, title, metric)));
    }
    let columns = 0..=results.servers.len();
    let width = |column| {
        let cells = rows.iter().filter(|row| row.len() > 1).filter_map(|row| row.get(column));
        cells.map(|cell: &String| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = columns.map(width).collect();
    let padded = |(column, cell): (usize, &String)| match widths[column] {
        width if column == 0 => format!("{cell:width$}"),
        width => format!("  {cell:>width$}"),
    };
    let line = |row: &Vec<String>| row.iter().enumerate().map(padded).collect::<String>();
    rows.iter().map(|row| line(row).trim_end().to_owned()).collect()
}

/// The label of a metric and a cell for each server, unless no server has a figure that says something.
fn row(servers: &[ServerResults], title: &str, (metric, label, shown): &Metric) -> Option<Vec<String>> {
    let summaries = servers.iter().map(|server| server.summary.iter().find(|summary| summary.name == title));
    let is_said = |figure: f64| !matches!(*metric, "refused" | "unexpected") || figure != 0.0;
    let mut is_row = false;
    let cells = summaries.map(|summary| {
        let figure = summary.and_then(|summary| summary.figures.get(metric).copied());
        let ratio = summary.and_then(|summary| summary.ratios.get(metric));
        is_row |= figure.is_some_and(is_said);
        let ratio = ratio.map(|ratio| format!(" ({ratio:.2}x)")).unwrap_or_default();
        figure.map_or_else(|| MISSING.to_owned(), shown) + &ratio
    });
    let row: Vec<String> = std::iter::once((*label).to_owned()).chain(cells).collect();
    is_row.then_some(row)
}

fn whole(count: f64) -> String {
    format!("{count:.0}")
}

fn fraction(count: f64) -> String {
    format!("{count:.2}")
}

/// `29112`, or `41.5` where a whole number would say too little.
pub fn rate(per_second: f64) -> String {
    let decimals = usize::from(per_second < 99.95);
    format!("{per_second:.decimals$}")
}

/// A time, given in microseconds: `38.5µs`, `1.2ms`, `3600.0s`.
pub fn time(us: f64) -> String {
    Duration::try_from_secs_f64(us / 1e6).map_or_else(|_| MISSING.to_owned(), |time| format!("{time:.1?}"))
}

/// Memory, given in bytes: `18.4 MiB`.
fn memory(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn server(rounds: &[(f64, f64, f64)]) -> ServerResults {
        let window = |(answers, cpu, p50): &(f64, f64, f64)| {
            let counts = [("answers", *answers), ("refused", 2.0), ("unexpected", 1.0)];
            let send = [("requests_per_s", answers / 2.0), ("p50_us", *p50), ("max_us", p50 * 9.0)];
            let all = [("cpu_us_per_request", cpu / answers), ("memory_bytes", *cpu)];
            let kind = |name, figures: &[(&'static str, f64)]| {
                let figures = counts.iter().chain(figures).copied().collect();
                KindResults { name, figures }
            };
            let kinds = vec![kind(ALL, &[&send[..], &all].concat()), kind("send", &send)];
            Window { kinds, ..Window::default() }
        };
        ServerResults { windows: rounds.iter().map(window).collect(), ..ServerResults::default() }
    }

    #[test]
    fn figures_are_medians_and_ratios_are_made_in_each_round() {
        let mut first = server(&[(100.0, 1_000.0, 10.0), (200.0, 4_000.0, 20.0), (400.0, 4_000.0, 90.0)]);
        let mut other = server(&[(200.0, 1_000.0, 20.0), (100.0, 1_000.0, 20.0), (400.0, 8_000.0, 30.0)]);
        other.summarise(Some(&first));
        first.summarise(None);
        let [all, send] = first.summary.as_slice() else { panic!("{:?}", first.summary) };
        let shown = |figures: &Figures, name: &str| figures.get(name).map(|figure| format!("{figure:.2}"));
        let expect =
            |figures, name, value: &str| assert_eq!(shown(figures, name).as_deref(), Some(value), "{name}");
        assert_eq!(all.name, ALL);
        expect(&all.figures, "answers", "700.00");
        expect(&all.figures, "refused", "6.00");
        expect(&all.figures, "unexpected", "3.00");
        expect(&all.figures, "requests_per_s", "100.00");
        expect(&all.figures, "cpu_us_per_request", "10.00");
        expect(&all.figures, "p50_us", "20.00");
        expect(&all.figures, "max_us", "810.00");
        expect(&all.figures, "memory_bytes", "4000.00");
        assert_eq!(send.figures.get("cpu_us_per_request"), None, "not counted by kind");
        let ratios = &other.summary[0].ratios;
        expect(ratios, "requests_per_s", "1.00");
        expect(ratios, "cpu_us_per_request", "2.00");
        assert_eq!(ratios.get("max_us"), None);
        expect(&other.summary[1].ratios, "p50_us", "1.00");
    }

    /// The fields of all objects, by the name of the field that has the object or a list of them.
    fn collect(name: &str, value: &Value, objects: &mut BTreeSet<(String, BTreeSet<String>)>) {
        match value {
            Value::Object(fields) => {
                let names = fields.keys().filter(|field| name != "ratios" || *field == "max_us").cloned();
                objects.insert((name.to_owned(), names.collect()));
                fields.iter().for_each(|(name, value)| collect(name, value, objects));
            }
            Value::Array(values) => values.iter().for_each(|value| collect(name, value, objects)),
            _ => {}
        }
    }

    #[test]
    fn the_help_describes_the_json_and_nothing_else() {
        let mut objects = BTreeSet::new();
        let json = serde_json::to_value(sample_results(&["onceward", "ceiling"])).unwrap();
        collect("", &json, &mut objects);
        // The figures of all answers together, which have more fields.
        let ready = "ready_ms".to_owned();
        objects.retain(|(name, fields)| name != "figures" || fields.contains(&ready));
        assert!(objects.remove(&("ratios".to_owned(), BTreeSet::new())));
        let mut described = BTreeSet::<(String, BTreeSet<String>)>::new();
        let lines = include_str!("help.txt").lines().skip_while(|line| !line.starts_with("JSON fields"));
        let lines: Vec<&str> = lines.skip(1).collect();
        for line in lines.join("\n").replace("\n                      ", " ").lines() {
            let (path, mut fields) = (line[..22].trim(), line[22..].to_owned());
            while let Some((from, to)) = fields.find('(').zip(fields.find(')')) {
                fields.replace_range(from..=to, "");
            }
            let name = path.trim_end_matches("[]").rsplit('.').next().unwrap();
            let fields = fields.split(',').map(|field| field.trim().to_owned()).collect();
            described.insert((name.replace("(whole file)", ""), fields));
        }
        assert_eq!(described, objects);
    }

    /// Of two rounds of two seconds.
    fn sample_results(servers: &[&str]) -> Results {
        let kind = |name, factor: f64, of_all: &[(&'static str, f64)]| {
            let times = [("p50_us", 800.0), ("p90_us", 1_600.0), ("p99_us", 2_800.0), ("max_us", 9_000.0)];
            let times = times.map(|(name, time)| (name, time * factor));
            let counts =
                [("answers", 2_000.0), ("refused", 0.0), ("unexpected", 0.0), ("requests_per_s", 1_000.0)];
            let figures =
                [&counts, &times, of_all].concat().into_iter().chain([("p99_9_us", 4_100.0)]).collect();
            KindResults { name, figures }
        };
        let window = |factor| Window {
            lasted_s: 2.0,
            kinds: vec![
                kind(
                    ALL,
                    factor,
                    &[
                        ("cpu_us_per_request", 26.0),
                        ("wakeups_per_request", 0.5),
                        ("journal_writes_per_request", 0.1),
                        ("memory_bytes", 20e6),
                    ],
                ),
                kind("send", 1.0, &[]),
                kind("check, <right> code", 1.0, &[]),
            ],
            ..Window::default()
        };
        let server = |(index, name): (u32, &&str)| ServerResults {
            name: (*name).to_owned(),
            what: format!("what {name} is, in a line that is longer than a narrow terminal"),
            routes: "/api",
            cpu_goal: (*name == "ceiling").then_some(1.5),
            start: Figures::from([("ready_ms", 23.4), ("idle_memory_bytes", 12e6)]),
            summary: Vec::new(),
            windows: vec![window(f64::from(index + 1)), window(f64::from(index + 1))],
        };
        let mut servers: Vec<ServerResults> = (0..).zip(servers).map(server).collect();
        let first = servers[0].clone();
        servers[0].summarise(None);
        servers[1..].iter_mut().for_each(|server| server.summarise(Some(&first)));
        Results {
            form: 1,
            program: "onceward-bench 0.1.0",
            began: "2026-11-20T20:00:00Z".to_owned(),
            machine: "Some Processor".to_owned(),
            plan: "send-verify".to_owned(),
            seed: 0,
            stopped: false,
            overloads: Vec::new(),
            own_cpu_us: Some(15.0),
            servers,
            warnings: vec![
                "something that <makes> the figures of this run doubtful, at some length".to_owned(),
            ],
        }
    }

    #[test]
    fn figures_and_ratios_stand_in_the_columns_of_their_servers() {
        let text = text(&sample_results(&["onceward", "baseline", "ceiling"]));
        let line = |label: &str| -> Vec<String> {
            let mut lines = text.lines().filter_map(|line| line.trim_start().strip_prefix(label));
            let cells = lines.next().unwrap().split("  ").map(str::trim).filter(|cell| !cell.is_empty());
            cells.map(str::to_owned).collect()
        };
        assert_eq!(line("onceward  "), ["baseline", "ceiling"]);
        assert_eq!(line("requests/s"), ["1000", "1000 (1.00x)", "1000 (1.00x)"]);
        assert_eq!(line("CPU per request"), ["26.0µs", "26.0µs (1.00x)", "26.0µs (1.00x)"]);
        assert_eq!(line("p50"), ["800.0µs", "1.6ms (0.50x)", "2.4ms (0.33x)"]);
        assert_eq!(line("max"), ["9.0ms", "18.0ms", "27.0ms"]);
        assert!(text.contains("\nWARNING: something"), "{text}");
    }

    #[test]
    fn figures_have_units_and_few_digits() {
        assert_eq!([0.0, 41.46, 99.96, 29_111.6].map(rate), ["0.0", "41.5", "100", "29112"]);
        assert_eq!([38.52, 1_234.0, 3.6e9].map(time), ["38.5µs", "1.2ms", "3600.0s"]);
        assert_eq!(memory(18.4 * 1024.0 * 1024.0), "18.4 MiB");
        assert_eq!(time(f64::NAN), "-");
    }
}
