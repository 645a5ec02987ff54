//! The possible states of a verification from the view of a /v2 client: a model of the promises, independent of the
//! engine. An answer that fits no state is a broken promise.

/// Wrong codes that one verification allows.
const CHECKS: u32 = 5;

/// A verification, and what the server told its guest.
pub struct Known {
    pub sid: String,
    pub number: String,
    pub code: String,
    /// Wrong codes, checked by id, that the server answered as wrong; then those without an answer.
    pub wrong: u32,
    pub perhaps_wrong: u32,
    pub over: Over,
    pub touched: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    No,
    /// A right code or a cancellation got no answer.
    Perhaps,
    Approved,
    Canceled,
}

impl Known {
    /// Fails the test if the server said that it is over.
    pub fn may_be_live(&self, what: &str) {
        let is_over = matches!(self.over, Over::Approved | Over::Canceled);
        assert!(!is_over, "{} {what} after it was {:?}", self.number, self.over);
    }

    /// Takes in the answer to a check; returns whether it approves. `before` is the state when the check was sent.
    pub fn takes_in(&mut self, before: Over, right: bool, at_once: bool, told: &(u16, String)) -> bool {
        let number = &self.number;
        let was_over = matches!(before, Over::Approved | Over::Canceled);
        match (told.0, told.1.as_str()) {
            (200, "approved") => {
                assert!(right, "{number}: a wrong code was approved");
                self.may_be_live("approved");
                assert!(self.wrong < CHECKS, "{number}: approved after {} wrong codes", self.wrong);
                self.over = Over::Approved;
                return true;
            }
            (200, status @ ("pending" | "max_attempts_reached")) => {
                assert!(!right, "{number}: a right code is {status}");
                assert!(!was_over, "{number}: live after {before:?}");
                self.wrong += 1;
                assert!(self.wrong <= CHECKS, "{number}: {} guesses", self.wrong);
                let (least, most) = (self.wrong, self.wrong + self.perhaps_wrong);
                let is_possible = if status == "pending" { least < CHECKS } else { most >= CHECKS };
                assert!(is_possible, "{number}: {status} at {least}");
            }
            (429, "60202") => {
                let most = self.wrong + self.perhaps_wrong;
                assert!(most >= CHECKS, "{number}: refused after {most} wrong codes");
                assert!(!was_over, "{number}: refused after {before:?}");
            }
            (404, _) => {
                assert!(self.over != Over::No || at_once, "{number}: gone, and no client was told so");
                if self.over == Over::No {
                    self.over = Over::Perhaps;
                }
            }
            other => panic!("{number}: a check got {other:?}"),
        }
        false
    }
}
