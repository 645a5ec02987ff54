//! The codes of one number: who may have each, and whether it may still be right.

use std::collections::BTreeSet;

use crate::count::Rules;
use crate::facts::{Checked, End, Salted};

/// The code of one verification.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "what may have happened to a code, each for itself")]
pub struct Known {
    pub salt: Salted,
    pub code: String,
    expires: u64,
    /// Its end if a send that was answered 503 became durable.
    may_expire: u64,
    /// Its end if a send was decided that has not left: its commit took too long, and it is decided again.
    may_last: u64,
    /// The ends that no planned message changes: one life of the service after those that requested messages gave.
    last: BTreeSet<u64>,
    dispatches: u32,
    /// Dispatches that are counted but not yet processed.
    announced: u32,
    /// Sends whose clients learned that nothing was sent.
    came_to_nothing: u32,
    /// Sends with a result.
    ended: u32,
    may_be_withdrawn: bool,
    /// Withdrawn while memory may have had less than the disk: a lockout that was answered 503 had removed it.
    withdrawn_in_doubt: bool,
    /// Sends whose clients learned that a gateway sent its own code.
    were_held: u32,
    /// A further message with our code may be decided: from then on ours may have left.
    may_leave: bool,
    /// The code of the last accepted message, if a client learned of it.
    reported: Option<Maker>,
    /// Why it must never be right again.
    void: Option<&'static str>,
    /// Something has happened since then with an unknown end.
    in_doubt: bool,
    /// Sends of it may have been decided that never left and will never be settled.
    may_have_unsettled_sends: bool,
    /// Its number was read from the disk again, which may not have its acceptance: that is a lazy change.
    may_be_unaccepted: bool,
}

/// Who made a code. Of one verification only the code of the last accepted message is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    Ours,
    Gateway,
}

const WITHDRAWN: &str = "was withdrawn";

/// A code that must work: a client got "sent", and nothing can have changed it since.
#[derive(Debug, Clone)]
pub struct RequiredCode {
    pub salt: Salted,
    /// Our code, if a gateway does not hold the right one.
    pub ours: Option<String>,
    pub expires: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Codes {
    /// In the order of their first dispatch.
    known: Vec<Known>,
    pub required: Option<RequiredCode>,
    /// A send that never left may have been decided: the next code may be the one that it made.
    next_may_be_unsettled: bool,
}

impl Codes {
    pub fn is_of_this_number(&self, code: Option<&str>) -> bool {
        self.known.iter().any(|known| Some(known.code.as_str()) == code)
    }

    fn place(&self, salt: &Salted) -> Option<usize> {
        self.known.iter().position(|known| known.salt == *salt)
    }

    fn known_by(&mut self, salt: &Salted) -> Option<&mut Known> {
        self.known.iter_mut().find(|known| known.salt == *salt)
    }

    /// A message leaves together with the fact that is processed next.
    pub fn leaves_too(&mut self, salt: &Salted) {
        if let Some(known) = self.known_by(salt) {
            known.dispatches += 1;
            known.announced += 1;
        }
    }

    /// The end of a code for which a message leaves, as the message says it: `expires`. By the older routes each message
    /// restarts the life. `life` is what the message was requested with; `None` for a planned one.
    pub fn lasts(
        &mut self,
        salt: &Salted,
        expires: u64,
        life: Option<u64>,
        [earliest, latest]: [u64; 2],
        rules: &Rules,
    ) -> Checked {
        let Some(known) = self.known_by(salt) else { return Ok(()) };
        if life.is_some() {
            known.last.insert(expires + rules.life);
        }
        if expires < earliest + life.unwrap_or(rules.needed()) {
            return Err(format!("a message left whose code ends at {expires}, too soon"));
        }
        let end = rules.planned_end(latest, known.last.last().copied().unwrap_or_default());
        if life.is_none() && expires > known.may_expire.max(end) {
            return Err(format!("a planned message prolonged its code to {expires}, beyond {end}"));
        }
        Ok(())
    }

    /// The latest ends that planned messages can give a code.
    pub fn last(&self, salt: &Salted) -> BTreeSet<u64> {
        self.place(salt).map(|place| self.known[place].last.clone()).unwrap_or_default()
    }

    /// A planned message may be decided, which prolongs its code.
    pub fn may_be_prolonged(&mut self, salt: &Salted, now: u64, rules: &Rules) {
        if let Some(known) = self.known_by(salt) {
            let last = known.last.last().copied().unwrap_or_default();
            known.may_expire = known.may_expire.max(rules.planned_end(now, last));
        }
    }

    pub fn dispatched(&mut self, salt: Salted, code: &str, expires: u64, now: u64) -> Checked {
        let place = self.place(&salt).unwrap_or_else(|| {
            let (code, may_have_unsettled_sends) = (code.to_owned(), self.next_may_be_unsettled);
            self.known.push(Known { salt, code, may_have_unsettled_sends, ..Known::default() });
            self.known.len() - 1
        });
        let known = &mut self.known[place];
        if known.announced > 0 {
            known.announced -= 1;
        } else {
            known.dispatches += 1;
        }
        known.expires = known.expires.max(expires);
        known.may_expire = known.may_expire.max(known.expires);
        if let Some(why) = known.void {
            return Err(format!("a message left with a code that {why}"));
        }
        if now >= known.expires {
            return Err("a message left with a code that had expired".to_owned());
        }
        Ok(())
    }

    /// The client of a send got its result.
    pub fn reported(&mut self, salt: &Salted, end: End, now: u64) {
        let Some(place) = self.place(salt) else { return };
        let later = self.known[place + 1..].iter().any(|known| known.void != Some(WITHDRAWN));
        let known = &mut self.known[place];
        // A result is not remembered for a replaced code, which may return as it was then.
        known.may_have_unsettled_sends |= later;
        known.in_doubt |= later;
        known.ended += 1;
        match end {
            End::Nothing => {
                known.came_to_nothing += 1;
                // Nothing is written for an expired record, and a clock that is set back before a start restores it,
                // with a send that will never be settled.
                let noted = now < known.expires && !later;
                known.may_be_withdrawn = noted;
                known.may_have_unsettled_sends |= !noted;
            }
            End::Held | End::MaybeHeld => known.were_held += 1,
            End::Ours | End::Postponed | End::MaybeOurs => {}
        }
        self.may_be_held(place, end);
    }

    /// A message that may have left does not replace the code of an accepted one, unless the acceptance is lost.
    fn may_be_held(&mut self, place: usize, end: End) {
        let known = &mut self.known[place];
        if end == End::MaybeHeld && known.may_be_unaccepted {
            known.in_doubt = true;
            self.required.take_if(|code| code.salt == known.salt);
        }
    }

    /// All concurrent facts are processed. Withdraws a code if every send of it came to nothing.
    pub fn withdraw(&mut self) {
        for place in 0..self.known.len() {
            let known = &mut self.known[place];
            let may_have_others = known.may_have_unsettled_sends || known.may_leave;
            let all = known.came_to_nothing == known.dispatches && !may_have_others;
            if std::mem::take(&mut known.may_be_withdrawn) && all {
                known.void = known.void.or(Some(WITHDRAWN));
                known.withdrawn_in_doubt = known.in_doubt;
                // The previous code returns, unless several failing sends were in flight: only the permit of a code's
                // first send names the code that it replaced.
                if known.dispatches > 1
                    || place.checked_sub(1).is_some_and(|before| self.known[before].void == Some(WITHDRAWN))
                {
                    for earlier in &mut self.known[..place] {
                        earlier.in_doubt = true;
                    }
                }
            }
        }
    }

    /// A send that repeats a code until then may be decided.
    pub fn may_last(&mut self, expires: u64) {
        for known in &mut self.known {
            known.may_last = known.may_last.max(expires);
        }
    }

    /// A planned message with our code may be decided.
    pub fn may_leave(&mut self, salt: &Salted) {
        if let Some(known) = self.known_by(salt) {
            known.may_leave = true;
        }
    }

    /// A further message with an unknown code may be decided.
    pub fn any_may_leave(&mut self) {
        for known in self.known.iter_mut().filter(|known| known.void.is_none()) {
            known.may_leave = true;
        }
    }

    /// An expired code need not work again: a clock that is set back before a start restores it only if nothing was
    /// written meanwhile.
    pub fn ended(&mut self, now: u64) {
        for known in self.known.iter_mut().filter(|known| now >= known.expires) {
            known.in_doubt = true;
        }
        self.required.take_if(|code| now >= code.expires);
    }

    /// The client of a send got "sent": the earlier codes are replaced.
    pub fn replaced_before(&mut self, salt: &Salted) {
        let Some(place) = self.place(salt) else { return };
        for known in &mut self.known[..place] {
            known.void = known.void.or(Some("was replaced"));
        }
    }

    /// The client of a send got "sent". Nothing more is written for an expired code, and a clock that is set back
    /// before a start restores it as it was.
    pub fn reported_sent(&mut self, salt: &Salted, by: Maker, now: u64) {
        let Some(known) = self.known_by(salt) else { return };
        if now >= known.expires {
            known.in_doubt = true;
        } else {
            known.reported = Some(by);
            known.may_be_unaccepted = false;
        }
    }

    /// A planned send ended, and its result may not be on the disk. If its message has another code than the one that
    /// clients know of, either may be right.
    pub fn followed(&mut self, salt: &Salted, end: End, by: Option<Maker>) {
        let Some(place) = self.place(salt) else { return };
        self.may_be_held(place, end);
        let known = &mut self.known[place];
        known.ended += 1;
        if by.is_some() && by != known.reported {
            known.in_doubt = true;
            self.required.take_if(|code| code.salt == *salt);
        }
    }

    /// A gateway is asked about a code: the right one must not be ours.
    pub fn consulted(&self) -> Checked {
        match &self.required {
            Some(RequiredCode { ours: Some(_), .. }) => {
                Err("a gateway is asked about a code that ours has replaced".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Nothing is in flight: from now on the last code that was not withdrawn must work, if a client learned that it
    /// was sent.
    pub fn require_last(&mut self) {
        self.required = self
            .known
            .iter()
            .rfind(|known| known.void != Some(WITHDRAWN))
            .filter(|known| known.void.is_none() && !known.in_doubt)
            .and_then(|known| Some((known, known.reported?)))
            .map(|(known, by)| RequiredCode {
                salt: known.salt,
                ours: (by == Maker::Ours).then(|| known.code.clone()),
                expires: known.expires,
            });
    }

    /// The results of these codes' sends may have arrived after a newer code replaced them, whose message never left:
    /// the last of them returns as it was before.
    pub fn may_have_missed(&mut self, salts: &[Salted]) {
        for known in self.known.iter_mut().filter(|known| salts.contains(&known.salt)) {
            known.in_doubt = true;
            known.may_have_unsettled_sends = true;
            if known.void == Some(WITHDRAWN) {
                known.void = None;
            }
        }
    }

    /// A lockout may have voided the codes.
    pub fn may_be_locked(&mut self) {
        self.required = None;
        for known in &mut self.known {
            known.reported = None;
        }
    }

    /// A send was decided and may be durable: it may have extended a code.
    pub fn may_end(&mut self, expires: u64) {
        for known in &mut self.known {
            known.may_expire = known.may_expire.max(expires);
            known.may_have_unsettled_sends = true;
        }
        self.next_may_be_unsettled = true;
    }

    /// The disk decides from now on. Results for a code that arrived after its replacement were only in memory.
    pub fn reloaded(&mut self) {
        let last = self.known.iter().rposition(|known| known.void != Some(WITHDRAWN));
        for known in self.known.iter_mut().take(last.unwrap_or(0)) {
            known.in_doubt = true;
            if known.void == Some(WITHDRAWN) {
                known.void = None;
            }
        }
        for known in &mut self.known {
            known.may_be_unaccepted = true;
            known.expires = known.may_expire;
            if known.void == Some(WITHDRAWN) && known.withdrawn_in_doubt {
                known.void = None;
                known.in_doubt = true;
            }
        }
    }

    /// A decision may be durable or not.
    pub fn in_doubt(&mut self) {
        self.required = None;
        for known in &mut self.known {
            known.in_doubt = true;
        }
    }

    pub fn all_void(&mut self, why: &'static str) {
        self.required = None;
        self.next_may_be_unsettled = false;
        for known in &mut self.known {
            known.void = known.void.or(Some(why));
        }
    }

    /// The shard approved a submitted code without asking a gateway.
    pub fn approved_ours(&mut self, code: Option<&str>, now: u64) -> Checked {
        let same = self.known.iter().filter(|known| Some(known.code.as_str()) == code);
        let mut why = "was never sent";
        let mut fits = false;
        let held = self.required.as_ref().filter(|code| code.ours.is_none()).map(|code| code.salt);
        for known in same {
            let may_be_on_its_way = known.may_leave || known.may_have_unsettled_sends;
            match known.void {
                Some(reason) => why = reason,
                None if now >= known.expires.max(known.may_last) => why = "had expired",
                None if may_be_on_its_way => fits = true,
                None if known.were_held == known.dispatches => why = "no message carried",
                None if held == Some(known.salt) && known.ended == known.dispatches => {
                    why = "a gateway's code had replaced";
                }
                None => fits = true,
            }
        }
        self.all_void("was used");
        if fits { Ok(()) } else { Err(format!("a code was approved that {why}")) }
    }

    /// A gateway approved the code that it holds.
    pub fn approved_held(&mut self, salt: &Salted) -> Checked {
        let why = self.place(salt).and_then(|place| self.known[place].void);
        self.all_void("was used");
        why.map_or(Ok(()), |why| Err(format!("a verification was approved that {why}")))
    }

    /// Delivery learned whether a code is usable. A `planned` message needs one that can live long enough.
    pub fn said_usable(&self, salt: &Salted, said: bool, planned: Option<&Rules>, now: u64) -> Checked {
        let Some(known) = self.place(salt).map(|place| &self.known[place]) else { return Ok(()) };
        let lives_long_enough = planned.is_none_or(|rules| {
            let last = known.last.first().copied().unwrap_or_default();
            known.expires.max(rules.planned_end(now, last)) >= now + rules.needed()
        });
        if said {
            if let Some(why) = known.void {
                return Err(format!("a code is called usable that {why}"));
            }
            if now >= known.expires.max(known.may_last) {
                return Err("a code is called usable that has expired".to_owned());
            }
        } else if lives_long_enough
            && self.required.as_ref().is_some_and(|code| code.salt == *salt && now < code.expires)
        {
            return Err("a code that was sent and can be used is called unusable".to_owned());
        }
        Ok(())
    }
}
