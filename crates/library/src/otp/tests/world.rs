//! An engine in its own directory, with a stopped clock and the double of providers. It stays apart from
//! [`crate::testing::World`]: what is tested is the builder, and the directory that an engine has to itself.

use std::sync::Arc;

use tempfile::TempDir;

use crate::otp::{GatewayName, ManualClock, Otp, OtpBuilder};
use crate::testing::{ProviderDouble, START};

pub const ANNA: &str = "+14155550123";

pub struct World {
    pub directory: TempDir,
    pub clock: Arc<ManualClock>,
    pub provider: ProviderDouble,
}

impl World {
    pub fn new() -> Self {
        let clock = Arc::new(ManualClock::starting_at(START));
        let directory = tempfile::tempdir().expect("a directory");
        Self { directory, clock, provider: ProviderDouble::default() }
    }

    pub fn builder(&self) -> OtpBuilder {
        Otp::builder(self.directory.path()).clock(self.clock.clone()).set("shards", 2)
    }

    /// With a gateway of the program's own.
    pub fn with_own(&self) -> OtpBuilder {
        self.builder().gateway(self.provider.gateway(GatewayName::Http))
    }

    pub async fn start(&self) -> Otp {
        self.builder().start().await.expect("an engine")
    }
}

/// The last code in the inbox.
pub fn code(otp: &Otp) -> String {
    otp.inbox_code(ANNA).expect("a code in the inbox")
}

/// A code that differs in its last digit.
pub fn wrong(code: &str) -> String {
    let (head, last) = code.split_at(code.len() - 1);
    format!("{head}{}", u8::from(last == "0"))
}
