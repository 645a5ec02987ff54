//! What can be put into a request.

use zeroize::Zeroizing;

use super::problem;
use crate::domain::GatewayCredential;
use crate::gateway::wire::basic_credentials;
use crate::gateway::{GatewaySettingsError, HttpGatewaySettings, OutgoingMessage};

/// A part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placeholder {
    To,
    ToDigits,
    Text,
    Code,
    Channel,
    ValiditySeconds,
}

impl Placeholder {
    const ALL: [(&'static str, Self); 6] = [
        ("to", Self::To),
        ("to_digits", Self::ToDigits),
        ("text", Self::Text),
        ("code", Self::Code),
        ("channel", Self::Channel),
        ("validity_seconds", Self::ValiditySeconds),
    ];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, placeholder)| placeholder)
    }

    pub(super) fn value(self, message: &OutgoingMessage) -> String {
        match self {
            Self::To => message.to.e164(),
            Self::ToDigits => message.to.as_u64().to_string(),
            Self::Text => message.text.clone(),
            Self::Code => message.code.expose().to_owned(),
            Self::Channel => message.channel.as_str().to_owned(),
            // A provider may read 0 as "no limit".
            Self::ValiditySeconds => message.valid_for.as_secs().max(1).to_string(),
        }
    }
}

/// Every placeholder there is, for errors.
pub(super) const NAMES: &str = "{to}, {to_digits}, {text}, {code}, {channel}, {validity_seconds}, {username}, \
                                {password}, {token}, {basic}";

/// What is the same in every message, and secret.
pub(super) struct Secrets<'a>(pub(super) &'a HttpGatewaySettings);

impl Secrets<'_> {
    /// The value of `{username}`, `{password}`, `{token}` or `{basic}`; `None` for another name. A
    /// value that is not configured is an error, which names the variable to set.
    pub(super) fn named(
        &self,
        name: &str,
        setting: &str,
    ) -> Option<Result<Zeroizing<String>, GatewaySettingsError>> {
        let Self(settings) = self;
        let needed = |value: &Option<GatewayCredential>, variable: &str| {
            let given = value.as_ref().map(GatewayCredential::expose).filter(|v| !v.is_empty());
            given.map(|v| Zeroizing::new(v.to_owned())).ok_or_else(|| {
                problem(setting, format!("uses {{{name}}}, which has no value: set {variable}"))
            })
        };
        let username = || needed(&settings.username, "HTTP_GATEWAY_USERNAME");
        let password = || needed(&settings.password, "HTTP_GATEWAY_PASSWORD");
        match name {
            "username" => Some(username()),
            "password" => Some(password()),
            "token" => Some(needed(&settings.token, "HTTP_GATEWAY_TOKEN")),
            "basic" => Some(username().and_then(|user| {
                if user.contains(':') {
                    let words = "uses {basic}, for which HTTP_GATEWAY_USERNAME must not contain a colon";
                    return Err(problem(setting, words));
                }
                Ok(basic_credentials(&user, &password()?))
            })),
            _ => None,
        }
    }
}
