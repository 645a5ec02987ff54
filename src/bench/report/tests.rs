use std::fs;

use quick_xml::events::Event;

use super::samples::{latency, three_servers};
use super::summary::{Metric, Summary, median, summary};
use super::{html, json, table};
use crate::bench::results::{Kind, Results, Sample};

/// Wrong in every way that can be written down: each of these must be shown without a panic and without nonsense.
fn odd_results() -> Vec<(&'static str, Results)> {
    let change = |name, change: fn(&mut Results)| {
        let mut results = three_servers(3, 5);
        change(&mut results);
        (name, results)
    };
    vec![
        change("no servers", |results| results.servers.clear()),
        change("one server", |results| results.servers.truncate(1)),
        change("no windows", |results| results.servers.iter_mut().for_each(|server| server.windows.clear())),
        change("windows of one server are missing", |results| results.servers[1].windows.truncate(1)),
        change("no answers", |results| {
            for window in results.servers.iter_mut().flat_map(|server| &mut server.windows) {
                window.latency = latency(0, 0.0);
                window.lasted_s = 0.0;
                window.samples.clear();
            }
        }),
        change("one sample", |results| {
            for server in &mut results.servers {
                server.windows.truncate(1);
                server.windows[0].samples.truncate(1);
            }
        }),
        change("nothing is known of the process", |results| {
            for window in results.servers.iter_mut().flat_map(|server| &mut server.windows) {
                (window.cpu_us, window.memory_bytes) = (None, None);
                for sample in &mut window.samples {
                    (sample.cores, sample.memory_bytes, sample.p99_us) = (None, None, None);
                }
            }
        }),
        change("no numbers", |results| no_numbers(results, f64::NAN)),
        change("infinite", |results| no_numbers(results, f64::INFINITY)),
        change("huge", |results| {
            no_numbers(results, 1e300);
            for window in results.servers.iter_mut().flat_map(|server| &mut server.windows) {
                (window.cpu_us, window.memory_bytes) = (Some(u64::MAX), Some(u64::MAX));
                window.latency.count = u64::MAX;
            }
        }),
        change("tiny", |results| no_numbers(results, 1e-300)),
        change("below zero", |results| no_numbers(results, -5.0)),
        change("more servers than looks", |results| {
            let more = results.servers.clone();
            results.servers.extend(more.clone());
            results.servers.extend(more);
        }),
        change("long names", |results| {
            results.servers[1].name = "https://a-long-name.example:8443/".repeat(9);
        }),
    ]
}

fn no_numbers(results: &mut Results, figure: f64) {
    results.plan.window_s = figure;
    results.machine.fdatasync_us = Some(figure);
    for server in &mut results.servers {
        server.ready_ms = Some(figure);
        for window in &mut server.windows {
            window.lasted_s = figure;
            window.latency.mean_us = figure;
            window.latency.max_us = figure;
            window.latency.percentiles.iter_mut().for_each(|(_, time)| *time = figure);
            window.samples.push(Sample {
                at_s: figure,
                requests_per_s: figure,
                p99_us: Some(figure),
                cores: Some(figure),
                memory_bytes: None,
            });
        }
    }
}

/// Three rounds of two servers whose ratios are easily made by hand.
fn by_hand() -> Results {
    let mut results = three_servers(3, 1);
    results.servers.truncate(2);
    // Requests/s: 100, 400, 300 against 50, 100, 300. CPU: 10, 20, 30 us against 5, 40, 10 us a request.
    let set = [([100, 400, 300], [10_u32, 20, 30]), ([50, 100, 300], [5, 40, 10])];
    for (server, (counts, cpu)) in results.servers.iter_mut().zip(set) {
        for ((window, count), cpu) in server.windows.iter_mut().zip(counts).zip(cpu) {
            window.lasted_s = 1.0;
            window.latency = latency(count, 1_000.0);
            window.latency.max_us = 7.0 * f64::from(cpu);
            window.cpu_us = Some(count * u64::from(cpu));
            window.memory_bytes = Some(1_000 * count);
        }
    }
    results
}

#[track_caller]
fn assert_close(figure: Option<&f64>, expected: f64) {
    let figure = figure.copied();
    assert!(figure.is_some_and(|figure| (figure - expected).abs() < 1e-9), "{figure:?} is not {expected}");
}

/// Reads the whole page as XML, which is stricter than HTML, and gives its texts.
fn texts(page: &str) -> Vec<String> {
    let mut reader = quick_xml::Reader::from_str(page);
    reader.config_mut().check_end_names = true;
    let mut texts = Vec::new();
    let mut open = 0_i32;
    loop {
        match reader.read_event().unwrap_or_else(|error| panic!("byte {}: {error}", reader.buffer_position()))
        {
            Event::Eof => break,
            Event::Start(tag) => {
                open += 1;
                tag.attributes().for_each(|attribute| drop(attribute.unwrap()));
            }
            Event::Empty(tag) => tag.attributes().for_each(|attribute| drop(attribute.unwrap())),
            Event::End(_) => open -= 1,
            Event::Text(text) => texts.push(text.as_ref().to_owned()),
            _ => {}
        }
    }
    assert_eq!(open, 0, "an element is not closed");
    texts
}

#[test]
fn a_table_for_many_servers_breaks_no_words() {
    let mut results = three_servers(3, 5);
    let mut durable = results.servers[2].clone();
    durable.name = "redis-durable".to_owned();
    results.servers.push(durable);
    let text = table(&results);
    assert!(text.contains("onceward / redis-durable"), "{text}");
    assert_eq!(text.matches("   CPU per request").count(), 2, "{text}");
}

#[test]
fn percentiles_of_too_few_answers_are_not_shown() {
    let mut results = three_servers(1, 5);
    results.servers[0].windows[0].latency = latency(99, 1_000.0);
    let figures = &summary(&results).servers[0].all.figures;
    assert!(figures.contains_key(&Metric::P90Us), "{figures:?}");
    assert!(!figures.contains_key(&Metric::P99Us) && !figures.contains_key(&Metric::P999Us), "{figures:?}");
}

#[test]
fn rounds_that_do_not_agree_are_told_in_a_closed_loop() {
    let mut results = three_servers(2, 5);
    assert!(!table(&results).contains("rounds differ"));
    results.servers[1].windows[0].lasted_s *= 2.0;
    assert!(table(&results).contains("WARNING: ceiling: its rounds differ, from "));
    results.plan.rate = Some(100);
    assert!(!table(&results).contains("rounds differ"));
}

#[test]
fn a_median_is_the_middle_or_the_mean_of_the_two_in_the_middle() {
    assert_eq!(median(Vec::new()), None);
    assert_eq!(median(vec![3.0]), Some(3.0));
    assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), Some(3.0));
}

#[test]
fn figures_are_medians_over_the_rounds_and_the_greatest_where_that_says_more() {
    let figures = &summary(&by_hand()).servers[0].all.figures;
    assert_close(figures.get(&Metric::RequestsPerS), 300.0);
    assert_close(figures.get(&Metric::CpuUsPerRequest), 20.0);
    assert_close(figures.get(&Metric::MaxUs), 210.0);
    assert_close(figures.get(&Metric::MemoryBytes), 400_000.0);
}

#[test]
fn ratios_are_made_in_each_round_before_their_median() {
    let summary = summary(&by_hand());
    let ratios = &summary.ratios[0];
    assert_eq!((ratios.of.as_str(), ratios.to.as_str()), ("onceward", "ceiling"));
    // 100/50, 400/100, 300/300: the median is 2. That of the medians would be 300/100.
    assert_close(ratios.all.get(&Metric::RequestsPerS), 2.0);
    // 10/5, 20/40, 30/10.
    assert_close(ratios.all.get(&Metric::CpuUsPerRequest), 2.0);
    assert_close(ratios.all.get(&Metric::MemoryBytes), 2.0);
    assert_eq!(ratios.all.get(&Metric::MaxUs), None);
}

#[test]
fn a_round_that_only_one_server_has_makes_no_ratio() {
    let mut results = by_hand();
    results.servers[1].windows.truncate(1);
    assert_close(summary(&results).ratios[0].all.get(&Metric::RequestsPerS), 2.0);
    results.servers[1].windows.clear();
    assert!(summary(&results).ratios[0].all.is_empty());
}

#[test]
fn refused_and_unexpected_answers_are_added_up_and_shown() {
    let mut results = three_servers(2, 5);
    assert!(!table(&results).contains("refused") && !html(&results).contains("unexpected</th>"));
    for window in &mut results.servers[0].windows {
        (window.kinds[0].refused, window.kinds[1].unexpected) = (1_200, 3);
    }
    let part = &summary(&results).servers[0].all;
    assert_eq!((part.refused, part.unexpected), (2_400, 6));
    for report in [table(&results), html(&results)] {
        assert!(
            report.contains("refused (429, 503)")
                && report.contains("2,400")
                && report.contains("unexpected")
        );
    }
}

#[test]
fn the_table_of_a_fixed_run_is_as_committed() {
    let shown = table(&three_servers(5, 10));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bench/report/table.golden");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, &shown).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap();
    assert_eq!(shown, expected, "if this is as it should be: UPDATE_GOLDEN=1 cargo test --lib bench::report");
}

#[test]
fn no_line_of_the_table_is_wider_than_the_terminal() {
    for (name, mut results) in odd_results() {
        results.warnings = vec!["a warning of many words ".repeat(30), "x".repeat(300)];
        for line in table(&results).lines() {
            assert!(line.chars().count() <= 100, "{name}: {line}");
        }
    }
}

#[test]
fn names_cannot_make_a_terminal_obey() {
    let mut results = three_servers(1, 1);
    results.servers[1].name = "a\u{1b}[2Jb".to_owned();
    results.warnings.push("c\rd".to_owned());
    let text = table(&results);
    assert!(!text.contains(['\u{1b}', '\r']) && text.contains('\u{fffd}'));
}

#[test]
fn odd_results_are_told_without_nonsense() {
    for (name, results) in odd_results() {
        for report in [table(&results), json(&results), html(&results)] {
            let wrong = report
                .split(|c: char| !c.is_alphanumeric())
                .find(|word| ["NaN", "inf", "infinity"].contains(word));
            assert_eq!(wrong, None, "{name}");
        }
        texts(&html(&results));
        serde_json::from_str::<Results>(&json(&results)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn the_json_can_be_read_as_results_and_has_the_summary_beside_them() {
    let results = three_servers(2, 3);
    let text = json(&results);
    assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let summed: Summary = serde_json::from_value(value["summary"].clone()).unwrap();
    assert_eq!(summed.servers.len(), 3);
    // Both as they are read: reading may change the last bit of a number.
    let expected = serde_json::to_string(&summary(&results)).unwrap();
    assert_eq!(value["summary"], serde_json::from_str::<serde_json::Value>(&expected).unwrap());
    let figures = &value["summary"]["servers"][0]["kinds"]["send"]["figures"];
    assert!(figures["p99_9_us"].is_f64() && figures["requests_per_s"].is_f64());
    assert!(value["summary"]["ratios"][1]["all"]["cpu_us_per_request"].is_f64());
}

#[test]
fn text_from_outside_is_escaped_in_the_page() {
    let hostile = r#"</style><script>alert("1")</script>&'"#;
    let mut results = three_servers(2, 3);
    results.servers[1].name = hostile.to_owned();
    results.servers[1].what = hostile.to_owned();
    results.plan.workload = hostile.to_owned();
    results.machine.processor = hostile.to_owned();
    results.warnings.push(hostile.to_owned());
    let kinds = results
        .servers
        .iter_mut()
        .flat_map(|server| &mut server.windows)
        .flat_map(|window| &mut window.kinds);
    kinds.for_each(|kind: &mut Kind| kind.name.push_str(hostile));
    let page = html(&results);
    assert!(!page.contains("<script"), "a script came in");
    assert_eq!(page.matches("</style>").count(), 1);
    texts(&page);
}

#[test]
fn the_page_loads_nothing_and_has_every_plot_with_its_words() {
    let page = html(&three_servers(5, 60));
    let texts = texts(&page);
    for title in [
        "Latency percentiles",
        "Throughput over time",
        "99th percentile over time",
        "CPU over time",
        "Memory over time",
    ] {
        assert!(texts.iter().any(|text| text == title), "{title} is missing");
    }
    assert_eq!(page.matches("<svg class=\"plot\"").count(), 7, "five plots, and one for each kind of answer");
    assert_eq!(page.matches("</desc>").count(), 7);
    assert!(page.contains("default-src &#39;none&#39;") || page.contains("default-src 'none'"));
    let elsewhere = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!elsewhere.contains("http:") && !elsewhere.contains("https:") && !elsewhere.contains("url("));
}

#[test]
fn the_page_warns_first() {
    let mut results = three_servers(1, 5);
    results.warnings.push("the load could not keep its rate".to_owned());
    let page = html(&results);
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is missing"));
    assert!(at("the load could not keep its rate") < at("<dt>Plan"));
    assert!(table(&results).contains("WARNING: the load could not keep its rate"));
    assert!(!html(&three_servers(1, 5)).contains("id=\"warnings\""));
}
