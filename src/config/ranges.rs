//! Whole numbers and times with their limits. Each range carries its reason: it is printed when
//! a value lies outside.

use std::marker::PhantomData;
use std::time::Duration;

use schemars::{Schema, json_schema};

use super::value::Setting;

/// The limits of a whole number.
pub trait WholeRange {
    /// The least.
    const MIN: u64;
    /// The most.
    const MAX: u64;
    /// Why.
    const WHY: &'static str;
}

/// A whole number within limits.
#[derive(Debug)]
pub struct Whole<R>(u64, PhantomData<R>);

impl<R> Whole<R> {
    /// The number.
    pub const fn get(&self) -> u64 {
        self.0
    }

    /// The number as a size; the largest size where it does not fit.
    pub fn as_usize(&self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<R: WholeRange> Setting for Whole<R> {
    fn read(text: &str) -> Option<Self> {
        let number = text.trim().parse().ok()?;
        (R::MIN..=R::MAX).contains(&number).then_some(Self(number, PhantomData))
    }

    fn shown(&self) -> String {
        self.0.to_string()
    }

    fn accepted() -> String {
        format!("a whole number from {} to {} ({})", R::MIN, R::MAX, R::WHY)
    }

    fn placeholder() -> Self {
        Self(R::MIN, PhantomData)
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": R::MIN, "maximum": R::MAX },
            { "type": "string", "pattern": "^\\s*[0-9]+\\s*$" },
        ]})
    }
}

/// The limits of a time, and what a bare number of it means.
pub trait SpanRange {
    /// The shortest.
    const MIN: Duration;
    /// The longest.
    const MAX: Duration;
    /// What one means when no unit is given.
    const UNIT: Duration;
    /// Why.
    const WHY: &'static str;
}

/// A time within limits.
#[derive(Debug)]
pub struct Span<R>(Duration, PhantomData<R>);

impl<R> Span<R> {
    /// The time.
    pub const fn get(&self) -> Duration {
        self.0
    }
}

impl<R: SpanRange> Setting for Span<R> {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let span = if text.bytes().all(|b| b.is_ascii_digit()) {
            R::UNIT.checked_mul(text.parse().ok()?)?
        } else {
            humantime::parse_duration(text).ok()?
        };
        (R::MIN..=R::MAX).contains(&span).then_some(Self(span, PhantomData))
    }

    fn shown(&self) -> String {
        humantime::format_duration(self.0).to_string()
    }

    fn accepted() -> String {
        let unit = if R::UNIT == MINUTE { "minutes" } else { "seconds" };
        let [min, max] = [R::MIN, R::MAX].map(humantime::format_duration);
        format!(
            "a time from {min} to {max}: a number of {unit}, or a text with units such as \"45s\", \
             \"5m\", \"1h30m\" or \"500ms\" ({})",
            R::WHY
        )
    }

    fn placeholder() -> Self {
        Self(R::MIN, PhantomData)
    }

    fn schema() -> Schema {
        let units = |span: Duration| span.as_millis().div_ceil(R::UNIT.as_millis());
        let [min, max] = [R::MIN, R::MAX].map(|span| u64::try_from(units(span)).unwrap_or(u64::MAX));
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": min, "maximum": max },
            { "type": "string", "pattern": "^\\s*[0-9][0-9A-Za-z\\s]*$" },
        ]})
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

macro_rules! whole_ranges {
    ($($name:ident: $min:literal to $max:literal, $why:literal;)*) => {$(
        #[doc = $why]
        #[derive(Debug)]
        pub struct $name;
        impl WholeRange for $name {
            const MIN: u64 = $min;
            const MAX: u64 = $max;
            const WHY: &'static str = $why;
        }
    )*};
}

macro_rules! span_ranges {
    ($($name:ident in $unit:ident: $min:expr, $max:expr, $why:literal;)*) => {$(
        #[doc = $why]
        #[derive(Debug)]
        pub struct $name;
        impl SpanRange for $name {
            const MIN: Duration = $min;
            const MAX: Duration = $max;
            const UNIT: Duration = $unit;
            const WHY: &'static str = $why;
        }
    )*};
}

whole_ranges! {
    Port: 0 to 65_535, "0 lets the system choose a free port";
    Attempts: 1 to 100, "NIST SP 800-63B-4 section 3.2.2 allows at most 100 failures in a row";
    Digits: 4 to 10, "fewer are guessed too easily, more are mistyped";
    BodyBytes: 256 to 1_048_576, "requests are a few hundred bytes and are held in memory";
    Connections: 1 to 1_000_000, "each holds memory and a file descriptor";
    Numbers: 1 to 1_000_000_000, "each holds memory until its record has ended";
    Commands: 1 to 1_000_000, "each holds memory until it is answered";
    CommandsPerNumber: 1 to 10_000, "one number must not be able to take every place";
    Sends: 1 to 100_000, "each holds a connection to the provider";
    SendsWaiting: 0 to 1_000_000, "each holds memory until it is sent or given up";
    Retries: 1 to 100, "each further one waits longer, and a code does not live for days";
    WorkflowSends: 1 to 20, "each message costs money, and nobody needs a code twenty times";
    BreakerFailures: 1 to 1_000, "a gateway that fails this often in a row is dead";
    TrackerSize: 0 to 10_000_000, "each takes room on the disk and in memory";
    Shards: 1 to 1_024, "each is a queue of its own; more than there are processors gains nothing";
}

span_ranges! {
    CodeLife in SECOND: SECOND, DAY, "a code that lives longer is a password";
    ServiceLife in SECOND: SECOND.saturating_mul(30), HOUR, "people need a moment, and a code that lives longer is a password";
    Lockout in MINUTE: SECOND, DAY.saturating_mul(30), "a number is remembered for at least this long";
    RequestWait in SECOND: MILLISECOND.saturating_mul(10), MINUTE.saturating_mul(5),
        "a slow client holds a connection for this long";
    IdleWait in SECOND: MILLISECOND.saturating_mul(10), HOUR, "an idle client holds a connection for this long";
    WorkBudget in SECOND: MILLISECOND.saturating_mul(10), MINUTE, "a client waits for the answer meanwhile";
    RetryWait in SECOND: SECOND, HOUR, "a code that is sent after it has expired helps nobody";
    RingTime in SECOND: SECOND.saturating_mul(5), MINUTE.saturating_mul(10), "Twilio lets a telephone ring for 600 s at most";
    StepWait in SECOND: SECOND, HOUR, "a code that is sent after it has expired helps nobody";
    BreakerWait in SECOND: MILLISECOND.saturating_mul(100), DAY, "nobody is asked meanwhile";
    TrackerAge in SECOND: MINUTE, DAY.saturating_mul(366), "it is kept on the disk for so long";
    StopBudget in SECOND: Duration::ZERO, MINUTE.saturating_mul(10), "the process lingers for this long";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_number_counts_in_the_unit_of_its_key() {
        assert_eq!(span::<CodeLife>("30"), Some(Duration::from_secs(30)));
        assert_eq!(span::<Lockout>("30"), Some(Duration::from_secs(1_800)));
    }

    #[test]
    fn a_time_with_units_is_itself_whatever_the_unit_of_its_key() {
        for (text, millis) in
            [("45s", 45_000), ("5m", 300_000), ("1h30m", 5_400_000), (" 1h 30m ", 5_400_000)]
        {
            let expected = Some(Duration::from_millis(millis));
            assert_eq!(span::<CodeLife>(text), expected, "{text}");
            assert_eq!(span::<Lockout>(text), expected, "{text}");
        }
        assert_eq!(span::<WorkBudget>("500ms"), Some(Duration::from_millis(500)));
    }

    #[test]
    fn the_limits_of_a_range_belong_to_it() {
        assert_eq!(span::<CodeLife>("1"), Some(SECOND));
        assert_eq!(span::<CodeLife>("24h"), Some(DAY));
        assert_eq!(span::<CodeLife>("0"), None);
        assert_eq!(span::<CodeLife>("86401"), None);
        assert_eq!(whole::<Attempts>("1"), Some(1));
        assert_eq!(whole::<Attempts>("100"), Some(100));
        assert_eq!(whole::<Attempts>("0"), None);
        assert_eq!(whole::<Attempts>("101"), None);
    }

    #[test]
    fn what_is_no_time_and_no_number_is_refused() {
        for text in
            ["", " ", "soon", "-5", "5 parsecs", "1.5", "99999999999999999999999", "18446744073709551615m"]
        {
            assert_eq!(span::<CodeLife>(text), None, "{text:?}");
            assert_eq!(whole::<Attempts>(text), None, "{text:?}");
        }
    }

    fn span<R: SpanRange>(text: &str) -> Option<Duration> {
        Span::<R>::read(text).map(|span| span.get())
    }

    fn whole<R: WholeRange>(text: &str) -> Option<u64> {
        Whole::<R>::read(text).map(|whole| whole.get())
    }
}
