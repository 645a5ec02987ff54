//! The gateways of `gateways`: each is a recipe with what the recipe needs. Credentials may also be variables.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::errors::hint;
use super::read::text_of;
use super::sources::{Config, GATEWAYS_PREFIX as PREFIX};
use super::values::{NOT_SHOWN, is_exposed};
use crate::domain::{Channel, GatewayName};
use crate::gateway::{CodeClass, HttpGatewaySettings, Recipe, RecipeSetting};

const KEY: &str = "gateways";

/// The gateways that can be used; what is wrong with others is reported.
pub fn read(objects: BTreeMap<String, Value>, c: &mut Config) -> Vec<HttpGatewaySettings> {
    let is_taken = |name: &str| {
        let mut built_in = GatewayName::ALL.map(GatewayName::as_str).into_iter().chain(["Twilio"]);
        // A gateway of its own may have the name of the custom gateway of earlier versions.
        name != "Http" && built_in.any(|known| known.eq_ignore_ascii_case(name))
    };
    let objects = c.named(KEY, objects, "a built-in gateway has this name", is_taken);
    let mut variables = BTreeSet::new();
    let gateways: Vec<_> = objects
        .into_iter()
        .filter_map(|(name, object)| read_gateway(&name, object, &mut variables, c))
        .collect();
    let given = c.names().filter(|name| name.starts_with(PREFIX) && !variables.contains(*name));
    for variable in given.map(str::to_owned).collect::<Vec<_>>() {
        let words =
            "the name of a gateway of gateways and of a setting of its recipe follow ONCEWARD_GATEWAYS_";
        let hint = hint(&variable, variables.iter().map(String::as_str));
        c.ignored(&variable, &format!("it is unknown; {words}{hint}"));
    }
    gateways
}

fn read_gateway(
    name: &str,
    object: Value,
    variables: &mut BTreeSet<String>,
    c: &mut Config,
) -> Option<HttpGatewaySettings> {
    let path = format!("{KEY}.{name}");
    let Value::Object(mut members) = object else {
        c.wrong(&path, "it must be an object such as {\"recipe\": \"vonage\", \"key\": \"k3y\"}");
        return None;
    };
    let prefix = format!("{PREFIX}{name}_").replace('-', "_").to_ascii_uppercase();
    let given_recipe = members.remove("recipe");
    let mut shown = Map::from_iter([("recipe".to_owned(), "its own".into())]);
    match &given_recipe {
        Some(Value::Object(recipe)) => {
            for member in ["headers", "json", "form", "url", "account"] {
                let value = recipe.get(member).unwrap_or(&Value::Null);
                check_request((&format!("{path}.{member}"), member), value, c);
            }
        }
        named => drop(named.clone().map(|named| shown.insert("recipe".to_owned(), named))),
    }
    let recipe = read_recipe(&path, given_recipe, c)?;
    let channels = members.remove("channels").map(serde_json::from_value::<Vec<Channel>>);
    let mut values = BTreeMap::new();
    for (setting, about) in &recipe.settings {
        let variable = format!("{prefix}{}", setting.to_ascii_uppercase());
        let in_file = members.remove(setting);
        let words = "works, but credentials are better kept in the environment or .env, as";
        let warning = format!("{path}.{setting}: {words} {variable}");
        c.warn_if(in_file.is_some() && about.secret, warning);
        let given = c.value(&variable).and_then(text_of).or_else(|| text_of(in_file.as_ref()?));
        let value = given.filter(|value| !value.is_empty());
        if !variables.insert(variable.clone()) && c.is_given(&variable) {
            let problem =
                format!("another gateway has the variable {variable} too; give one of them another name");
            c.wrong(&path, problem);
        }
        if let Some(value) = &value {
            shown.insert(setting.clone(), if about.secret { NOT_SHOWN } else { value }.into());
        } else if about.default.is_some() {
            continue;
        } else {
            let what = &about.about;
            let problem = format!("it needs \"{setting}\" ({what}). Write it here, or set {variable}");
            c.wrong(&path, problem);
        }
        // Of a value that is missing nothing else follows.
        let sample = || if setting == "url" { "https://example.com" } else { "x" }.to_owned();
        values.insert(setting.clone(), value.unwrap_or_else(sample));
    }
    for member in members.keys() {
        let known = recipe.settings.keys().map(String::as_str).chain(["recipe", "channels"]);
        c.ignored(&format!("{path}.{member}"), &format!("it is unknown{}", hint(member, known)));
    }
    let exposed = format!("{path}.url begins with http: credentials and codes travel unencrypted");
    c.warn_if(values.get("url").is_some_and(|url| is_exposed(url)), exposed);
    let mut settings = recipe.filled_in(GatewayName::of(name)?, &prefix, values);
    match channels {
        Some(Ok(channels)) => {
            // A number that this gateway does not reach may be reached by the next one of the channel that it stands in for.
            if channels.iter().any(|channel| !recipe.channels().contains(channel)) {
                let classes = settings.errors.classes.values_mut();
                let not_reachable = classes.filter(|class| **class == CodeClass::NotReachable);
                not_reachable.for_each(|class| *class = CodeClass::Refused);
            }
            settings.channels = channels;
        }
        Some(Err(_)) => {
            let problem = format!("it must be one or more of \"{}\"", Channel::names("\", \""));
            c.wrong(&format!("{path}.channels"), problem);
        }
        None => {}
    }
    if let Err(problem) = settings.examine() {
        c.wrong(&problem.setting, format!("it {}", problem.problem));
    }
    shown.insert("channels".to_owned(), settings.channels.iter().map(|channel| channel.as_str()).collect());
    let origin = c.origin(&path);
    c.row(&path, Value::Object(shown), &origin);
    Some(settings)
}

/// The members of a recipe that are none of its request.
const OF_RECIPE: [&str; 4] = ["about", "sources", "notes", "settings"];

/// The recipe that a gateway names or has.
fn read_recipe(path: &str, given: Option<Value>, c: &mut Config) -> Option<Recipe> {
    let path = format!("{path}.recipe");
    match given {
        Some(Value::String(name)) => {
            let known = Recipe::named(&name).cloned();
            if known.is_none() {
                let hint = hint(&name, Recipe::all().map(|(name, _)| name));
                c.wrong(&path, format!("there is no such recipe{hint}; `onceward gateways` lists them"));
            }
            known
        }
        Some(Value::Object(members)) => {
            // Each part is read by itself: serde hides the paths of flattened members.
            let (own, request): (Map<_, _>, Map<_, _>) =
                members.into_iter().partition(|(name, _)| OF_RECIPE.contains(&name.as_str()));
            let recipe: Option<Recipe> = c.object(&path, own.into());
            let gateway = c.object(&path, request.into());
            let recipe = Recipe { gateway: gateway?, ..recipe? };
            check_settings(&path, &recipe, c);
            Some(recipe)
        }
        _ => {
            let problem = "it must be the name of a recipe, such as \"vonage\", or an object; `onceward gateways` lists them";
            c.wrong(&path, problem);
            None
        }
    }
}

/// Refuses settings of a recipe in the configuration that are credentials in clear, or could be.
fn check_settings(path: &str, recipe: &Recipe, c: &mut Config) {
    for (name, RecipeSetting { default, secret, .. }) in &recipe.settings {
        let path = format!("{path}.settings.{name}");
        if *secret && default.as_ref().is_some_and(|default| !default.is_empty()) {
            c.wrong(&path, "it is a credential with a default, and credentials do not belong in a configuration. Remove the default");
        } else if !*secret && is_named_as_secret(name) {
            c.wrong(&path, "it looks like a credential: add \"secret\": true");
        }
    }
}

/// Refuses credentials that are written out in the request of a recipe: texts, and queries of URLs, without a placeholder.
fn check_request((path, name): (&str, &str), value: &Value, c: &mut Config) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                check_request((&format!("{path}.{name}"), name), value, c);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| check_request((path, name), item, c)),
        leaf => {
            let text = text_of(leaf).unwrap_or_default();
            let problem = "this looks like a credential, and credentials do not belong in a configuration. Give the recipe a \
                           setting with \"secret\": true, such as token, and put {token} in its place";
            let query = text.split_once('?').filter(|_| text.contains("://")).map_or("", |(_, query)| query);
            let mut pairs =
                form_urlencoded::parse(query.as_bytes()).chain([(name.into(), text.as_str().into())]);
            let is_clear = |text: &str| !text.is_empty() && !text.contains('{');
            let has_secret = pairs.any(|(name, text)| is_named_as_secret(&name) && is_clear(&text));
            c.wrong_if(has_secret, path, problem);
        }
    }
}

/// Whether a field of this name is a credential.
fn is_named_as_secret(name: &str) -> bool {
    /// Names of credentials end with one of these. Only letters count.
    const NAMES: &str = "authorization cookie password passwd pass pwd secret apikey authkey token accesskey";
    let name: String = name.chars().filter(char::is_ascii_alphabetic).collect();
    NAMES.split(' ').any(|secret| name.to_ascii_lowercase().ends_with(secret))
}
