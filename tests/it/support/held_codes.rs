//! The codes that a provider makes: it holds the last one of each number, and approves it once.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

pub struct HeldCodes {
    by_number: Mutex<HashMap<String, HeldCode>>,
    made: AtomicU64,
    digits: AtomicUsize,
}

#[derive(Default)]
pub struct HeldCode {
    pub code: String,
    pub wrong: u32,
    /// Approved: from then on it is unknown.
    pub used: bool,
}

impl HeldCodes {
    pub fn of(digits: usize) -> Self {
        Self { by_number: Mutex::default(), made: AtomicU64::new(0), digits: AtomicUsize::new(digits) }
    }

    /// Later codes have this many digits.
    pub fn make_codes_of(&self, digits: usize) {
        self.digits.store(digits, Ordering::Relaxed);
    }

    /// Makes a code for this number. All codes are distinct.
    pub fn make(&self, number: &str) {
        let digits = self.digits.load(Ordering::Relaxed);
        let many = 10_u64.pow(u32::try_from(digits).expect("a few digits"));
        // The step shares no factor with a power of ten: every code occurs before one repeats.
        let code = (1 + self.made.fetch_add(1, Ordering::Relaxed)) * 7_236_067_977 % many;
        let code = format!("{code:0digits$}");
        let held = HeldCode { code, ..HeldCode::default() };
        self.by_number.lock().unwrap().insert(number.to_owned(), held);
    }

    /// The last code for this number, even if it is used.
    pub fn code_of(&self, number: &str) -> Option<String> {
        self.by_number.lock().unwrap().get(number).map(|held| held.code.clone())
    }

    /// Looks at the unused code of this number, if there is one.
    pub fn look<T>(&self, number: &str, look: impl FnOnce(Option<&mut HeldCode>) -> T) -> T {
        look(self.by_number.lock().unwrap().get_mut(number).filter(|held| !held.used))
    }
}
