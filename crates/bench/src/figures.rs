//! Figures for people: few digits, a unit, commas.

/// Where there is no figure.
pub const MISSING: &str = "-";

/// Units of time, by how many microseconds they are.
pub const TIMES: &[(f64, &str)] = &[(1.0, "us"), (1e3, "ms"), (1e6, "s")];

/// Units of memory, by how many bytes they are.
pub const MEMORY: &[(f64, &str)] = &[
    (1.0, "B"),
    (1024.0, "KiB"),
    (1024.0 * 1024.0, "MiB"),
    (1024.0 * 1024.0 * 1024.0, "GiB"),
    (1024.0 * 1024.0 * 1024.0 * 1024.0, "TiB"),
];

/// From here on powers of ten are shorter.
const TOO_LONG: f64 = 1e15;

/// A time, given in microseconds: `38.5 us`, `1.2 ms`, `3,600 s`.
pub fn time(us: f64) -> String {
    with_unit(us, TIMES)
}

/// Memory, given in bytes: `18.4 MiB`.
pub fn memory(bytes: f64) -> String {
    with_unit(bytes, MEMORY)
}

/// A rate: `29,112`, or `41.5` where a whole number would say too little.
pub fn rate(per_second: f64) -> String {
    short(per_second)
}

/// How many: `1,000,000`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A ratio: `0.38x`, `3.1x`, `120x`.
pub fn ratio(ratio: f64) -> String {
    match ratio {
        r if r > 0.0 && r < 0.005 => "<0.01x".to_owned(),
        r if r < 1.995 => format!("{r:.2}x"),
        r => format!("{}x", short(r)),
    }
}

/// The largest unit of which there is at least one, as three digits show it.
pub fn unit(value: f64, units: &[(f64, &'static str)]) -> (f64, &'static str) {
    let below = |(_, next): &(&(f64, &'static str), &(f64, &'static str))| value < next.0 * 0.9995;
    let pairs = units.iter().zip(units.iter().skip(1));
    let found = pairs.clone().find(below).map(|(unit, _)| *unit);
    found.or_else(|| units.last().copied()).unwrap_or((1.0, ""))
}

/// A number with as many decimals as asked for, and commas.
pub fn decimals(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return MISSING.to_owned();
    }
    if value.abs() >= TOO_LONG {
        return format!("{value:.1e}");
    }
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let minus = if value < 0.0 { "-" } else { "" };
    format!("{minus}{}{rest}", count(whole.parse().unwrap_or_default()))
}

fn short(value: f64) -> String {
    decimals(value, usize::from(value.abs() < 99.95))
}

fn with_unit(value: f64, units: &[(f64, &'static str)]) -> String {
    let (size, name) = unit(value, units);
    let number = if size <= 1.0 && name == "B" { decimals(value, 0) } else { short(value / size) };
    format!("{number} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_few_digits_and_the_unit_that_fits() {
        let shown = [0.0, 38.52, 99.96, 999.4, 999.6, 1_234.0, 999_700.0, 3.6e9].map(time);
        assert_eq!(shown, ["0.0 us", "38.5 us", "100 us", "999 us", "1.0 ms", "1.2 ms", "1.0 s", "3,600 s"]);
    }

    #[test]
    fn counts_rates_and_memory_have_commas_and_units() {
        assert_eq!(
            [0, 999, 1_000, 29_112, 1_000_000].map(count),
            ["0", "999", "1,000", "29,112", "1,000,000"]
        );
        assert_eq!([0.0, 41.46, 29_111.6].map(rate), ["0.0", "41.5", "29,112"]);
        let shown = [512.0, 18.4 * 1024.0 * 1024.0, 3.0 * 1024.0 * 1024.0 * 1024.0].map(memory);
        assert_eq!(shown, ["512 B", "18.4 MiB", "3.0 GiB"]);
    }

    #[test]
    fn ratios_say_how_many_times() {
        assert_eq!([0.001, 0.384, 1.0, 3.12, 120.4].map(ratio), ["<0.01x", "0.38x", "1.00x", "3.1x", "120x"]);
    }

    #[test]
    fn a_figure_that_is_no_number_or_too_long_is_not_written_out() {
        assert_eq!([f64::NAN, f64::INFINITY, 1e300].map(rate), ["-", "-", "1.0e300"]);
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    }
}
