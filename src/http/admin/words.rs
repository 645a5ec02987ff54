//! Figures in words for people.

use std::borrow::Borrow;
use std::time::Duration;

use crate::domain::seconds_up;

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
pub fn share(part: impl Borrow<u64>, whole: impl Borrow<u64>) -> String {
    let (part, whole) = (*part.borrow(), *whole.borrow());
    let tenths = (u128::from(part) * 1_000 + u128::from(whole) / 2).checked_div(u128::from(whole));
    tenths.map_or_else(|| "–".to_owned(), |tenths| format!("{}.{} %", tenths / 10, tenths % 10))
}

/// An amount to the cent, with its thousands set apart.
pub fn money(micros: impl Borrow<u64>) -> String {
    let micros = *micros.borrow();
    if (1..10_000).contains(&micros) {
        return "< 0.01".to_owned();
    }
    let cents = micros.saturating_add(5_000) / 10_000;
    format!("{}.{:02}", grouped(cents / 100), cents % 100)
}

/// An amount to a hundredth of a cent, with its sign.
pub fn exact_money(micros: impl Borrow<i64>) -> String {
    let micros = *micros.borrow();
    let parts = micros.unsigned_abs().saturating_add(50) / 100;
    let sign = if micros < 0 { "−" } else { "" };
    format!("{sign}{}.{:04}", grouped(parts / 10_000), parts % 10_000)
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
