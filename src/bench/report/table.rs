//! The table for a terminal.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Row, Table, TableStyle, presets};

use super::finite::finite;
use super::lines::{Section, machine, plan, sections, warnings};
use super::summary::{kind_names, summary};
use crate::bench::results::Results;

/// Columns of the terminal.
const WIDTH: u16 = 100;

/// Servers side by side with the first one, and their ratios; fewer where that does not fit.
const BESIDE: usize = 3;

/// A line below the header is all that the figures need.
const RULED: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// Figures of all servers, at most 100 columns wide; it ends with a line feed.
pub fn table(results: &Results) -> String {
    let results = printable(&finite(results));
    let mut text = String::new();
    let mut line = |line: &str| _ = writeln!(text, "{line}");
    for server in &results.servers {
        line(&format!("{}: {}", server.name, server.what));
    }
    line(&format!("Plan: {}", plan(&results)));
    line(&format!("Machine: {}", machine(&results)));
    let text = wrapped(&text);

    let sections = sections(&summary(&results), &kind_names(&results.servers));
    let names: Vec<&str> = results.servers.iter().map(|server| server.name.as_str()).collect();
    let others: Vec<usize> = (1..names.len()).collect();
    let blocks = |beside: usize, arrangement: &ContentArrangement| -> Vec<String> {
        let mut blocks: Vec<&[usize]> = others.chunks(beside).collect();
        if blocks.is_empty() && !names.is_empty() {
            blocks.push(&[]);
        }
        blocks.iter().map(|others| block(&sections, &names, others, arrangement.clone())).collect()
    };
    let fits = |block: &String| block.lines().all(|line| line.chars().count() <= usize::from(WIDTH));
    let whole = (1..=BESIDE).rev().map(|beside| blocks(beside, &ContentArrangement::Disabled));
    let fitting = whole.into_iter().find(|blocks| blocks.iter().all(fits));
    // Names that are too long even for two servers are broken.
    let blocks = fitting.unwrap_or_else(|| blocks(1, &ContentArrangement::Dynamic));
    let mut text = blocks.iter().fold(text, |text, block| text + "\n" + block);

    if results.servers.len() > 1 || results.plan.rounds > 1 {
        let how = "Figures are medians over the rounds; max and memory are the greatest of all rounds. Ratios are \
                   made in each round, and their median is shown.";
        text += &wrapped(&format!("\n{how}\n"));
    }
    for warning in warnings(&results) {
        text += &wrapped(&format!("\nWARNING: {warning}\n"));
    }
    text
}

/// One table: the first server, those of `others`, and the ratios to them.
fn block(sections: &[Section], names: &[&str], others: &[usize], arrangement: ContentArrangement) -> String {
    let shown = || std::iter::once(0).chain(others.iter().copied());
    let mut table = Table::new();
    table.load_style(RULED).set_width(WIDTH);
    table.set_content_arrangement(arrangement);
    let first = names.first().copied().unwrap_or_default();
    let name = |index: usize| names.get(index).copied().unwrap_or_default().to_owned();
    let mut header = vec![String::new()];
    header.extend(shown().map(name));
    header.extend(others.iter().map(|index| format!("{first} / {}", name(*index))));
    table.set_header(header);
    for section in sections {
        if sections.len() > 1 {
            table.add_row(vec![section.title.clone()]);
        }
        for line in &section.lines {
            let indent = if sections.len() > 1 { "  " } else { "" };
            let mut row = vec![format!("{indent}{}", line.label)];
            row.extend(shown().filter_map(|index| line.figures.get(index).cloned()));
            row.extend(others.iter().filter_map(|index| line.ratios.get(index - 1).cloned()));
            table.add_row(Row::from(row));
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// Lines that are longer than the terminal are broken between words.
fn wrapped(text: &str) -> String {
    let mut wrapped = String::new();
    for line in text.lines() {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_width(WIDTH);
        table.set_content_arrangement(ContentArrangement::Dynamic).add_row(vec![line]);
        if let Some(column) = table.column_mut(0) {
            column.set_padding((0, 0));
        }
        for line in table.lines() {
            _ = writeln!(wrapped, "{}", line.trim_end());
        }
    }
    wrapped
}

/// Names and warnings come from outside, and a terminal obeys control characters.
fn printable(results: &Results) -> Results {
    let clean = |text: &mut String| {
        if text.contains(char::is_control) {
            *text = text.replace(char::is_control, "\u{fffd}");
        }
    };
    let mut results = results.clone();
    for server in &mut results.servers {
        clean(&mut server.name);
        clean(&mut server.what);
        for kind in server.windows.iter_mut().flat_map(|window| &mut window.kinds) {
            clean(&mut kind.name);
        }
    }
    results.warnings.iter_mut().for_each(clean);
    let (plan, machine) = (&mut results.plan, &mut results.machine);
    for text in [&mut plan.workload, &mut machine.processor, &mut machine.kernel, &mut machine.file_system] {
        clean(text);
    }
    results
}
