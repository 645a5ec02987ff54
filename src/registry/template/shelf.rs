//! Which templates there are.

use std::sync::Arc;

use super::{Template, Translation};
use crate::config::services::{BUILT_IN_TEMPLATES, TemplateSetting};
use crate::domain::{Channel, Locale, Sid, Timestamp};
use crate::registry::{Registry, RegistryError, template_sid};
use crate::template::Templates;

/// Every template: those that are built in, then those of config.json. They do not change while the program runs.
pub(in crate::registry) struct Shelf {
    templates: Vec<Arc<Template>>,
    /// What finished texts are checked with.
    pub(super) checks: Templates,
}

impl Shelf {
    pub(in crate::registry) fn of(settings: &[TemplateSetting], checks: Templates, now: Timestamp) -> Self {
        let built_in = BUILT_IN_TEMPLATES.iter().filter_map(|(name, friendly_name, text)| {
            let english = Locale::parse("en")?;
            Some(Template {
                sid: template_sid(name),
                friendly_name: (*friendly_name).to_owned(),
                channels: Channel::ALL.to_vec(),
                translations: vec![Translation { locale: english, text: (*text).to_owned() }],
                default_locale: english,
                created: now,
            })
        });
        let configured = settings.iter().map(|setting| Template {
            sid: template_sid(&setting.name),
            friendly_name: setting.friendly_name.clone(),
            channels: setting.channels.clone(),
            translations: setting
                .translations
                .iter()
                .map(|(locale, text)| Translation { locale: *locale, text: text.clone() })
                .collect(),
            default_locale: setting.default_locale,
            created: now,
        });
        Self { templates: built_in.chain(configured).map(Arc::new).collect(), checks }
    }

    /// One of them. There are few, so they are looked through.
    pub(in crate::registry) fn get(&self, sid: &Sid) -> Option<&Arc<Template>> {
        self.templates.iter().find(|template| template.sid == *sid)
    }
}

impl Registry {
    /// Every template: the built-in ones, then those of config.json in its order.
    pub fn templates(&self) -> Vec<Arc<Template>> {
        self.0.templates.templates.clone()
    }

    /// One of them.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub fn template(&self, sid: &Sid) -> Result<Arc<Template>, RegistryError> {
        self.0.templates.get(sid).cloned().ok_or(RegistryError::NotFound("template"))
    }
}
