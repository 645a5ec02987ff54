//! Services are made, changed and removed.

use std::sync::Arc;

use super::error::not_found;
use super::fields::{DEFAULT_RULES, ServiceFields};
use super::record::{self, service_key};
use super::snapshot::Services;
use super::writer::Writer;
use super::{Inner, Origin, Registry, RegistryError, Rules, Service};
use crate::domain::{ServiceId, Sid, SidKind, Timestamp};

/// Services of one installation.
pub(super) const MOST: usize = 10_000;

/// Ids are kept in 24 bits of a verification's id.
pub(super) const LAST_ID: u32 = (1 << 24) - 1;

impl Registry {
    /// Makes a service: 6 digits, 10 min, 5 checks and 5 sends, growing waits, the same code when it is sent again, unless
    /// `fields` say otherwise.
    ///
    /// # Errors
    /// [`RegistryError::Invalid`], also without a `friendly_name`; [`RegistryError::TooMany`]; [`RegistryError::Store`].
    pub async fn create_service(&self, fields: ServiceFields) -> Result<Arc<Service>, RegistryError> {
        self.alone(move |inner, mut writer| async move {
            if fields.friendly_name.is_none() {
                let why = "must be given".to_owned();
                return Err(RegistryError::Invalid { field: "friendly_name", why });
            }
            let id = writer.next_service;
            if inner.services.load().len() >= MOST || id > LAST_ID {
                return Err(RegistryError::TooMany { what: "services", limit: MOST });
            }
            let sid = writer.sid(SidKind::Service);
            let mut service = blank(ServiceId::new(id), sid, Origin::Api, DEFAULT_RULES, inner.clock.wall());
            fields.apply(&mut service, &inner.templates)?;
            let service = inner.keep(&mut writer, service).await?;
            Ok(service)
        })
        .await
    }

    /// Changes a service that was made over the API.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::ReadOnly`], [`RegistryError::Invalid`], [`RegistryError::Store`].
    pub async fn update_service(
        &self,
        sid: Sid,
        fields: ServiceFields,
    ) -> Result<Arc<Service>, RegistryError> {
        let changed = self.change(sid, move |service, inner, _| {
            is_changeable(service)?;
            fields.apply(service, &inner.templates)
        });
        changed.await.map(|(service, ())| service)
    }

    /// Removes a service that was made over the API, with everything that belongs to it. Keys for it alone are worth nothing
    /// from then on.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::ReadOnly`], [`RegistryError::Store`].
    pub async fn delete_service(&self, sid: Sid) -> Result<(), RegistryError> {
        self.alone(move |inner, mut writer| async move {
            let service = inner.services.load().by_sid(&sid).ok_or_else(|| not_found(&sid))?;
            is_changeable(&service)?;
            // What is left keeps the id from being given again.
            let left = record::removed(&sid).map_err(RegistryError::Store)?;
            inner.write(&mut writer, service_key(service.id), Some(left)).await?;
            let mut services = Services::clone(&inner.services.load());
            services.remove(&service);
            inner.services.store(Arc::new(services));
            inner.announce();
            Ok(())
        })
        .await
    }

    /// Changes a service in a way that `decide` knows, durably, and answers what it answers.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        sid: Sid,
        decide: impl FnOnce(&mut Service, &Inner, &mut Writer) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<(Arc<Service>, T), RegistryError> {
        self.alone(move |inner, mut writer| async move {
            let before = inner.services.load().by_sid(&sid).ok_or_else(|| not_found(&sid))?;
            let mut service = Service::clone(&before);
            let answer = decide(&mut service, &inner, &mut writer)?;
            if service == *before {
                return Ok((before, answer));
            }
            service.updated = inner.clock.wall();
            Ok((inner.keep(&mut writer, service).await?, answer))
        })
        .await
    }
}

impl Inner {
    /// Makes a service durable, and then visible.
    async fn keep(&self, writer: &mut Writer, service: Service) -> Result<Arc<Service>, RegistryError> {
        let record = record::write_service(&service).map_err(RegistryError::Store)?;
        // Also when the commit fails: it may yet be applied.
        writer.next_service = writer.next_service.max(service.id.get().saturating_add(1));
        self.write(writer, service_key(service.id), Some(record)).await?;
        let service = Arc::new(service);
        let mut services = Services::clone(&self.services.load());
        services.put(Arc::clone(&service));
        self.services.store(Arc::new(services));
        self.announce();
        Ok(service)
    }
}

/// A service of which nothing more is said.
pub(super) fn blank(id: ServiceId, sid: Sid, origin: Origin, rules: Rules, now: Timestamp) -> Service {
    Service {
        id,
        sid,
        origin,
        friendly_name: String::new(),
        rules,
        custom_code_enabled: false,
        do_not_share_warning_enabled: false,
        skip_sms_to_landlines: false,
        lookup_enabled: false,
        dtmf_input_required: true,
        tts_name: None,
        psd2_enabled: false,
        verify_event_subscription_enabled: false,
        default_template: None,
        locale: None,
        workflow: None,
        rate_limits: Vec::new(),
        messaging: Vec::new(),
        webhooks: Vec::new(),
        test_numbers: Vec::new(),
        created: now,
        updated: now,
    }
}

fn is_changeable(service: &Service) -> Result<(), RegistryError> {
    let why = match &service.origin {
        Origin::Api => return Ok(()),
        Origin::Default => {
            "this is the service of the compatible routes; its rules are the top-level keys of config.json, such as \
             otp-length, and are changed there"
                .to_owned()
        }
        Origin::Config(name) => {
            format!("this service is \"services.{name}\" of config.json, and is changed there")
        }
    };
    Err(RegistryError::ReadOnly(why))
}
