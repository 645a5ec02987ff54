//! Every code of one number: who may have it, and whether it may still be right.

use crate::facts::{End, Salted};

/// One verification's own code.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "what may have happened to a code, each for itself")]
pub struct Known {
    pub salt: Salted,
    pub code: String,
    expires: u64,
    /// When it ends if a send that was answered 503 became durable all the same.
    may_expire: u64,
    dispatches: u32,
    /// Those of them that are counted already and not looked at yet.
    announced: u32,
    /// Sends of which the client was told that nothing was sent.
    came_to_nothing: u32,
    may_be_withdrawn: bool,
    /// It was withdrawn when memory may have had less than the disk: a lockout that was answered 503 had taken it away.
    withdrawn_in_doubt: bool,
    /// Sends of which the client was told that a gateway's own code was.
    were_held: u32,
    /// A further message with our code may be decided: from then on ours may be out.
    may_leave: bool,
    /// Whether a client was told that it was sent, and that a gateway's own code was.
    told: ClaimedCodes,
    /// Why it must never be right again.
    void: Option<&'static str>,
    /// Something happened since whose end is unknown.
    in_doubt: bool,
    /// Sends of it may have been decided that never left, and that will never be settled.
    has_ghosts: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct ClaimedCodes {
    ours: bool,
    held: bool,
}

/// A withdrawn code is no code any more.
const WITHDRAWN: &str = "was withdrawn";

/// A code that has to work: a client was told "sent", and nothing since may have changed it.
#[derive(Debug, Clone)]
pub struct Firm {
    pub salt: Salted,
    /// Our code, unless only a gateway's own was sent.
    pub ours: Option<String>,
    /// Whether a gateway has one of its own.
    pub held: bool,
    pub expires: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Codes {
    /// In the order in which they were first handed over.
    known: Vec<Known>,
    pub firm: Option<Firm>,
    /// A send was decided, perhaps, that never left: the next code may be the one that it made.
    ghost: bool,
}

impl Codes {
    pub fn is_of_this_number(&self, code: Option<&str>) -> bool {
        self.known.iter().any(|known| Some(known.code.as_str()) == code)
    }

    fn place(&self, salt: &Salted) -> Option<usize> {
        self.known.iter().position(|known| known.salt == *salt)
    }

    /// A message leaves at the same time as what is looked at next.
    pub fn leaves_too(&mut self, salt: &Salted) {
        if let Some(place) = self.place(salt) {
            self.known[place].dispatches += 1;
            self.known[place].announced += 1;
        }
    }

    pub fn dispatched(&mut self, salt: Salted, code: &str, expires: u64, now: u64) -> Result<(), String> {
        let place = self.place(&salt).unwrap_or_else(|| {
            let code = code.to_owned();
            let known = Known {
                salt,
                code,
                expires,
                may_expire: expires,
                dispatches: 0,
                announced: 0,
                came_to_nothing: 0,
                may_be_withdrawn: false,
                withdrawn_in_doubt: false,
                were_held: 0,
                may_leave: false,
                told: ClaimedCodes::default(),
                void: None,
                in_doubt: false,
                has_ghosts: self.ghost,
            };
            self.known.push(known);
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

    /// The client of a send was told how it ended.
    pub fn told(&mut self, salt: &Salted, end: End, now: u64) {
        let Some(place) = self.place(salt) else { return };
        let later = self.known[place + 1..].iter().any(|known| known.void != Some(WITHDRAWN));
        let known = &mut self.known[place];
        // What is said of a code that was replaced is not remembered: it may come back as it was then.
        known.has_ghosts |= later;
        known.in_doubt |= later;
        match end {
            End::Nothing => {
                known.came_to_nothing += 1;
                // Of a record that has ended nothing is written, and a clock that is set back before a start
                // brings it back, with a send that will never be settled.
                let noted = now < known.expires && !later;
                known.may_be_withdrawn = noted;
                known.has_ghosts |= !noted;
            }
            End::Held | End::MaybeHeld => known.were_held += 1,
            End::Ours | End::Postponed | End::MaybeOurs => {}
        }
    }

    /// All that was seen at once has been looked at. A code of which every send came to nothing is withdrawn.
    pub fn withdraw(&mut self) {
        for place in 0..self.known.len() {
            let known = &mut self.known[place];
            let all = known.came_to_nothing == known.dispatches && !known.has_ghosts;
            if std::mem::take(&mut known.may_be_withdrawn) && all {
                known.void = known.void.or(Some(WITHDRAWN));
                known.withdrawn_in_doubt = known.in_doubt;
                // The code directly before comes back, unless several failing sends were in flight: only the permit
                // of the first send of a code says which one it replaced.
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

    /// A planned message with our code may be decided.
    pub fn may_leave(&mut self, salt: &Salted) {
        if let Some(place) = self.place(salt) {
            self.known[place].may_leave = true;
        }
    }

    /// A further message may be decided whose code is unknown yet.
    pub fn any_may_leave(&mut self) {
        for known in self.known.iter_mut().filter(|known| known.void.is_none()) {
            known.may_leave = true;
        }
    }

    /// A code that has ended need not work again: a clock that is set back before a start brings it back only
    /// if nothing was written meanwhile.
    pub fn ended(&mut self, now: u64) {
        for known in self.known.iter_mut().filter(|known| now >= known.expires) {
            known.in_doubt = true;
        }
        self.firm.take_if(|firm| now >= firm.expires);
    }

    /// The client of a send was told "sent": the codes before it are replaced.
    pub fn replaced_before(&mut self, salt: &Salted) {
        let Some(place) = self.place(salt) else { return };
        for known in &mut self.known[..place] {
            known.void = known.void.or(Some("was replaced"));
        }
    }

    /// The client of a send was told "sent". Of a code that has ended nothing is written any more, and a clock that
    /// is set back before a start brings it back as it was.
    pub fn told_sent(&mut self, salt: &Salted, held: bool, now: u64) {
        let Some(place) = self.place(salt) else { return };
        let known = &mut self.known[place];
        let told = &mut known.told;
        if now >= known.expires {
            known.in_doubt = true;
        } else if held {
            told.held = true;
        } else {
            told.ours = true;
        }
    }

    /// Nothing is on its way: the last code that was not withdrawn has to work from now on, if a client was told
    /// that it was sent.
    pub fn must_work(&mut self) {
        self.firm = self
            .known
            .iter()
            .rfind(|known| known.void != Some(WITHDRAWN))
            .filter(|known| known.void.is_none() && !known.in_doubt && (known.told.ours || known.told.held))
            .map(|known| Firm {
                salt: known.salt,
                ours: known.told.ours.then(|| known.code.clone()),
                held: known.told.held,
                expires: known.expires,
            });
    }

    /// The results of sends of these codes may have come when a newer code had replaced them, whose message never left:
    /// the last of them comes back as it was before.
    pub fn may_have_missed(&mut self, salts: &[Salted]) {
        for known in self.known.iter_mut().filter(|known| salts.contains(&known.salt)) {
            known.in_doubt = true;
            known.has_ghosts = true;
            if known.void == Some(WITHDRAWN) {
                known.void = None;
            }
        }
    }

    /// A lockout may have voided it.
    pub fn may_be_locked(&mut self) {
        self.firm = None;
        for known in &mut self.known {
            known.told = ClaimedCodes::default();
        }
    }

    /// A send was decided and may be durable: it may have prolonged a code.
    pub fn may_end(&mut self, expires: u64) {
        for known in &mut self.known {
            known.may_expire = known.may_expire.max(expires);
            known.has_ghosts = true;
        }
        self.ghost = true;
    }

    /// The disk decides now, whatever it has. Results of a code that came after it had been replaced were only in
    /// memory.
    pub fn reloaded(&mut self) {
        let last = self.known.iter().rposition(|known| known.void != Some(WITHDRAWN));
        for known in self.known.iter_mut().take(last.unwrap_or(0)) {
            known.in_doubt = true;
            if known.void == Some(WITHDRAWN) {
                known.void = None;
            }
        }
        for known in &mut self.known {
            known.expires = known.may_expire;
            if known.void == Some(WITHDRAWN) && known.withdrawn_in_doubt {
                known.void = None;
                known.in_doubt = true;
            }
        }
    }

    /// A decision may be durable, or not.
    pub fn in_doubt(&mut self) {
        self.firm = None;
        for known in &mut self.known {
            known.in_doubt = true;
        }
    }

    pub fn all_void(&mut self, why: &'static str) {
        self.firm = None;
        self.ghost = false;
        for known in &mut self.known {
            known.void = known.void.or(Some(why));
        }
    }

    /// A submitted code was approved without asking a gateway.
    pub fn approved_ours(&mut self, code: Option<&str>, now: u64) -> Result<(), String> {
        let same = self.known.iter().filter(|known| Some(known.code.as_str()) == code);
        let mut why = "was never sent";
        let mut fits = false;
        for known in same {
            match known.void {
                Some(reason) => why = reason,
                None if now >= known.expires => why = "had expired",
                None if known.were_held == known.dispatches && !known.may_leave && !known.has_ghosts => {
                    why = "no message carried";
                }
                None => fits = true,
            }
        }
        self.all_void("was used");
        if fits { Ok(()) } else { Err(format!("a code was approved that {why}")) }
    }

    /// A gateway approved the code that it holds.
    pub fn approved_held(&mut self, salt: &Salted) -> Result<(), String> {
        let why = self.place(salt).and_then(|place| self.known[place].void);
        self.all_void("was used");
        why.map_or(Ok(()), |why| Err(format!("a verification was approved that {why}")))
    }

    /// Delivery was told whether a code can be used.
    pub fn said_usable(&self, salt: &Salted, said: bool, now: u64) -> Result<(), String> {
        let Some(known) = self.place(salt).map(|place| &self.known[place]) else { return Ok(()) };
        if said {
            if let Some(why) = known.void {
                return Err(format!("a code is called usable that {why}"));
            }
            if now >= known.expires {
                return Err("a code is called usable that has expired".to_owned());
            }
        } else if self.firm.as_ref().is_some_and(|firm| firm.salt == *salt && now < firm.expires) {
            return Err("a code that was sent and can be used is called unusable".to_owned());
        }
        Ok(())
    }
}
