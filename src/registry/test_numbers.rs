//! Numbers that are never sent anything, and whose code is known.

use super::{Origin, Registry, RegistryError, Service, TestNumber};
use crate::config::services::rules::{self, TEST_NUMBER_LONGEST};
use crate::domain::{NumberPattern, Sid, Timestamp};

/// Test numbers of a service.
pub(super) const MOST: usize = rules::TEST_NUMBERS_MOST;

const WHAT: &str = "test number";

/// A test number to be made. Has no `Debug`: it contains a code.
#[derive(Clone, PartialEq, Eq)]
pub struct NewTestNumber {
    /// E.164, with `x` for any digit.
    pub pattern: String,
    /// The code: 4 to 10 digits.
    pub code: String,
    /// Until when it is one; at most a year ahead.
    pub expires: Timestamp,
    /// Permits a pattern of numbers that subscribers could own.
    pub force: bool,
}

impl Registry {
    /// Adds a test number to a service; one with the same pattern is replaced.
    pub async fn put_test_number(
        &self,
        service: Sid,
        number: NewTestNumber,
    ) -> Result<TestNumber, RegistryError> {
        let now = self.0.shards.clock().now();
        self.change(service, move |service, _| {
            is_changeable(service)?;
            let number = number.check(now)?;
            service.test_numbers.retain(|kept| kept.pattern != number.pattern);
            if service.test_numbers.len() >= MOST {
                return Err(RegistryError::TooMany { what: "test numbers of this service", limit: MOST });
            }
            service.test_numbers.push(number.clone());
            Ok(number)
        })
        .await
    }

    /// Makes a test number an ordinary one again.
    pub async fn delete_test_number(&self, service: Sid, pattern: String) -> Result<(), RegistryError> {
        self.change(service, move |service, _| {
            is_changeable(service)?;
            let before = service.test_numbers.len();
            service.test_numbers.retain(|kept| !kept.pattern.eq_ignore_ascii_case(pattern.trim()));
            if service.test_numbers.len() == before { Err(RegistryError::NotFound(WHAT)) } else { Ok(()) }
        })
        .await
    }
}

impl NewTestNumber {
    fn check(self, now: Timestamp) -> Result<TestNumber, RegistryError> {
        let invalid = RegistryError::invalid;
        let pattern = rules::test_pattern(&self.pattern, self.force).map_err(invalid("pattern"))?;
        let code = rules::test_code(&self.code).map_err(invalid("code"))?;
        if self.expires <= now || self.expires > now.plus(TEST_NUMBER_LONGEST) {
            let why = "must be in the future, and at most a year ahead".to_owned();
            return Err(RegistryError::Invalid { field: "expires", why });
        }
        Ok(TestNumber { pattern: NumberPattern::as_str(&pattern).to_owned(), code, expires: self.expires })
    }
}

fn is_changeable(service: &Service) -> Result<(), RegistryError> {
    match &service.origin {
        Origin::Config(name) => Err(RegistryError::ReadOnly(format!(
            "the test numbers of this service are \"services.{name}.test-numbers\" of config.json, and are changed there"
        ))),
        Origin::Api | Origin::Default => Ok(()),
    }
}
