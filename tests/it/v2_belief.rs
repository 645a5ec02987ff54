//! The possible states of a verification from the view of a /v2 client: a model made from the promises and not from the
//! engine. An answer that fits nothing believed is a broken promise.

/// Wrong codes of one verification.
const CHECKS: u32 = 5;

/// One verification, and what its guest was told of it.
pub struct Known {
    pub sid: String,
    pub number: String,
    pub code: String,
    /// Wrong codes by name that were told to be wrong, and those of which nothing was heard.
    pub wrong: u32,
    pub perhaps_wrong: u32,
    pub over: Over,
    pub touched: bool,
}

/// Whether it has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    No,
    /// Nothing was heard of a right code, or of a cancellation.
    Perhaps,
    Approved,
    Canceled,
}

impl Known {
    /// Fails the test if it was told that it is over.
    pub fn may_be_live(&self, what: &str) {
        let is_over = matches!(self.over, Over::Approved | Over::Canceled);
        assert!(!is_over, "{} {what} after it was {:?}", self.number, self.over);
    }

    /// Takes in the answer to a check; returns whether it is an approval. `before` is how things stood when it was
    /// asked.
    pub fn takes_in(&mut self, before: Over, right: bool, at_once: bool, told: &(u16, String)) -> bool {
        let number = &self.number;
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
                assert!(
                    !matches!(before, Over::Approved | Over::Canceled),
                    "{number}: live after {before:?}"
                );
                self.wrong += 1;
                assert!(self.wrong <= CHECKS, "{number}: {} guesses", self.wrong);
                let (least, most) = (self.wrong, self.wrong + self.perhaps_wrong);
                let is_last = status == "max_attempts_reached";
                assert!(
                    if is_last { most >= CHECKS } else { least < CHECKS },
                    "{number}: {status} at {least}"
                );
            }
            (429, "60202") => {
                let most = self.wrong + self.perhaps_wrong;
                assert!(most >= CHECKS, "{number}: refused after {most} wrong codes");
                assert!(
                    !matches!(before, Over::Approved | Over::Canceled),
                    "{number}: refused after {before:?}"
                );
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
