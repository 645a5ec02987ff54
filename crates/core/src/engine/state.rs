//! The state of one number in one service.

use super::{Counted, GatewayResult, Lockout, Policy, Tally};
use crate::domain::{CodeLength, Held, Timestamp};

/// The random bytes that a code is derived from, together with the server key. Also what tells
/// one code of a number from the next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 16]);

impl Salt {
    /// The half of it that names the verification's sends wherever they are remembered or reported. It
    /// says nothing of the code, which the other half and the server key are needed for too.
    pub fn track(&self) -> u64 {
        self.0.iter().take(8).fold(0, |track, byte| track << 8 | u64::from(*byte))
    }

    /// The salt of a new code of the same verification: that half stays, the other is `fresh`.
    #[must_use]
    pub fn renewed(&self, fresh: &Self) -> Self {
        let mut salt = *fresh;
        for (byte, kept) in salt.0.iter_mut().zip(self.0).take(8) {
            *byte = kept;
        }
        salt
    }
}

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt(***)")
    }
}

/// The life of one number in one service. A number that never asked, one that was verified and
/// one whose record has ended are all the same: [`NumberState::Fresh`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberState {
    /// Nothing is known of this number.
    Fresh,
    /// Codes may be sent and checked.
    Open {
        /// Consecutive wrong codes. Neither a resend nor a new verification resets them
        /// (NIST SP 800-63B-4, 3.2.2); success and the end of a lockout do. With [`Lockout::Growing`] only those
        /// of checks that did not name their verification.
        failures: u8,
        /// When this record ends and the number is fresh again.
        keep_until: Timestamp,
        /// What else is counted with [`Lockout::Growing`].
        tally: Tally,
        /// The outstanding code, if there is one. It may have expired.
        verification: Option<Verification>,
    },
    /// No code is sent or checked.
    Locked {
        /// When the lockout ends and the number is fresh again.
        until: Timestamp,
    },
}

/// One outstanding code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verification {
    /// What the code is derived from.
    pub salt: Salt,
    /// How many digits it has.
    pub length: CodeLength,
    /// From this moment on the code cannot succeed.
    pub expires: Timestamp,
    /// Sends of this code that the gateway has not answered yet.
    pub sending: u8,
    /// By when those sends are certainly over, answered or not.
    pub sending_until: Timestamp,
    /// Whether some message with our code was, or may have been, accepted by a gateway that carries it.
    pub sent: bool,
    /// Whether a message is to be tried again later: the code stays although nobody has it yet.
    pub postponed: bool,
    /// Who made and keeps a code of its own for this verification.
    pub held: Option<Held>,
    /// Until when that gateway may be busy with a submitted code; [`Timestamp::EPOCH`] when none is
    /// being asked. It stays on the disk after a crash: the attempt is counted, and nobody will say
    /// what came of it.
    pub checking_until: Timestamp,
    /// What is counted of it, if it was asked for as a verification of its own rather than by the contract's routes.
    pub counted: Option<Counted>,
}

impl Verification {
    /// Whether the code can still succeed.
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires && !self.is_spent()
    }

    /// What its code has more than the derived one.
    pub fn offset(&self) -> u64 {
        self.counted.map_or(0, |counted| counted.offset)
    }

    /// Whether nobody may try the code any more, although its time is not over.
    pub fn is_spent(&self) -> bool {
        self.counted.is_some_and(|counted| counted.spent)
    }

    /// Whether somebody may have our own code. One that no gateway carried is never right: nobody can
    /// know it but by guessing.
    pub const fn ours_may_be_out(&self) -> bool {
        self.held.is_none() || self.sent || self.sending > 0
    }

    /// Whether nobody has, or can still get, a code of this verification.
    pub const fn reached_nobody(&self) -> bool {
        self.held.is_none() && !self.sent && !self.postponed && self.sending == 0
    }

    /// Whether it may still turn out that nobody has it: nothing was accepted, and something is on its way.
    pub const fn may_be_withdrawn(&self) -> bool {
        self.held.is_none() && !self.sent && !self.postponed && self.sending > 0
    }

    /// Takes in how a send of it ended.
    pub const fn hears(&mut self, result: GatewayResult) {
        self.sending = self.sending.saturating_sub(1);
        match result {
            GatewayResult::Accepted | GatewayResult::Unknown => self.sent = true,
            GatewayResult::Held(held) => self.held = Some(held),
            GatewayResult::Postponed => self.postponed = true,
            GatewayResult::Failed => {}
        }
    }

    /// Whether the gateway that holds the code is being asked right now.
    pub fn is_checking(&self, now: Timestamp) -> bool {
        now < self.checking_until
    }

    /// Whether a message with this code may be on its way to the gateway right now.
    pub fn is_sending(&self, now: Timestamp) -> bool {
        self.sending > 0 && now < self.sending_until
    }
}

impl NumberState {
    /// The state that every decision begins with, so that nothing depends on when somebody looks: a
    /// record whose time has come is fresh, and a check that nobody settled in time is over. That
    /// attempt stays counted, and if it was the last one it locks from the moment its time ended.
    #[must_use]
    pub fn present(self, policy: &Policy, now: Timestamp) -> Self {
        let state = self.at(now).spent_by(policy);
        let Self::Open { failures, keep_until, tally, verification: Some(v) } = state else { return state };
        if v.checking_until == Timestamp::EPOCH || v.is_checking(now) {
            return state;
        }
        if policy.kind == Lockout::Fixed && policy.is_spent(failures) {
            return Self::Locked { until: v.checking_until.plus(policy.lockout) }.at(now);
        }
        let verification = Some(Verification { checking_until: Timestamp::EPOCH, ..v });
        Self::Open { failures, keep_until, tally, verification }
    }

    /// Where fewer wrong codes are allowed by now than were counted of the verification, none is left.
    fn spent_by(mut self, policy: &Policy) -> Self {
        if let Self::Open { verification: Some(Verification { counted: Some(counted), .. }), .. } = &mut self
        {
            counted.spent |= policy.kind == Lockout::Growing && policy.is_spent(counted.wrong);
        }
        self
    }

    /// The state at `now`: a record whose time has come is fresh, whether or not a sweep has
    /// been by.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        match self.ends() {
            Some(end) if now >= end => Self::Fresh,
            _ => self,
        }
    }

    /// When the number becomes fresh by itself; `None` if it is already.
    pub const fn ends(&self) -> Option<Timestamp> {
        match self {
            Self::Fresh => None,
            Self::Open { keep_until, .. } => Some(*keep_until),
            Self::Locked { until } => Some(*until),
        }
    }

    /// Consecutive wrong codes so far.
    pub const fn failures(&self) -> u8 {
        match self {
            Self::Open { failures, .. } => *failures,
            Self::Fresh | Self::Locked { .. } => 0,
        }
    }

    /// The outstanding code, live or late.
    pub const fn verification(&self) -> Option<Verification> {
        match self {
            Self::Open { verification, .. } => *verification,
            Self::Fresh | Self::Locked { .. } => None,
        }
    }
}
