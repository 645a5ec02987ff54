//! What was heard of a number's sends while it is open whether its newest code reaches anybody.

use super::{GatewayResult, NumberState, Salt, SendPermit, Verification};

/// More codes than this are not on their way at once: each of them kept its gateway longer than a send
/// may take.
const AT_MOST: usize = 16;

/// Ends of sends that the state of their number has no room for. They matter if the code that it
/// has turns out to have reached nobody: then an earlier one comes back, and with it all that was heard of it
/// meanwhile. Held in memory only: after a restart no gateway's answer to an earlier send arrives.
#[derive(Debug, Clone, Default)]
pub struct Reports(Vec<Report>);

#[derive(Debug, Clone)]
struct Report {
    salt: Salt,
    /// What the gateway said; `None` once the state has it.
    result: Option<GatewayResult>,
    /// The code that this one replaced.
    replaced: Option<Verification>,
}

impl Reports {
    /// Nothing was heard.
    pub const NONE: &Self = &Self(Vec::new());

    /// Takes note of what a settlement said, after it led to `next`.
    pub fn note(&mut self, permit: &SendPermit, result: GatewayResult, next: &NumberState) {
        let Some(present) = next.verification().filter(Verification::may_be_withdrawn) else {
            self.0.clear();
            return;
        };
        for report in self.0.iter_mut().filter(|report| report.salt == present.salt) {
            // If it came back just now, it came back with this.
            report.result = None;
        }
        let result = (present.salt != permit.salt).then_some(result);
        if result.is_some() || permit.replaced.is_some() {
            self.0.push(Report { salt: permit.salt, result, replaced: permit.replaced });
        }
        self.0.retain(|report| report.result.is_some() || report.replaced.is_some());
        let surplus = self.0.len().saturating_sub(AT_MOST);
        self.0.drain(..surplus);
    }

    /// Whether there is nothing to remember.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The code that is good again now that the one of `permit` has surely reached nobody: the latest before it
    /// of which that is not certain too.
    pub(super) fn comes_back(&self, permit: &SendPermit) -> Option<Verification> {
        let mut earlier = permit.replaced.or_else(|| self.replaced_by(&permit.salt));
        for _ in 0..=self.0.len() {
            let mut code = earlier?;
            let salt = code.salt;
            for result in self.0.iter().filter(|report| report.salt == salt).filter_map(|r| r.result) {
                code.hears(result);
            }
            if !code.reached_nobody() {
                return Some(code);
            }
            earlier = self.replaced_by(&salt);
        }
        None
    }

    fn replaced_by(&self, salt: &Salt) -> Option<Verification> {
        self.0.iter().filter(|report| report.salt == *salt).find_map(|report| report.replaced)
    }
}
