//! Gateways: results of sends, and answers about codes.

use onceward::delivery::{Delivered, Failure, PlanChange, PlannedMessage, Reason};
use onceward::domain::{Channel, GatewayName, Held, Timestamp};
use onceward::engine::{CheckResult, NumberState, PossiblySent, SendResult};
use onceward::verification::command::{Request, Sending};
use rand::RngExt;

use crate::facts::{Checked, End, Fact, Salted, Stage, What};
use crate::world::{AtGateway, HeldCode, Plan, World};

impl World {
    /// A message at a gateway gets its result.
    pub fn send_ends(&mut self) -> Checked {
        if self.sends.is_empty() {
            return Ok(());
        }
        let place = self.rng.random_range(0..self.sends.len());
        let AtGateway { shard, life, command, request: dispatch } = self.sends.swap_remove(place);
        if self.is_lost(shard, life) {
            drop(dispatch);
            return self.comes_out(shard);
        }
        let (permit, log) = (dispatch.permitted.permit, dispatch.permitted.log);
        let (salt, number) = (Salted(permit.verification.salt.0), self.commands[&command].number);
        let unusable = self.chance(50) && !self.is_usable(number, salt);
        let (end, sort) = if unusable {
            (SendResult::Failed { may_have_been_sent: None }, End::NoLongerUsable)
        } else {
            self.some_end(number, salt)
        };
        let plan = self.plan_after(sort, &dispatch);
        if matches!(plan, PlanChange::Set(_)) {
            self.plans.push(Plan { number, salt, log, expires: permit.verification.expires.as_millis() });
        }
        self.tally.count("command settle");
        self.tally.count(format!("send ends {sort:?}"));
        self.says(&[number], || {
            format!("[shard {shard}] number {number}: the send of command {command} ends: {end:?}")
        });
        let owner = self.owner(number);
        self.notes_now(owner, number, What::Command(command, Stage::SendEnded(sort)));
        let reason = match sort {
            End::NumberRefused => Some(Failure::BadNumber),
            End::Overloaded => Some(Failure::Overloaded),
            End::NoLongerUsable => Some(Failure::NoLongerUsable),
            End::Failed | End::MaybeOurs | End::MaybeHeld => Some(Failure::Gateway),
            End::Ours | End::Held | End::Postponed => None,
        };
        let allowance = Some(Vec::new());
        let delivered = Delivered { result: end, attempts: Vec::new(), plan, reason, allowance, parts: 1 };
        self.hands_over(Some(owner), command, Request::Settle(dispatch, delivered))
    }

    /// The plan after a send: a postponed one is repeated later, and one that may have left has a next step.
    fn plan_after(&mut self, sort: End, dispatch: &Sending) -> PlanChange {
        let may_go_on = matches!(sort, End::Ours | End::Held | End::MaybeOurs);
        if sort == End::Postponed || (may_go_on && self.chance(30)) {
            self.planned += 1;
            // Mostly in time, sometimes after its code has ended.
            let due = self.clock + self.rng.random_range(0..4_000);
            self.due.insert(self.planned, due);
            return PlanChange::Set(Box::new(PlannedMessage {
                salt: dispatch.permitted.permit.verification.salt,
                style: dispatch.outgoing.style.clone(),
                expires: dispatch.permitted.expires(),
                due: Timestamp::from_millis(due),
                channel: Channel::Call,
                reason: Reason::Retry { retries: self.planned },
                step: 0,
                is_sent: false,
                is_exempt: false,
                allowance: Some(Vec::new()),
            }));
        }
        match (sort, &dispatch.permitted.planned) {
            (End::NoLongerUsable | End::Overloaded, None) => PlanChange::Keep,
            (End::NoLongerUsable, _) => PlanChange::End(Some(Failure::NoLongerUsable)),
            (End::Failed | End::NumberRefused | End::Overloaded, _) => {
                PlanChange::End(Some(Failure::Gateway))
            }
            _ => PlanChange::End(None),
        }
    }

    /// A gateway answers a question about a code.
    pub fn gateway_says(&mut self) -> Checked {
        if self.checks.is_empty() {
            return Ok(());
        }
        let place = self.rng.random_range(0..self.checks.len());
        let AtGateway { shard, life, command, request: check } = self.checks.swap_remove(place);
        if self.is_lost(shard, life) {
            drop(check);
            return self.comes_out(shard);
        }
        let permit = check.permit;
        let result =
            self.check_result(Salted(permit.salt.0), check.check.code.as_ref().expect("a code").expose());
        self.tally.count("command settle_check");
        self.tally.count(format!("gateway says {result:?}"));
        let number = self.commands[&command].number;
        self.says(&[number], || {
            format!("[shard {shard}] number {number}: of command {command} a gateway says: {result:?}")
        });
        let owner = self.owner(number);
        self.notes_now(owner, number, What::Command(command, Stage::CheckEnded(result)));
        self.hands_over(Some(owner), command, Request::SettleCheck(check, Some(result)))
    }

    /// Whether a result reaches no shard: its shard failed, and no other is in its place.
    fn is_lost(&mut self, shard: usize, life: u32) -> bool {
        if life == self.shards[shard].life {
            return false;
        }
        let lost = self.chance(30);
        self.tally.count(if lost { "outcome lost in a restart" } else { "outcome for an earlier life" });
        lost
    }

    fn some_end(&mut self, number: usize, salt: Salted) -> (SendResult, End) {
        let message_id = "SM1".to_owned();
        let by = if self.chance(50) { GatewayName::TwilioVerify } else { GatewayName::Sinch };
        let holds = self.chance(self.setup.held) && !self.setup.calm;
        let held = holds.then_some(Held { by, channel: Channel::Sms });
        let (accepted, maybe) = if holds { (End::Held, End::MaybeHeld) } else { (End::Ours, End::MaybeOurs) };
        let failed = |may_have_been_sent| SendResult::Failed { may_have_been_sent };
        let (end, sort) = match self.rng.random_range(0..20) {
            0..12 => (SendResult::Accepted { message_id, held }, accepted),
            12..14 => (SendResult::Postponed { message_id, may_have_been_sent: None }, End::Postponed),
            14 => (failed(None), End::NumberRefused),
            15..17 => (failed(None), End::Failed),
            17..19 => (failed(Some(PossiblySent { held })), maybe),
            _ => (failed(None), End::Overloaded),
        };
        if matches!(sort, End::Held | End::MaybeHeld) {
            let code = format!("{:09}", self.rng.random_range(0..1_000_000_000));
            let code = self.held.entry(salt).or_insert(HeldCode { code, used: false }).code.clone();
            self.inbox.entry(number).or_default().push(code);
        }
        (end, sort)
    }

    fn check_result(&mut self, salt: Salted, code: &str) -> CheckResult {
        let chance = self.rng.random_range(0..100);
        match self.held.get_mut(&salt) {
            Some(held) if held.code == code && !held.used => {
                let result = match chance {
                    0..75 => CheckResult::Approved,
                    75..83 => CheckResult::NotAsked,
                    83..95 => CheckResult::Unknown,
                    _ => CheckResult::NotLive,
                };
                // The code may be used after an unknown result.
                held.used =
                    result == CheckResult::Approved || (result == CheckResult::Unknown && chance % 2 == 0);
                result
            }
            _ => match chance {
                0..60 => CheckResult::Wrong,
                60..75 => CheckResult::NotLive,
                75..88 => CheckResult::NotAsked,
                _ => CheckResult::Unknown,
            },
        }
    }

    pub fn is_asked_about_a_code(&mut self) {
        let number = self.any_number();
        let Some(salts) = self.salts.get(&number) else { return };
        let salt = salts[self.rng.random_range(0..salts.len())];
        self.is_usable(number, salt);
    }

    /// The answer of the number's owner. One that waits for the store is as good as none: it would be refused too.
    fn is_usable(&mut self, number: usize, salt: Salted) -> bool {
        let shard = self.owner(number);
        if self.shards[shard].commit.is_some() || self.shards[shard].has_decided() {
            return true;
        }
        // A question about records is no input of the core, which does not note its time.
        let at = self.shards[shard].seen.max(self.clock);
        let now = Timestamp::from_millis(at);
        let state: Option<NumberState> = self.shards[shard].core.tables().get(&self.record_key(number), now);
        let verification = state.and_then(|state| state.at(self.setup.policy(number), now).verification());
        let said = verification.is_some_and(|v| v.is_live(now) && v.salt.0 == salt.0);
        self.tally.count(if said { "usable yes" } else { "usable no" });
        let (call, refuses, what) = (self.event(), self.refuses(shard), What::Usable { salt, said });
        self.notes(Fact { call, number, shard, at, refuses, what });
        said
    }
}
