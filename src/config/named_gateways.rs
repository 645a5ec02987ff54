//! The gateways of `gateways`: each is a recipe with what the recipe needs. Credentials may also be variables.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::context::{ConfigError, Context};
use super::http_gateway::{check_secrets, is_named_as_secret};
use super::kind::{As, NOT_SHOWN, text_of};
use super::schema::{member, nearest, properties, schema_of, suggestion};
use super::values::{Channels, is_exposed};
use crate::domain::{Channel, GatewayName, ProviderName};
use crate::gateway::{CodeClass, HttpGatewaySettings, Recipe, RecipeSetting};

/// The beginning of the variables of settings: `ONCEWARD_GATEWAYS_ACME_SMS_KEY` is `gateways.acme-sms.key`.
pub const PREFIX: &str = "ONCEWARD_GATEWAYS_";

const KEY: &str = "gateways";

/// The gateways that can be used; what is wrong with others is reported.
pub fn read(objects: BTreeMap<String, Value>, c: &mut Context) -> Vec<HttpGatewaySettings> {
    let is_taken = |name: &str| {
        let built_in = GatewayName::ALL.into_iter().map(ProviderName::Gateway).chain([ProviderName::Twilio]);
        built_in.map(ProviderName::as_str).any(|known| known.eq_ignore_ascii_case(name))
    };
    let objects = c.named(KEY, objects, "a built-in gateway has this name", is_taken);
    let mut used_variables = Vec::new();
    let gateways = objects
        .into_iter()
        .filter_map(|(name, object)| read_gateway(&name, object, &mut used_variables, c))
        .collect();
    let unused: Vec<String> = c
        .raw
        .values
        .keys()
        .filter(|name| name.starts_with(PREFIX) && !used_variables.contains(*name))
        .cloned()
        .collect();
    for variable in unused {
        let hint =
            "; the name of a gateway of gateways and of a setting of its recipe follow ONCEWARD_GATEWAYS_";
        c.report.unknown(variable, hint);
    }
    gateways
}

fn read_gateway(
    name: &str,
    object: Value,
    used_variables: &mut Vec<String>,
    c: &mut Context,
) -> Option<HttpGatewaySettings> {
    let path = format!("{KEY}.{name}");
    let Value::Object(mut members) = object else {
        c.wrong(&path, None, "it must be an object such as {\"recipe\": \"vonage\", \"key\": \"k3y\"}");
        return None;
    };
    let variables = format!("{PREFIX}{name}_").replace('-', "_").to_ascii_uppercase();
    let given_recipe = members.remove("recipe");
    let is_inline = matches!(given_recipe, Some(Value::Object(_)));
    let shown_recipe = given_recipe.clone().filter(|_| !is_inline).unwrap_or_else(|| "its own".into());
    let mut shown = Map::from_iter([("recipe".to_owned(), shown_recipe)]);
    let Some((recipe, is_complete)) = read_recipe(&path, given_recipe, c) else {
        // Without the recipe it is not known which settings it has.
        used_variables
            .extend(c.raw.values.keys().filter(|variable| variable.starts_with(&variables)).cloned());
        return None;
    };
    let channels = members.remove("channels").map(As::<Channels>::deserialize::<Vec<Channel>, _>);
    let mut values = BTreeMap::new();
    for (setting, about) in &recipe.settings {
        let variable = format!("{variables}{}", setting.to_ascii_uppercase());
        let in_environment = c.raw.values.get(&variable).and_then(text_of);
        if in_environment.is_some() {
            if used_variables.contains(&variable) {
                let problem =
                    format!("another gateway has the variable {variable} too; give one of them another name");
                c.wrong(&path, None, problem);
            }
            used_variables.push(variable.clone());
        }
        let in_file = members.remove(setting);
        if in_file.is_some() && about.secret {
            let origin = c.origin(&path);
            c.report.warn(format!(
                "{path}.{setting}: works, but credentials are better kept in the environment or .env, as {variable}; given by {origin}"
            ));
        }
        let given = in_environment.or_else(|| text_of(in_file.as_ref()?)).filter(|value| !value.is_empty());
        match &given {
            Some(value) => {
                shown.insert(setting.clone(), if about.secret { NOT_SHOWN } else { value }.into());
            }
            None if in_file.is_some_and(|value| text_of(&value).is_none()) => {
                c.wrong(&format!("{path}.{setting}"), None, "it must be a text");
            }
            None if about.default.is_some() => continue,
            None => {
                let what = &about.about;
                c.wrong(
                    &path,
                    None,
                    format!("it needs \"{setting}\" ({what}). Write it here, or set {variable}"),
                );
            }
        }
        // Of a value that is missing nothing else follows.
        let sample = || if setting == "url" { "https://example.com" } else { "x" }.to_owned();
        values.insert(setting.clone(), given.unwrap_or_else(sample));
    }
    for member in members.keys() {
        let known = recipe.settings.keys().map(String::as_str).chain(["recipe", "channels"]);
        c.report.unknown(format!("{path}.{member}"), &suggestion(nearest(member, known)));
    }
    if values.get("url").is_some_and(|url| is_exposed(url)) {
        c.report.warn(format!("{path}.url begins with http: credentials and codes travel unencrypted"));
    }
    let mut settings = recipe.filled_in(GatewayName::of(name)?, &variables, values);
    match channels {
        Some(Ok(channels)) => {
            // A number that this gateway does not reach may be reached by the next one of the channel that it stands in for.
            if channels.iter().any(|channel| !recipe.channels().contains(channel)) {
                let classes = settings.errors.classes.values_mut();
                classes
                    .filter(|class| **class == CodeClass::NotReachable)
                    .for_each(|class| *class = CodeClass::Refused);
            }
            settings.channels = channels;
        }
        Some(Err(error)) => c.wrong(&format!("{path}.channels"), None, format!("it {error}")),
        None => {}
    }
    if is_inline {
        check_secrets(&settings, c);
        if settings.receipts.is_some() && !c.is_given("public-url") {
            c.report.warn(format!("{path} has receipts, and public-url is missing: none can arrive"));
        }
    }
    if let Some(Err(problem)) = is_complete.then(|| settings.examine()) {
        c.wrong(&problem.setting, None, format!("it {}", problem.problem));
    }
    shown.insert("channels".to_owned(), settings.channels.iter().map(|channel| channel.as_str()).collect());
    let origin = c.origin(&path);
    c.row(&path, Value::Object(shown), &origin);
    Some(settings)
}

/// The recipe that a gateway names or has, and whether all of its request could be read.
fn read_recipe(path: &str, given: Option<Value>, c: &mut Context) -> Option<(Recipe, bool)> {
    let path = format!("{path}.recipe");
    match given {
        Some(Value::String(name)) => {
            let known = Recipe::named(&name).cloned();
            if known.is_none() {
                let hint = suggestion(nearest(&name, Recipe::all().map(|(name, _)| name)));
                c.wrong(
                    &path,
                    name,
                    format!("there is no such recipe{hint}; `onceward gateways` lists them"),
                );
            }
            Some((known?, true))
        }
        Some(object @ Value::Object(_)) => {
            for unknown in unknown_members::<Recipe>(&object) {
                c.report.unknown(format!("{path}.{unknown}"), "");
            }
            let known = properties::<Recipe>();
            let before = c.report.error_count();
            let recipe: Recipe = c.read_object(&path, &known, object)?;
            // What was left out there is no part of the request.
            let outside_request =
                [".errors.", ".receipts.states.", ".settings."].map(|part| format!("{path}{part}"));
            let is_outside =
                |error: &ConfigError| outside_request.iter().any(|part| error.subject.starts_with(part));
            let is_complete = c.report.errors_since(before).iter().all(is_outside);
            check_settings(&path, &recipe, c);
            Some((recipe, is_complete))
        }
        _ => {
            let problem = "it must be the name of a recipe, such as \"vonage\", or an object; `onceward gateways` lists them";
            c.wrong(&path, None, problem);
            None
        }
    }
}

/// Refuses settings of a recipe in the configuration that are credentials in clear, or could be.
fn check_settings(path: &str, recipe: &Recipe, c: &mut Context) {
    for (name, RecipeSetting { default, secret, .. }) in &recipe.settings {
        let path = format!("{path}.settings.{name}");
        if *secret && default.as_ref().is_some_and(|default| !default.is_empty()) {
            c.wrong(&path, None, "it is a credential with a default, and credentials do not belong in a configuration. Remove the default");
        } else if !*secret && is_named_as_secret(name) {
            c.wrong(&path, None, "it looks like a credential: add \"secret\": true");
        }
    }
}

/// The paths of members that a type does not have.
pub fn unknown_members<T: JsonSchema>(object: &Value) -> Vec<String> {
    fn collect(schema: &Value, object: &Map<String, Value>, path: &str, found: &mut Vec<String>) {
        for (name, value) in object {
            let path = format!("{path}{name}");
            match (member(schema, name), value) {
                (Some(schema), Value::Object(inner))
                    if schema["properties"].is_object() || schema["additionalProperties"].is_object() =>
                {
                    collect(schema, inner, &format!("{path}."), found);
                }
                (None, _) if schema["additionalProperties"].is_null() => found.push(path),
                _ => {}
            }
        }
    }

    let mut found = Vec::new();
    if let Some(object) = object.as_object() {
        collect(&schema_of::<T>().to_value(), object, "", &mut found);
    }
    found
}
