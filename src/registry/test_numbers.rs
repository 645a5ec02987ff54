//! Numbers that are never sent anything, and whose code is known.

use super::{Origin, Registry, RegistryError, Service, TestNumber};
use crate::domain::{Sid, Timestamp};

const WHAT: &str = "test number";

impl Registry {
    /// Adds a test number to a service; one with the same pattern is replaced.
    pub async fn put_test_number(
        &self,
        service: Sid,
        number: TestNumber,
    ) -> Result<TestNumber, RegistryError> {
        let now = self.0.shards.clock().now();
        self.change(service, move |service, _| {
            is_changeable(service)?;
            let number = check(number, now)?;
            service.test_numbers.retain(|kept| kept.pattern != number.pattern);
            if service.test_numbers.len() >= TestNumber::MOST {
                return Err(RegistryError::TooMany {
                    what: "test numbers of this service",
                    limit: TestNumber::MOST,
                });
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

fn check(number: TestNumber, now: Timestamp) -> Result<TestNumber, RegistryError> {
    let number = number.checked().map_err(|(field, why)| RegistryError::Invalid { field, why })?;
    if number.expires <= now || number.lasts_too_long(now) {
        let why = "must be in the future, and at most a year ahead".to_owned();
        return Err(RegistryError::Invalid { field: "expires", why });
    }
    Ok(number)
}

fn is_changeable(service: &Service) -> Result<(), RegistryError> {
    match &service.origin {
        Origin::Config(name) => Err(RegistryError::ReadOnly(format!(
            "the test numbers of this service are \"services.{name}.test-numbers\" of config.json, and are changed there"
        ))),
        Origin::Api | Origin::Default => Ok(()),
    }
}
