//! The next request of a client. Every choice is drawn from the seed: all servers of a run, and a run with the same seed,
//! are asked the same.

use clap::ValueEnum;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::connection::Route;
use crate::contract::Expect;
use crate::numbers::Numbers;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    SendVerify,
    Send,
    WrongCodes,
    Locked,
    Resend,
    Mix,
}

impl Workload {
    /// As on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// A kind of request, by its promised answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Send,
    SendAgain,
    SendLocked,
    Right,
    Wrong,
    Locks,
    CheckLocked,
}

impl Kind {
    pub const COUNT: usize = 7;

    pub fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::SendAgain => "send again",
            Self::SendLocked => "send, locked number",
            Self::Right => "check, right code",
            Self::Wrong => "check, wrong code",
            Self::Locks => "check, wrong code that locks",
            Self::CheckLocked => "check, locked number",
        }
    }

    pub fn of(workload: Workload) -> &'static [Self] {
        use Kind::{CheckLocked, Locks, Right, Send, SendAgain, SendLocked, Wrong};
        match workload {
            Workload::SendVerify => &[Send, Right],
            Workload::Send => &[Send],
            Workload::WrongCodes => &[Send, Wrong, Locks],
            Workload::Locked => &[SendLocked, CheckLocked],
            Workload::Resend => &[SendAgain],
            Workload::Mix => &[Send, SendAgain, SendLocked, Right, Wrong, Locks, CheckLocked],
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub kind: Kind,
    pub digits: u64,
    /// Of a check.
    pub code: Option<String>,
    pub expect: Expect,
}

impl Step {
    pub fn route(&self) -> Route {
        if self.code.is_some() { Route::Check } else { Route::Send }
    }
}

/// Numbers of each connection with the workload `resend`.
const AGAIN: u64 = 16;

/// Numbers that are locked for each connection before a window.
const LOCKED_EACH: u64 = 4;

/// The requests about one number.
#[derive(Debug, Clone, Copy)]
struct Turn {
    again: bool,
    /// Wrong codes, at most until it is locked.
    wrong: u32,
    /// The right code at the end, unless it was locked.
    right: bool,
}

/// A number in the middle of its turn.
#[derive(Debug)]
struct Current {
    digits: u64,
    code: String,
    /// Wrong codes that are allowed.
    trials: u32,
    turn: Turn,
}

#[derive(Debug)]
pub struct Script {
    workload: Workload,
    choices: SmallRng,
    fresh: Numbers,
    locked: Numbers,
    place: u64,
    clients: u64,
    used: u64,
    again: u64,
    refused: u64,
    /// Each window locks other numbers.
    windows: u64,
    next_turn: Turn,
    current: Option<Current>,
}

const VERIFY: Turn = Turn { again: false, wrong: 0, right: true };
const LEAVE: Turn = Turn { right: false, ..VERIFY };
const LOCK: Turn = Turn { wrong: u32::MAX, right: false, again: false };

impl Script {
    pub fn new(workload: Workload, seed: u64, place: u32, clients: u32) -> Self {
        let place = u64::from(place);
        Self {
            workload,
            choices: SmallRng::seed_from_u64(seed.wrapping_add(place.wrapping_mul(0x9E37_79B9_7F4A_7C15))),
            fresh: Numbers::fresh(seed),
            locked: Numbers::locked(seed),
            place,
            clients: u64::from(clients.max(1)),
            used: 0,
            again: 0,
            refused: 0,
            windows: 0,
            next_turn: VERIFY,
            current: None,
        }
    }

    /// Forgets the number at hand, whose code may have expired. Returns the numbers that must be locked first.
    pub fn begin_window(&mut self) -> Vec<u64> {
        self.current = None;
        self.windows += 1;
        let locked = matches!(self.workload, Workload::Locked | Workload::Mix);
        let wanted = if locked { LOCKED_EACH } else { 0 };
        (0..wanted).map(|index| self.locked_number(index)).collect()
    }

    pub fn next(&mut self) -> Step {
        if let Some(step) = self.current.as_mut().and_then(Current::next) {
            return step;
        }
        self.current = None;
        match self.workload {
            Workload::SendVerify => self.begin(VERIFY),
            Workload::Send => self.begin(LEAVE),
            Workload::WrongCodes => self.begin(LOCK),
            Workload::Locked => self.refused(),
            Workload::Resend => {
                self.again += 1;
                let digits = self.fresh.at(self.again % AGAIN * self.clients + self.place);
                send(Kind::SendAgain, digits)
            }
            Workload::Mix => self.mixed(),
        }
    }

    /// Out of twenty turns: 12 verify, 2 after a wrong code, 2 after a second send; 2 leave their code; 1 is guessed at
    /// until it is locked; 1 asks for a number that was locked before.
    fn mixed(&mut self) -> Step {
        let turn = match self.choices.random_range(0..20_u32) {
            0..12 => VERIFY,
            12..14 => Turn { wrong: 1, ..VERIFY },
            14..16 => Turn { again: true, ..VERIFY },
            16..18 => LEAVE,
            18 => LOCK,
            _ => return self.refused(),
        };
        self.begin(turn)
    }

    fn begin(&mut self, turn: Turn) -> Step {
        let digits = self.fresh.at(self.used * self.clients + self.place);
        self.used += 1;
        self.next_turn = turn;
        send(Kind::Send, digits)
    }

    /// Sends and checks in turn, of each number.
    fn refused(&mut self) -> Step {
        self.refused += 1;
        let digits = self.locked_number(self.refused / 2 % LOCKED_EACH);
        if self.refused.is_multiple_of(2) {
            Step { expect: Expect::Locked, ..send(Kind::SendLocked, digits) }
        } else {
            let code = Some("000000".to_owned());
            Step { kind: Kind::CheckLocked, digits, code, expect: Expect::Locked }
        }
    }

    fn locked_number(&self, index: u64) -> u64 {
        self.locked.at((self.windows * LOCKED_EACH + index) * self.clients + self.place)
    }

    /// The answer was expected. After a send: the code that arrived, and the number of wrong codes allowed.
    pub fn succeeded(&mut self, step: &Step, code: Option<String>, trials: Option<u32>) {
        match (step.kind, code) {
            (Kind::Send, Some(code)) => {
                let turn = self.next_turn;
                self.current = Some(Current { digits: step.digits, code, trials: trials.unwrap_or(1), turn });
            }
            (Kind::SendAgain, Some(code)) => {
                if let Some(current) = &mut self.current {
                    current.code = code;
                }
            }
            _ => {}
        }
    }

    /// The state of the number at hand is unknown.
    pub fn failed(&mut self) {
        self.current = None;
    }
}

impl Current {
    fn next(&mut self) -> Option<Step> {
        let digits = self.digits;
        if std::mem::take(&mut self.turn.again) {
            return Some(send(Kind::SendAgain, digits));
        }
        if self.turn.wrong > 0 && self.trials > 0 {
            let code = Some(wrong_code(&self.code, self.trials));
            self.turn.wrong -= 1;
            self.trials -= 1;
            let (kind, expect) = match self.trials {
                0 => (Kind::Locks, Expect::Locks),
                left => (Kind::Wrong, Expect::Wrong(left)),
            };
            return Some(Step { kind, digits, code, expect });
        }
        if std::mem::take(&mut self.turn.right) && self.trials > 0 {
            let code = Some(std::mem::take(&mut self.code));
            return Some(Step { kind: Kind::Right, digits, code, expect: Expect::Verified });
        }
        None
    }
}

fn send(kind: Kind, digits: u64) -> Step {
    Step { kind, digits, code: None, expect: Expect::Sent }
}

/// Surely wrong: the last digit is another one. How far it is from the right one tells a server that keeps nothing
/// how many wrong codes were allowed before it (see [`trials_before`]).
pub fn wrong_code(code: &str, trials: u32) -> String {
    let last = code.bytes().next_back().map_or(0, |byte| u32::from(byte.wrapping_sub(b'0')));
    let other = (last + 1 + trials.saturating_sub(1) % 9) % 10;
    format!("{}{other}", code.get(..code.len().saturating_sub(1)).unwrap_or_default())
}

/// The trials that [`wrong_code`] was made with; `None` for the right code.
pub fn trials_before(right: &str, code: &str) -> Option<u32> {
    let last = |text: &str| text.bytes().next_back().map_or(0, |byte| u32::from(byte.wrapping_sub(b'0')));
    let distance = (last(code) + 10 - last(right) % 10) % 10;
    (distance > 0).then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a script against a server that does what it is asked.
    fn steps(workload: Workload, seed: u64, count: usize) -> Vec<Step> {
        let mut script = Script::new(workload, seed, 3, 8);
        script.begin_window();
        let mut steps = Vec::new();
        while steps.len() < count {
            let step = script.next();
            let sent = matches!(step.kind, Kind::Send | Kind::SendAgain);
            script.succeeded(&step, sent.then(|| "123456".to_owned()), sent.then_some(5));
            steps.push(step);
        }
        steps
    }

    #[test]
    fn the_same_seed_makes_the_same_choices_and_another_one_does_not() {
        for workload in Workload::value_variants().iter().copied() {
            assert_eq!(steps(workload, 7, 500), steps(workload, 7, 500), "{workload:?}");
            assert_ne!(steps(workload, 7, 500), steps(workload, 8, 500), "{workload:?}");
        }
    }

    #[test]
    fn every_workload_asks_for_its_kinds_and_no_others() {
        for workload in Workload::value_variants().iter().copied() {
            let steps = steps(workload, 1, 2_000);
            let kinds = Kind::of(workload);
            assert!(steps.iter().all(|step| kinds.contains(&step.kind)), "{workload:?}");
            assert!(kinds.iter().all(|kind| steps.iter().any(|step| step.kind == *kind)), "{workload:?}");
        }
    }

    #[test]
    fn wrong_codes_come_until_the_number_is_locked() {
        let expected: Vec<Expect> =
            steps(Workload::WrongCodes, 1, 6).iter().map(|step| step.expect).collect();
        let wrong = |left| Expect::Wrong(left);
        assert_eq!(expected, [Expect::Sent, wrong(4), wrong(3), wrong(2), wrong(1), Expect::Locks]);
    }

    #[test]
    fn after_a_surprise_the_number_is_left_alone() {
        let mut script = Script::new(Workload::SendVerify, 1, 0, 1);
        let step = script.next();
        script.succeeded(&step, Some("123456".into()), Some(5));
        script.failed();
        let next = script.next();
        assert_eq!(next.kind, Kind::Send);
        assert_ne!(next.digits, step.digits);
    }

    #[test]
    fn a_wrong_code_tells_how_many_were_allowed() {
        for code in ["123456", "000000", "999999", "0009"] {
            for trials in 1..=9 {
                let wrong = wrong_code(code, trials);
                assert_ne!(wrong, code);
                assert_eq!(trials_before(code, &wrong), Some(trials));
            }
            assert_eq!(trials_before(code, code), None);
        }
    }
}
