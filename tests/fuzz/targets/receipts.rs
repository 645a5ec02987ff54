//! Signed receipts of gateways with a recipe, compared with an independent signer.

use hmac::{Hmac, KeyInit as _, Mac as _};
use onceward::domain::GatewayName;
use onceward::gateway::{CallbackError, Receipt, ReceiptStatus, Recipe, RecipeCallbacks};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

use super::first_line;

const KEY: &str = "fuzz-key";
const PATH: &str = "/callbacks/gateways/fuzz";

/// One line each for recipe, query, time and signature, and the body. The target replaces the signature `signed` by a
/// valid one.
pub fn receipts(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else { return };
    let (recipe, input) = first_line(input);
    let (query, input) = first_line(input);
    let (time, input) = first_line(input);
    let (signature, body) = first_line(input);
    let is_meta = recipe == "meta";
    // Only the recipe for Android signs a time, and says where it is.
    let (recipe, signature_header, prefix, signed_time) = if is_meta {
        ("meta-whatsapp", "x-hub-signature-256", "sha256=", "")
    } else {
        ("android", "x-signature", "", time)
    };
    let callbacks = reader(recipe, KEY);
    let target = if query.is_empty() { PATH.to_owned() } else { format!("{PATH}?{query}") };
    let read = |callbacks: &RecipeCallbacks, target: &str, signature: Option<&str>, body: &str| {
        let mut headers = HeaderMap::new();
        for (name, value) in [(signature_header, signature), ("x-timestamp", Some(time))] {
            let value = value.and_then(|value| HeaderValue::from_str(value).ok());
            headers.extend(value.map(|value| (HeaderName::from_static(name), value)));
        }
        callbacks.read(target, &headers, body.as_bytes())
    };
    let made = format!("{prefix}{}", sign(&format!("{body}{signed_time}")));
    if signature != "signed" {
        if signature.trim() != made {
            assert_eq!(read(&callbacks, &target, Some(signature), body), Err(CallbackError::NotFromProvider));
        }
        return;
    }
    for (callbacks, target, signature, body) in [
        (&reader(recipe, "another"), target.as_str(), Some(made.as_str()), body),
        (&callbacks, &target.replace("/fuzz", "/other"), Some(&made), body),
        (&callbacks, &target, None, body),
        (&callbacks, &target, Some(&made), &format!(" {body}")),
    ] {
        assert_eq!(read(callbacks, target, signature, body), Err(CallbackError::NotFromProvider));
    }
    let receipts = read(&callbacks, &target, Some(&made), body);
    assert_eq!(read(&callbacks, &target, Some(&made), body), receipts, "the same again");
    // A header has no control characters, and its value no spaces around it.
    let is_sendable =
        time.trim() == time && HeaderValue::from_str(time).is_ok_and(|time| time.to_str().is_ok());
    match receipts {
        Ok(receipts) => receipts.iter().flatten().for_each(|receipt| understood(receipt, body)),
        Err(error) => assert!(!is_meta && !is_sendable, "{error}"),
    }
}

fn reader(recipe: &str, key: &str) -> RecipeCallbacks {
    let recipe = Recipe::named(recipe).expect("a recipe");
    let value = |setting: &str| match setting {
        "signing_key" | "app_secret" => key,
        "url" => "http://127.0.0.1:9",
        _ => "1",
    };
    let needed = recipe.settings.iter().filter(|(_, setting)| setting.default.is_none());
    let values = needed.map(|(name, _)| (name.clone(), value(name).to_owned())).collect();
    let name = GatewayName::of("fuzz").expect("a name");
    let settings = recipe.filled_in(name, "ONCEWARD_GATEWAYS_FUZZ_", values);
    RecipeCallbacks::new(std::iter::once(&settings)).expect("receipts")
}

/// What is taken over is in the body, which alone was signed.
fn understood(receipt: &Receipt, body: &str) {
    let Receipt { attempt, gateway, message_id, status, code, class, said } = receipt;
    assert_eq!(gateway.map(GatewayName::as_str), Some("fuzz"));
    assert!((1..=72).contains(&message_id.len()) && message_id.bytes().all(|b| b.is_ascii_graphic()));
    assert_eq!(class.is_some(), *status == ReceiptStatus::Failed);
    assert!(code.is_none() || class.is_some());
    assert!(said.as_ref().is_none_or(|said| said.chars().count() <= 200));
    // JSON and forms may write any character in another way.
    assert!(body.contains(['\\', '%']) || body.contains(&attempt.to_string()), "{attempt}");
}

fn sign(text: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).expect("any length");
    base16ct::lower::encode_string(&mac.chain_update(text.as_bytes()).finalize().into_bytes())
}
