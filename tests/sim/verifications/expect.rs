//! Whether the shard's output is allowed.

use std::collections::BTreeMap;

use onceward::domain::Timestamp;
use onceward::verification::numbers::command::Sending;

use super::World;
use super::belief::{Belief, Over};
use super::client::{ClientCommand, ClientReply, Open};
use crate::facts::Checked;
use crate::setup::server_key;

impl World {
    /// A message may leave only for a usable code that the disk has.
    pub fn leaves(&mut self, dispatch: Sending) -> Checked {
        let (key, permit) = (dispatch.outgoing.key, dispatch.permitted.permit);
        let kept = self.durable(key).verification();
        let now = Timestamp::from_millis(self.clock);
        if !kept.is_some_and(|v| v.salt == permit.verification.salt && v.is_live(now)) {
            return Err(format!(
                "a message left for a code that the disk does not have, or that is over: {kept:?}"
            ));
        }
        let number = self.numbers.iter().position(|known| *known == key).expect("a number of this world");
        let code = permit.verification.code_seed(key.service, key.number).code(&server_key());
        let belief = of(&mut self.beliefs, number, permit.verification.salt.id());
        code.expose().clone_into(&mut belief.code);
        // A new code lives longer. If it reaches no person, the first is valid again, for no longer than before.
        if belief.messages == 0 {
            belief.expires = permit.verification.expires.as_millis();
        }
        belief.messages += 1;
        if self.policy.sends.max.is_some_and(|max| belief.messages > max) {
            return Err(format!("{} messages of one verification", belief.messages));
        }
        if belief.over == Over::Yes {
            return Err("a message left for a verification that is over".to_owned());
        }
        if let Some(open) = self.open_of(&dispatch.outgoing.style) {
            (open.left, open.in_vain) = (true, None);
        }
        *self.tally.entry("message").or_default() += 1;
        self.sends.push(dispatch);
        Ok(())
    }

    pub fn check_reply(&mut self, open: &Open, reply: &ClientReply) -> Checked {
        let (checks, keeps, at) = (self.policy.max_attempts, self.policy.sends.keeps_code, open.at);
        *self.tally.entry(reply.name(open.command)).or_default() += 1;
        let now = self.clock;
        let (number, beliefs) = (open.number, &mut self.beliefs);
        match (open.command, reply) {
            (ClientCommand::Begin, ClientReply::Sent(id)) => of(beliefs, number, *id).told = true,
            // Its message never left, because its code had become useless. If the message had a new code, the
            // verification may end.
            (ClientCommand::Begin, ClientReply::Nothing(Some(id))) if !open.left && !keeps => {
                of(beliefs, number, *id).doubted();
            }
            // The disk may or may not have the end of its message; the valid code is equally unknown.
            (ClientCommand::Begin, ClientReply::Failed) if !keeps => {
                if let Some(id) = open.in_vain {
                    of(beliefs, number, id).doubted();
                } else if !open.left {
                    beliefs.values_mut().filter(|belief| belief.number == number).for_each(Belief::doubted);
                }
            }
            (ClientCommand::Begin, _)
            | (_, ClientReply::Busy | ClientReply::Nothing(_))
            | (ClientCommand::Check { named: None, .. }, ClientReply::Refused | ClientReply::NotFound) => {}
            (ClientCommand::Check { named, right }, ClientReply::Approved(id)) => {
                if named.is_some_and(|named| named != *id) || right != Some(*id) {
                    return Err(format!("{id:x} was approved"));
                }
                of(beliefs, number, *id).approved(checks)?;
            }
            (ClientCommand::Check { right, .. }, ClientReply::Wrong(id)) => {
                let belief = of(beliefs, number, *id);
                belief.wrong(checks)?;
                if right == Some(*id) && keeps && belief.is_good(checks, now) {
                    return Err("a right code is wrong".to_owned());
                }
            }
            (ClientCommand::Check { named: Some(named), .. }, ClientReply::Refused) => {
                let belief = of(beliefs, number, named);
                // A wrong code by number that was answered 503 may count for any of its verifications.
                let unattributed = self.unattributed.get(&number).copied().unwrap_or_default();
                if belief.is_known(now)
                    && (belief.wrong + belief.perhaps_wrong).saturating_add(unattributed) < checks
                {
                    return Err("a client that names it was refused".to_owned());
                }
            }
            (
                ClientCommand::Check { named: Some(id), .. } | ClientCommand::Cancel(id),
                ClientReply::NotFound,
            ) => {
                if of(beliefs, number, id).is_known(now.max(at)) {
                    return Err(format!("{id:x} is not found"));
                }
            }
            (ClientCommand::Check { named, right }, ClientReply::Failed) => {
                if let Some(id) = right {
                    of(beliefs, number, id).doubted();
                }
                if let Some(id) = named {
                    of(beliefs, number, id).perhaps_wrong += 1;
                } else {
                    let unattributed = self.unattributed.entry(number).or_default();
                    *unattributed = unattributed.saturating_add(1);
                }
            }
            (ClientCommand::Cancel(id), ClientReply::Failed) => of(beliefs, number, id).doubted(),
            (ClientCommand::Cancel(id), ClientReply::Canceled) => {
                let belief = of(beliefs, number, id);
                if belief.over == Over::Yes {
                    return Err("canceled after its end".to_owned());
                }
                belief.over = Over::Yes;
            }
            (command, reply) => return Err(format!("{command:x?} was told {reply:x?}")),
        }
        Ok(())
    }
}

/// A verification that a client knows. Its message may have been too late to leave.
fn of(beliefs: &mut BTreeMap<u64, Belief>, number: usize, id: u64) -> &mut Belief {
    beliefs.entry(id).or_insert_with(|| Belief { number, ..Belief::default() })
}
