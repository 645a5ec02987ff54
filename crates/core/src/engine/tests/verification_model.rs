//! Lockouts that are not fixed, against an independent model, which has the documented rules once more and was written
//! without the engine: every answer, while sends are settled at once.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;

use super::world::{
    ACCEPTED, FAILED, HELD, HOLDER, POSTPONED, SEND_BUDGET, World, mins, name_of, other_code, secs,
};
use crate::domain::{Code, CodeLength, Timestamp};
use crate::engine::{
    BeginOutcome, CheckOutcome, CheckPermit, CheckResult, CheckStep, CheckStep::Decided, EndOutcome, Ending,
    LockoutRule, Policy, PossiblySent, ResumeOutcome, Salt, SendLimit, SendOptions, SendPermit, SendResult,
    SendRules, VerificationName, VerificationOptions,
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 2 * ProptestConfig::default().cases, ..ProptestConfig::default() })]

    /// Sends are settled at once here; a gateway's answers about codes come late, in any order, or never.
    #[test]
    fn without_a_fixed_lockout_every_answer_is_the_one_that_the_rules_say(
        policy in policy(),
        steps in proptest::collection::vec(step(), 1..100),
    ) {
        let (number, model) = (World::of_service(policy), Model::default());
        let mut run = Run { number, model, sent: Vec::new(), asked: Vec::new() };
        for step in steps {
            run.take(step)?;
        }
    }
}

type Checked = Result<(), TestCaseError>;

struct Run {
    number: World,
    model: Model,
    sent: Vec<SendPermit>,
    asked: Vec<CheckPermit>,
}

impl Run {
    fn take(&mut self, step: Step) -> Checked {
        match step {
            Step::Resume(..) | Step::CheckRight(..) if self.sent.is_empty() => {}
            Step::Hear(..) if self.asked.is_empty() => {}
            Step::Wait(by) => self.number.now = self.number.now.plus(by),
            Step::Crash => self.asked.clear(),
            Step::Begin(which, silent, result) => self.begin(which, silent, &result)?,
            Step::Resume(pick, result) => self.resume(pick, &result)?,
            Step::CheckRight(pick, by) => {
                let chosen = self.sent.len() - 1 - pick % self.sent.len();
                let code = self.number.code_of(&self.sent[chosen]);
                self.check(Some(&code), by)?;
            }
            Step::Guess(times, by, is_code) => {
                let code = is_code.then(other_code);
                for _ in 0..times {
                    self.check(code.as_ref(), by)?;
                }
            }
            Step::Hear(pick, result) => {
                let permit = self.asked.swap_remove(pick % self.asked.len());
                let expected = self.model.hear(&self.number.policy, self.number.now, &permit, result);
                prop_assert_eq!(self.number.check_reported(&permit, result), expected);
            }
            Step::End(ending) => {
                let expected = self.model.end(ending, self.number.now);
                let found = match self.number.ends(ending) {
                    EndOutcome::Ended(_) => Ok(true),
                    EndOutcome::NotFound => Ok(false),
                    EndOutcome::Busy => Err(()),
                };
                prop_assert_eq!(found, expected);
            }
        }
        Ok(())
    }

    fn begin(&mut self, which: Option<usize>, silent: bool, result: &SendResult) -> Checked {
        let (policy, now) = (self.number.policy, self.number.now);
        let brings = which.map(|which| Code::parse(BROUGHT[which]).expect("a code"));
        let expected = self.model.begin(&policy, now, brings.as_ref(), silent);
        let outcome = self.number.ask_for(VerificationOptions {
            supplied_code: brings.as_ref(),
            is_test: silent,
            is_carried: false,
        });
        let BeginOutcome::Permitted(permit) = outcome else {
            prop_assert_eq!(Some(outcome), expected);
            return Ok(());
        };
        prop_assert_eq!(expected, None);
        let code = self.number.code_of(&permit);
        if let Some(brings) = &brings {
            prop_assert_eq!(code.expose(), brings.expose());
        }
        let before = self.model.current.clone();
        let was_live = self.model.live(now).cloned();
        let repeats = self.model.begun(&policy, now, &permit, &code, brings.is_some());
        let known = self.model.current.clone().expect("it was begun");
        let told = permit.verification.counted.map(|counted| (counted.begun, counted.sends));
        prop_assert_eq!(told, Some((known.begun, known.messages)));
        prop_assert_eq!(permit.verification.expires, known.ends);
        if let Some(was) = &was_live {
            prop_assert_eq!(was.name, known.name, "a verification keeps its name");
            prop_assert_eq!(was.salt == known.salt, repeats);
            prop_assert!(!repeats || was.code == known.code);
        }
        // The code is right at once, unless a gateway holds another one until this message is accepted. A test number's
        // is right without a message.
        let copy = self.number.clone().submits(Some(&code), Some(known.name));
        prop_assert_eq!(copy == Decided(CheckOutcome::Approved), silent || !known.held);
        if silent {
            self.model.settled(&ACCEPTED, None, None);
        } else {
            self.number.settles(&permit, result);
            let counts = was_live.map_or((0, now), |was| (was.messages, was.asked_last));
            self.model.settled(result, before.filter(|_| !repeats), Some(counts));
        }
        self.sent.push(permit);
        Ok(())
    }

    fn resume(&mut self, pick: usize, result: &SendResult) -> Checked {
        let (salt, now) = (self.sent[pick % self.sent.len()].verification.salt, self.number.now);
        self.model.at(now);
        let usable = self.model.live(now).filter(|known| known.salt == salt && !known.used_up).cloned();
        let is_usable = usable.is_some();
        let prolonged = usable.and_then(|known| known.after_a_message(&self.number.policy, now));
        match self.number.resumes(salt) {
            ResumeOutcome::Permitted(permit) => {
                prop_assert!(self.model.asking_until.is_none());
                prop_assert_eq!(Some(permit.verification.expires), prolonged);
                self.number.settles(&permit, result);
                let known = self.model.current.as_mut().expect("it is usable");
                (known.postponed, known.ends) = (false, permit.verification.expires);
                self.model.settled(result, None, None);
            }
            ResumeOutcome::NotUsable => prop_assert_eq!(prolonged, None),
            ResumeOutcome::Busy => prop_assert!(is_usable && self.model.asking_until.is_some()),
        }
        Ok(())
    }

    fn check(&mut self, code: Option<&Code>, by: By) -> Checked {
        let name = named(by, &self.sent);
        let expected = self.model.check(&self.number.policy, self.number.now, code, name);
        let outcome = self.number.submits(code, name);
        if let CheckStep::AskGateway(permit) = outcome {
            self.asked.push(permit);
        }
        prop_assert_eq!(outcome, expected);
        Ok(())
    }
}

/// Codes that callers supply; for an outsider, some are as long as ours.
const BROUGHT: [&str; 3] = ["111111", "222222", "33333333"];

#[derive(Debug, Clone)]
enum Step {
    /// The place of the code that the caller brings, whether it is a test number's, and what becomes of the message.
    Begin(Option<usize>, bool, SendResult),
    Resume(usize, SendResult),
    /// The code of an earlier permit.
    CheckRight(usize, By),
    /// Several wrong codes, which a gateway may have made or not.
    Guess(u8, By, bool),
    Hear(usize, CheckResult),
    End(Ending),
    Wait(Duration),
    Crash,
}

/// The way in which a check names its verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Number,
    /// The last one.
    Name,
    /// An earlier one, or an unknown one.
    OtherName(usize),
}

fn by() -> impl Strategy<Value = By> {
    prop_oneof![5 => Just(By::Name), 4 => Just(By::Number), 1 => any::<usize>().prop_map(By::OtherName)]
}

fn wait() -> impl Strategy<Value = Duration> {
    prop_oneof![
        4 => (1_u64..15_000).prop_map(Duration::from_millis),
        4 => (1_u64..600).prop_map(Duration::from_secs),
        1 => (1_u64..120).prop_map(mins),
        1 => (20_u64..60).prop_map(|hours| mins(60 * hours)),
        1 => (25_u64..100).prop_map(|days| mins(24 * 60 * days)),
    ]
}

fn send_result() -> impl Strategy<Value = SendResult> {
    let unknown = |held| SendResult::Failed { may_have_been_sent: Some(PossiblySent { held }) };
    let rare = vec![POSTPONED, FAILED, unknown(None), unknown(Some(HOLDER))];
    prop_oneof![3 => Just(HELD), 2 => Just(ACCEPTED), 4 => select(rare)]
}

fn step() -> impl Strategy<Value = Step> {
    let begins = (proptest::option::weighted(0.2, 0..BROUGHT.len()), any::<bool>(), send_result());
    let rare = select(vec![CheckResult::NotLive, CheckResult::NotAsked, CheckResult::Unknown]);
    let heard = prop_oneof![2 => Just(CheckResult::Approved), 4 => Just(CheckResult::Wrong), 3 => rare];
    let ends =
        prop_oneof![6 => Just(Ending::Canceled), 1 => Just(Ending::Approved), 1 => Just(Ending::Cleared)];
    prop_oneof![
        8 => begins.prop_map(|(which, silent, result)| Step::Begin(which, silent && which.is_some(), result)),
        2 => (any::<usize>(), send_result()).prop_map(|(pick, result)| Step::Resume(pick, result)),
        3 => (0..3_usize, by()).prop_map(|(pick, by)| Step::CheckRight(pick, by)),
        6 => by().prop_map(|by| Step::Guess(1, by, true)),
        3 => (1_u8..40, by(), any::<bool>()).prop_map(|(times, by, is_code)| Step::Guess(times, by, is_code)),
        4 => (any::<usize>(), heard).prop_map(|(pick, result)| Step::Hear(pick, result)),
        2 => ends.prop_map(Step::End),
        6 => wait().prop_map(Step::Wait),
        1 => Just(Step::Crash),
    ]
}

/// The rules of a service without a fixed lockout.
fn policy() -> impl Strategy<Value = Policy> {
    let max = select(vec![1_u8, 3, 5, 60]);
    let sends = select(vec![None, Some(2), Some(5)]);
    let life = select(vec![mins(1), mins(10)]);
    (max, sends, any::<bool>(), any::<bool>(), life).prop_map(
        |(max_attempts, max, keeps_code, cools_down, life)| Policy {
            max_attempts,
            lockout: LockoutRule::Verification,
            code: SendOptions { life, length: CodeLength::SIX },
            sends: SendRules { max, keeps_code, cools_down },
        },
    )
}

/// The name in a check, after these permits.
fn named(by: By, permits: &[SendPermit]) -> Option<VerificationName> {
    let unknown = VerificationName::from_bits(1);
    match by {
        By::Number => None,
        By::Name => Some(permits.last().map_or(unknown, name_of)),
        By::OtherName(pick) if permits.is_empty() || pick % 4 == 0 => Some(unknown),
        By::OtherName(pick) => Some(name_of(&permits[pick % permits.len()])),
    }
}

// The model.

/// The open verification.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Known {
    salt: Salt,
    name: VerificationName,
    code: String,
    begun: Timestamp,
    ends: Timestamp,
    asked_last: Timestamp,
    messages: u8,
    wrong: u8,
    used_up: bool,
    ours_is_out: bool,
    held: bool,
    postponed: bool,
}

impl Known {
    /// When it ends after a further message with its code at `now`; `None` if no such message may leave.
    fn after_a_message(&self, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
        let life = u64::try_from(policy.code.life.as_millis()).expect("a life");
        // Half of the life is left, at most five minutes, even if the message takes all of its ten seconds.
        let (needed, twice) = (300_000.min(life / 2), self.begun.as_millis() + 2 * life);
        let end = twice.min(now.as_millis() + needed + 10_000).max(self.ends.as_millis());
        (end >= now.as_millis() + needed).then_some(Timestamp::from_millis(end))
    }
}

/// Wrong codes in a row. Ninety days after the last one they are forgotten. A hundred stop the number for thirty days,
/// and are fifty afterwards. Those that a success does not clear are forgotten one by one, each after 7.2 hours; more than
/// 99 of them stop the number, too.
#[derive(Default, Clone, Copy)]
struct InARow {
    wrong: u8,
    last: Option<Timestamp>,
    /// When the last of them is forgotten.
    forgotten: Timestamp,
}

const REMEMBERED: u64 = 25_920;

impl InARow {
    fn day(&self, days: u64) -> Option<Timestamp> {
        self.last.map(|last| last.plus(secs(days * 24 * 3600)))
    }

    fn at(&mut self, now: Timestamp) {
        if self.stop().is_some_and(|end| now >= end) {
            (self.wrong, self.forgotten) = (self.wrong.min(50), Timestamp::EPOCH);
        }
        if now >= self.forgotten {
            self.forgotten = Timestamp::EPOCH;
        }
        if self.day(90).is_some_and(|end| now >= end) {
            *self = Self::default();
        }
    }

    /// A right code.
    fn succeed(&mut self) {
        *self = Self { forgotten: self.forgotten, ..Self::default() };
    }

    fn count(&mut self, now: Timestamp) {
        let forgotten = self.forgotten.max(now).plus(secs(REMEMBERED));
        *self = Self { wrong: self.wrong + 1, last: Some(now), forgotten };
    }

    fn give_back(&mut self) {
        self.wrong = self.wrong.saturating_sub(1);
        let before = Timestamp::from_millis(self.forgotten.as_millis().saturating_sub(REMEMBERED * 1_000));
        self.forgotten = if self.last.is_none_or(|last| before > last) { before } else { Timestamp::EPOCH };
        if self.wrong == 0 {
            self.last = None;
        }
    }

    fn stop(&self) -> Option<Timestamp> {
        let remembers = |last: Timestamp| self.forgotten > last.plus(secs(99 * REMEMBERED));
        self.day(30).filter(|_| self.wrong == 100 || self.last.is_some_and(remembers))
    }
}

/// The memory of a number, in plain facts.
#[derive(Default, Clone)]
struct Model {
    in_a_row: InARow,
    current: Option<Known>,
    asking_until: Option<Timestamp>,
}

impl Model {
    fn at(&mut self, now: Timestamp) {
        if self.asking_until.is_some_and(|end| now >= end) {
            self.asking_until = None;
        }
        self.in_a_row.at(now);
    }

    fn live(&self, now: Timestamp) -> Option<&Known> {
        self.current.as_ref().filter(|known| now < known.ends)
    }

    fn succeed(&mut self) {
        self.in_a_row.succeed();
        *self = Self { in_a_row: self.in_a_row, ..Self::default() };
    }

    /// Why no message may be asked for, if so. The caller may bring a code. The messages of a test number do not count.
    fn begin(
        &mut self,
        policy: &Policy,
        now: Timestamp,
        brought: Option<&Code>,
        silent: bool,
    ) -> Option<BeginOutcome> {
        self.at(now);
        if self.asking_until.is_some() {
            return Some(BeginOutcome::Busy);
        }
        let used_up = self.live(now).filter(|known| known.used_up).map(|known| known.ends);
        if let Some(until) = used_up.max(self.in_a_row.stop()) {
            return Some(BeginOutcome::Limited(SendLimit::NoChecksLeft { until }));
        }
        let known = self.live(now).filter(|_| !silent)?;
        if policy.sends.max.is_some_and(|max| known.messages >= max) {
            return Some(BeginOutcome::Limited(SendLimit::NoSendsLeft { until: known.ends }));
        }
        let wait = match known.messages {
            1 => 30,
            2 => 60,
            3 => 120,
            _ => 300,
        };
        let until = known.asked_last.plus(secs(wait));
        if policy.sends.cools_down && now < until {
            return Some(BeginOutcome::Limited(SendLimit::CoolingDown { until }));
        }
        let is_old = Self::repeats(known, policy, brought) && known.after_a_message(policy, now).is_none();
        is_old.then_some(BeginOutcome::Limited(SendLimit::NoSendsLeft { until: known.ends }))
    }

    fn repeats(known: &Known, policy: &Policy, brought: Option<&Code>) -> bool {
        policy.sends.keeps_code && brought.is_none_or(|code| known.code == code.expose())
    }

    /// Records a permitted beginning. Returns whether the code must be the previous one.
    fn begun(
        &mut self,
        policy: &Policy,
        now: Timestamp,
        permit: &SendPermit,
        code: &Code,
        brings: bool,
    ) -> bool {
        let before = self.live(now).cloned();
        let brought = brings.then_some(code);
        let repeated = before.as_ref().filter(|known| Self::repeats(known, policy, brought));
        let prolonged = repeated.and_then(|known| known.after_a_message(policy, now));
        let repeated = repeated.filter(|_| prolonged.is_some());
        let (repeats, ends) = (repeated.is_some(), prolonged.unwrap_or(now.plus(policy.code.life)));
        let known = Known {
            salt: permit.verification.salt,
            name: name_of(permit),
            code: code.expose().to_owned(),
            begun: before.as_ref().map_or(now, |known| known.begun),
            ends,
            asked_last: now,
            messages: before.as_ref().map_or(0, |known| known.messages) + 1,
            wrong: before.as_ref().map_or(0, |known| known.wrong),
            used_up: false,
            ours_is_out: repeats && before.as_ref().is_some_and(|known| known.ours_is_out),
            held: repeats && before.as_ref().is_some_and(|known| known.held),
            postponed: repeats && before.as_ref().is_some_and(|known| known.postponed),
        };
        self.current = Some(known);
        repeats
    }

    /// Takes over the result of a send; `before` is the verification that it replaced, and `counts` are the messages before
    /// it and the time of the last one.
    fn settled(&mut self, result: &SendResult, before: Option<Known>, counts: Option<(u8, Timestamp)>) {
        let Some(known) = &mut self.current else { return };
        // The last accepted message decides which code is right; one that may have been sent only if there is none.
        let is_first = !known.ours_is_out && !known.held;
        match result {
            SendResult::Accepted { held: None, .. } => (known.ours_is_out, known.held) = (true, false),
            SendResult::Accepted { .. } => (known.ours_is_out, known.held) = (false, true),
            SendResult::Failed { may_have_been_sent: Some(PossiblySent { held: None }) } => {
                known.ours_is_out |= is_first;
            }
            SendResult::Failed { may_have_been_sent: Some(_) } => known.held |= is_first,
            SendResult::Postponed { .. } => known.postponed = true,
            SendResult::Failed { may_have_been_sent: None } => {
                (known.messages, known.asked_last) = counts.unwrap_or((known.messages, known.asked_last));
            }
        }
        if known.ours_is_out || known.held || known.postponed {
            return;
        }
        let failed = known.clone();
        self.current = before.map(|old| {
            // The previous code is valid again, and no count is forgotten.
            if old.name == failed.name {
                Known { messages: failed.messages, asked_last: failed.asked_last, ..old }
            } else {
                old
            }
        });
    }

    fn check(
        &mut self,
        policy: &Policy,
        now: Timestamp,
        code: Option<&Code>,
        name: Option<VerificationName>,
    ) -> CheckStep {
        self.at(now);
        if self.asking_until.is_some() {
            return CheckStep::Busy;
        }
        let is_meant = |known: &&Known| name.is_none_or(|name| name == known.name);
        let Some(known) = self.live(now).filter(is_meant).cloned() else {
            return Decided(CheckOutcome::NotFound);
        };
        if let Some(until) = known.used_up.then_some(known.ends).max(self.in_a_row.stop()) {
            return Decided(CheckOutcome::NoChecksLeft { until });
        }
        if code.is_some_and(|code| code.expose() == known.code) && !known.held {
            self.succeed();
            return Decided(CheckOutcome::Approved);
        }
        let left = self.count(policy, now);
        if known.held && code.is_some() {
            let until = now.plus(SEND_BUDGET);
            self.asking_until = Some(until);
            let held = HOLDER;
            return CheckStep::AskGateway(CheckPermit { salt: known.salt, held, until });
        }
        Decided(CheckOutcome::Wrong { attempts_left: left, live: true })
    }

    fn count(&mut self, policy: &Policy, now: Timestamp) -> u8 {
        self.in_a_row.count(now);
        let stopped = self.in_a_row.stop().is_some();
        let known = self.current.as_mut().expect("a verification");
        known.wrong += 1;
        known.used_up = stopped || known.wrong >= policy.max_attempts;
        Self::left(known, policy)
    }

    fn left(known: &Known, policy: &Policy) -> u8 {
        if known.used_up { 0 } else { policy.max_attempts - known.wrong }
    }

    fn hear(
        &mut self,
        policy: &Policy,
        now: Timestamp,
        permit: &CheckPermit,
        result: CheckResult,
    ) -> CheckOutcome {
        self.at(now);
        let is_open = self.asking_until == Some(permit.until);
        let Some(known) = self.current.as_mut().filter(|known| is_open && known.salt == permit.salt) else {
            let attempts_left = policy.max_attempts.saturating_sub(self.in_a_row.wrong);
            return match result {
                CheckResult::Wrong | CheckResult::NotLive => {
                    CheckOutcome::Wrong { attempts_left, live: false }
                }
                _ => CheckOutcome::GatewayFailed,
            };
        };
        self.asking_until = None;
        let attempts_left = Self::left(known, policy);
        match result {
            CheckResult::Approved => {
                self.in_a_row.give_back();
                self.succeed();
                CheckOutcome::Approved
            }
            CheckResult::NotAsked => {
                known.wrong -= 1;
                known.used_up = false;
                self.in_a_row.give_back();
                CheckOutcome::GatewayFailed
            }
            CheckResult::Unknown => CheckOutcome::GatewayFailed,
            CheckResult::Wrong => CheckOutcome::Wrong { attempts_left, live: true },
            CheckResult::NotLive => CheckOutcome::Wrong { attempts_left, live: known.ours_is_out },
        }
    }

    fn end(&mut self, ending: Ending, now: Timestamp) -> Result<bool, ()> {
        self.at(now);
        if self.asking_until.is_some() {
            return Err(());
        }
        let is_live = self.live(now).is_some();
        match ending {
            Ending::Cleared => *self = Self::default(),
            Ending::Erased => panic!("no step erases a number"),
            Ending::Approved if is_live => self.succeed(),
            Ending::Canceled if is_live => self.current = None,
            Ending::Approved | Ending::Canceled => return Ok(false),
        }
        Ok(true)
    }
}
