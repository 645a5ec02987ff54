//! Recipes: descriptions of gateways that come with the program, or that a user writes. `docs/guides/add-a-recipe.md` says how
//! to add one.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use secrecy::SecretString;
use serde::Deserialize;

use super::HttpGatewaySettings;
use super::http_gateway::Owner;
use crate::domain::{Channel, GatewayName};
use crate::template::placeholder::{Piece, PieceKind, pieces};

/// The files in the folder `recipes`: the name of each, and its text. The build script lists them.
const FILES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/recipes.rs"));

/// A description of a provider's API, with the settings that its users give.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Recipe {
    /// What it sends through.
    pub about: String,
    /// The documents that it follows.
    pub sources: Vec<String>,
    /// What could not be found in them, and what an account must be set to.
    pub notes: Vec<String>,
    /// What its users give: placeholders of these names are replaced.
    pub settings: BTreeMap<String, RecipeSetting>,
    #[serde(flatten)]
    pub gateway: HttpGatewaySettings,
}

/// A setting of a recipe.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RecipeSetting {
    /// What it is, and where it is found.
    pub about: String,
    /// Its value if it is not given; other settings may be in it. Without it the setting is needed.
    pub default: Option<String>,
    /// Whether it is a credential.
    pub secret: bool,
}

/// The recipes of the program, by name.
static RECIPES: LazyLock<BTreeMap<&'static str, Recipe>> = LazyLock::new(|| {
    // A test reads every file.
    FILES.iter().filter_map(|(name, text)| Some((*name, serde_json::from_str(text).ok()?))).collect()
});

impl Recipe {
    /// The recipe of this name that comes with the program.
    pub fn named(name: &str) -> Option<&'static Self> {
        RECIPES.get(name)
    }

    /// The description with what a user gives. `variables` is the beginning of the variables of its settings. A setting that
    /// is not given has its default.
    pub fn filled_in(
        &self,
        gateway: GatewayName,
        variables: &str,
        mut values: BTreeMap<String, String>,
    ) -> HttpGatewaySettings {
        let given = values.clone();
        for (name, RecipeSetting { default, .. }) in &self.settings {
            if let (None, Some(default)) = (given.get(name), default) {
                let put_in = |piece: Piece<'_>| match piece.kind {
                    PieceKind::Single(other) if given.contains_key(other) => given[other].clone(),
                    _ => piece.raw.to_owned(),
                };
                values.insert(name.clone(), pieces(default).map(put_in).collect());
            }
        }
        let owner = Owner {
            gateway,
            path: format!("gateways.{gateway}"),
            variables: variables.to_owned(),
            credentials: self.settings.iter().map(|(name, of)| (name.clone(), of.secret)).collect(),
            url: None,
        };
        let values = values.into_iter().map(|(name, value)| (name, SecretString::from(value))).collect();
        let channels = self.channels().to_vec();
        HttpGatewaySettings { channels, owner, values, ..self.gateway.clone() }
    }

    /// The channels that it serves unless its user says others.
    pub fn channels(&self) -> &[Channel] {
        if self.gateway.channels.is_empty() { &[Channel::Sms] } else { &self.gateway.channels }
    }

    /// Every recipe that comes with the program.
    pub fn all() -> impl Iterator<Item = (&'static str, &'static Self)> {
        RECIPES.iter().map(|(name, recipe)| (*name, recipe))
    }
}

#[cfg(test)]
mod tests;
