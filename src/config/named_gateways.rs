//! The gateways of `gateways`: each is a recipe with what the recipe needs. Credentials may also be variables.

use std::collections::BTreeMap;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::context::Context;
use super::forms::is_exposed;
use super::layers::GATEWAYS_PREFIX as PREFIX;
use super::report::{ConfigError, NOT_SHOWN, nearest, suggestion, text_of};
use crate::domain::{GatewayName, ProviderName};
use crate::gateway::{CodeClass, HttpGatewaySettings, Recipe, RecipeSetting, given};

const KEY: &str = "gateways";

/// The gateways that can be used; what is wrong with others is reported.
pub fn read(objects: BTreeMap<String, Value>, c: &mut Context) -> Vec<HttpGatewaySettings> {
    let is_taken = |name: &str| {
        // A gateway of its own may have the name of the custom gateway of earlier versions.
        let built_in =
            GatewayName::ALL.into_iter().filter(|known| *known != GatewayName::Http || name != "Http");
        let built_in = built_in.map(ProviderName::Gateway).chain([ProviderName::Twilio]);
        built_in.map(ProviderName::as_str).any(|known| known.eq_ignore_ascii_case(name))
    };
    let objects = c.named(KEY, objects, "a built-in gateway has this name", is_taken);
    let mut used_variables = Vec::new();
    let gateways = objects
        .into_iter()
        .filter_map(|(name, object)| read_gateway(&name, object, &mut used_variables, c))
        .collect();
    let unused: Vec<String> = c
        .layers
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
            .extend(c.layers.values.keys().filter(|variable| variable.starts_with(&variables)).cloned());
        return None;
    };
    let channels = members.remove("channels").map(given::channels);
    let mut values = BTreeMap::new();
    for (setting, about) in &recipe.settings {
        let variable = format!("{variables}{}", setting.to_ascii_uppercase());
        let in_environment = c.layers.values.get(&variable).and_then(text_of);
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
    let gateway = if name == "Http" { GatewayName::Http } else { GatewayName::of(name)? };
    let mut settings = recipe.filled_in(gateway, &variables, values);
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
            let before = c.report.errors.len();
            let object = without_wrong_members(&path, object, c);
            let recipe: Recipe = c.object(&path, object)?;
            // What was left out there is no part of the request.
            let outside_request =
                ["errors", "receipts.states", "settings"].map(|part| format!("{path}.{part}"));
            let is_outside =
                |error: &ConfigError| outside_request.iter().any(|part| error.subject.starts_with(part));
            let is_complete = c.report.errors[before..].iter().all(is_outside);
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

/// A recipe without the members that are wrong by themselves. Its members are flattened, which hides them from errors.
fn without_wrong_members(path: &str, object: Value, c: &mut Context) -> Value {
    let Value::Object(members) = object else { return object };
    let kept = members.into_iter().filter(|(name, value)| {
        let alone = Map::from_iter([(name.clone(), value.clone())]);
        let problem = serde_json::from_value::<Recipe>(alone.into()).err();
        if let Some(problem) = &problem {
            c.wrong(&format!("{path}.{name}"), None, format!("it cannot be read: {problem}"));
        }
        problem.is_none()
    });
    Value::Object(kept.collect())
}

/// The paths of members that a type does not have.
pub fn unknown_members<T: JsonSchema>(object: &Value) -> Vec<String> {
    fn collect(schema: &Value, object: &Map<String, Value>, path: &str, found: &mut Vec<String>) {
        let by_name = schema.get("additionalProperties");
        for (name, value) in object {
            let path = format!("{path}{name}");
            let member =
                schema["properties"].get(name).or_else(|| by_name.filter(|schema| schema.is_object()));
            match (member, value) {
                (Some(schema), Value::Object(inner))
                    if schema["properties"].is_object() || schema["additionalProperties"].is_object() =>
                {
                    collect(schema, inner, &format!("{path}."), found);
                }
                (None, _) if by_name.is_none() => found.push(path),
                _ => {}
            }
        }
    }

    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    let mut found = Vec::new();
    if let Some(object) = object.as_object() {
        collect(&schema, object, "", &mut found);
    }
    found
}

/// Every text of headers and body: its path, the name of its field, and itself.
fn texts(settings: &HttpGatewaySettings) -> Vec<(String, &str, String)> {
    fn fields<'a>(member: &str, fields: &'a [(String, String)]) -> Vec<(String, &'a str, String)> {
        let field =
            |(name, value): &'a (String, String)| (format!("{member}.{name}"), name.as_str(), value.clone());
        fields.iter().map(field).collect()
    }

    let mut all = fields("headers", &settings.headers);
    all.extend(settings.json.iter().flat_map(|json| leaves(json, "json", "")));
    all.extend(settings.form.iter().flat_map(|form| fields("form", form)));
    all
}

/// Refuses credentials that are written out in a description.
fn check_secrets(settings: &HttpGatewaySettings, c: &mut Context) {
    let owner = &settings.owner;
    let advice = format!(
        "Give the recipe a setting with \"secret\": true, such as token, put {{token}} in its place, and set {} in the \
         environment or .env",
        owner.variable("token")
    );
    let is_plain =
        |name: &str, value: &str| is_named_as_secret(name) && !value.is_empty() && !value.contains('{');
    let mut wrong: Vec<String> = texts(settings)
        .into_iter()
        .filter(|(_, name, text)| is_plain(name, text))
        .map(|(path, ..)| path)
        .collect();
    let account = settings.account.as_ref().map(|account| ("account.url", &account.url));
    for (member, url) in [("url", &settings.url)].into_iter().chain(account) {
        let query = url.split_once('?').map(|(_, query)| query).unwrap_or_default();
        if form_urlencoded::parse(query.as_bytes()).any(|(name, value)| is_plain(&name, &value)) {
            wrong.push(member.to_owned());
        }
    }
    for member in wrong {
        let problem = format!(
            "this looks like a credential, and credentials do not belong in a configuration. {advice}"
        );
        c.wrong(&format!("{}.{member}", owner.path), None, problem);
    }
}

/// Whether a field of this name is a credential.
fn is_named_as_secret(name: &str) -> bool {
    /// Names of credentials end with one of these. Only letters count.
    const NAMES: &str = "authorization cookie password passwd pass pwd secret apikey authkey token accesskey";
    let name: String = name.chars().filter(char::is_ascii_alphabetic).collect();
    NAMES.split(' ').any(|secret| name.to_ascii_lowercase().ends_with(secret))
}

/// The texts and numbers of a JSON body, each with its path and the name of its field.
fn leaves<'a>(json: &'a Value, path: &str, name: &'a str) -> Vec<(String, &'a str, String)> {
    match json {
        Value::Object(members) => {
            members.iter().flat_map(|(name, value)| leaves(value, &format!("{path}.{name}"), name)).collect()
        }
        Value::Array(items) => items.iter().flat_map(|item| leaves(item, path, name)).collect(),
        leaf => text_of(leaf).map(|text| (path.to_owned(), name, text)).into_iter().collect(),
    }
}
