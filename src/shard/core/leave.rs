//! How a decision leaves: as an answer, as a send, or as a question.

use super::Core;
use crate::delivery::Purpose;
use crate::delivery::tracker::{Due, Parcel};
use crate::domain::Timestamp;
use crate::engine::{CheckPermit, CheckResult, SendResult};
use crate::shard::command::{
    Ask, Caller, CheckCommand, CheckDecision, Command, CommandKind, Dispatch, FollowedUp, NumberKey,
    ResumeCommand, ResumeDecision, SendCommand, SendDecision, SettleCheckCommand, SettleCommand,
};
use crate::shard::{Facts, Refusal, SendAnswer, Told};

impl Core {
    /// Lets a decision leave.
    pub(super) fn finish(&mut self, command: Command, now: Timestamp) {
        let key = command.key;
        match command.kind {
            CommandKind::Send(send) => self.finish_send(key, send, now),
            CommandKind::Resume(resume) => self.finish_resume(key, resume, now),
            CommandKind::Check(check) => self.finish_check(key, check, now),
            CommandKind::Settle(settle) => {
                self.loads.unqueue(key, true);
                let answer = settle.decided.unwrap_or(Err(Refusal::StoreUnavailable));
                settle.caller.answer(&settle.result, answer);
            }
            CommandKind::End(ending) => {
                self.loads.unqueue(key, true);
                ending.reply.send(match ending.decided {
                    Some((told, note)) => {
                        self.notes.extend(note);
                        Ok(told)
                    }
                    None => Err(Refusal::StoreUnavailable),
                });
            }
            CommandKind::SettleCheck(settle) => {
                self.loads.unqueue(key, true);
                settle.reply.send(match settle.decided {
                    Some((answer, note)) => {
                        self.notes.push(note);
                        Ok(answer)
                    }
                    None => Err(Refusal::StoreUnavailable),
                });
            }
        }
    }

    fn finish_send(&mut self, key: NumberKey, send: SendCommand, now: Timestamp) {
        let SendCommand { channel, style, reply, decided, options: _, begin: _ } = send;
        match decided {
            Some(SendDecision::Permitted(permit)) => {
                let (purpose, caller) = (Purpose::Request, Caller::Client(reply));
                self.dispatch(Dispatch { key, permit, channel, style, purpose, caller }, now);
            }
            Some(SendDecision::Locked { remaining }) => {
                self.loads.unqueue(key, true);
                reply.send(Ok(SendAnswer::Locked { remaining }.into()));
            }
            Some(SendDecision::Limited(limit, facts)) => {
                self.loads.unqueue(key, true);
                reply.send(Ok(Told::limit(limit).about(facts)));
            }
            Some(SendDecision::Silent(permit)) => {
                self.loads.unqueue(key, true);
                let policy = self.judge.policies.of(key.service);
                let answer = SendAnswer::Sent {
                    attempts_left: policy.max_attempts,
                    message_id: format!("test-{:016x}", permit.salt.track()),
                    postponed: false,
                };
                reply.send(Ok(Told::from(answer).about(Some(Facts::of_permit(&permit, &policy)))));
            }
            None => self.loads.unqueue(key, true),
        }
    }

    fn finish_resume(&mut self, key: NumberKey, resume: ResumeCommand, now: Timestamp) {
        let ResumeCommand { due, reply, decided } = resume;
        match decided {
            Some(ResumeDecision::Permitted(permit)) => {
                let Due { about: Parcel { style, .. }, follow_up } = *due;
                let channel = follow_up.channel;
                let (purpose, caller) = (Purpose::FollowUp(follow_up), Caller::FollowUp(reply));
                self.dispatch(Dispatch { key, permit, channel, style, purpose, caller }, now);
            }
            Some(ResumeDecision::NotUsable) => {
                self.loads.unqueue(key, true);
                reply.send(Ok(FollowedUp::NotUsable));
            }
            None => self.loads.unqueue(key, true),
        }
    }

    /// Hands a message to delivery, unless a later command of the same batch made its code useless.
    fn dispatch(&mut self, mut send: Dispatch, now: Timestamp) {
        let key = send.key;
        if let Some(live) = self.live(&key, now).filter(|live| live.salt == send.permit.salt) {
            self.loads.unqueue(key, false);
            // A later command of the batch may have prolonged its life, and the message says how long it is.
            send.permit.expires = live.expires;
            self.dispatches.push(send);
        } else {
            let Dispatch { permit, caller, .. } = send;
            let settle = SettleCommand {
                permit,
                result: SendResult::NoLongerUsable,
                trouble: None,
                caller,
                decided: None,
            };
            self.waiting.push(Command::new(key, CommandKind::Settle(settle)));
        }
    }

    fn finish_check(&mut self, key: NumberKey, check: CheckCommand, now: Timestamp) {
        let CheckCommand { code, reply, decided, named: _, is_test: _ } = check;
        match (decided, code) {
            (Some(CheckDecision::Answer(answer, note)), _) => {
                self.loads.unqueue(key, true);
                self.notes.extend(note);
                reply.send(Ok(answer));
            }
            (Some(CheckDecision::Ask(permit)), Some(code)) if self.is_open(&key, &permit, now) => {
                self.loads.unqueue(key, false);
                self.asks.push(Ask { key, permit, code, reply });
            }
            (Some(CheckDecision::Ask(permit)), _) => {
                // The commit took longer than the asking may: nobody would believe the answer.
                let result = CheckResult::NotAsked;
                let settle = SettleCheckCommand { permit, result, reply, decided: None };
                self.waiting.push(Command::new(key, CommandKind::SettleCheck(settle)));
            }
            (None, _) => {
                self.loads.unqueue(key, true);
                reply.send(Err(Refusal::StoreUnavailable));
            }
        }
    }

    /// Whether the gateway may still be asked.
    fn is_open(&self, key: &NumberKey, permit: &CheckPermit, now: Timestamp) -> bool {
        let current = self.table.entry(key).state.at(now).verification();
        current
            .is_some_and(|v| v.salt == permit.salt && v.checking_until == permit.until && v.is_checking(now))
    }

    pub(super) fn refuse(&mut self, command: Command, refusal: Refusal) {
        self.loads.unqueue(command.key, true);
        refuse(command.kind, refusal);
    }
}

/// Tells whoever waits that nothing was decided.
pub fn refuse(kind: CommandKind, refusal: Refusal) {
    match kind {
        CommandKind::Send(send) => send.reply.send(Err(refusal)),
        CommandKind::Resume(resume) => resume.reply.send(Err(refusal)),
        CommandKind::Check(check) => check.reply.send(Err(refusal)),
        CommandKind::End(ending) => ending.reply.send(Err(refusal)),
        CommandKind::Settle(settle) => settle.caller.answer(&settle.result, Err(refusal)),
        CommandKind::SettleCheck(settle) => settle.reply.send(Err(refusal)),
    }
}
