use secrecy::SecretString;

use super::super::*;

const URL: &str = "https://mycompany.com";
const PATH: &str = "/myapp.php?foo=1&bar=2";
const FORM: &str =
    "Digits=1234&To=%2B18005551212&From=%2B12349013030&Caller=%2B12349013030&CallSid=CA1234567890ABCDE";
const SIGNATURE: &str = "0/KCTR6DLpKmkAf8muzZqo1nDgQ=";

#[test]
fn the_vectors_of_the_security_rules_are_genuine() {
    assert!(form_is_genuine(URL, PATH, FORM, SIGNATURE));
    let other = FORM.replace("%2B12349013030", "%2B14158675309");
    assert!(form_is_genuine(URL, PATH, &other, "RSOYDt4T1cUTdK1PDd93/VVr8B8="));
    assert!(!form_is_genuine(URL, PATH, &other, SIGNATURE));
}

#[test]
fn the_order_of_parameters_and_their_spelling_do_not_matter() {
    let mut pairs: Vec<&str> = FORM.split('&').collect();
    pairs.reverse();
    assert!(form_is_genuine(URL, PATH, &pairs.join("&"), SIGNATURE));
    assert!(form_is_genuine(URL, PATH, &FORM.replace("1234&", "%31234&"), SIGNATURE));
}

#[test]
fn whatever_is_changed_is_not_genuine() {
    assert!(!form_is_genuine(URL, PATH, &FORM.replace("Digits=1234", "Digits=1235"), SIGNATURE));
    assert!(!form_is_genuine(URL, PATH, &FORM.replace("Digits=1234&", ""), SIGNATURE));
    assert!(!form_is_genuine(URL, PATH, &format!("{FORM}&More="), SIGNATURE));
    assert!(!form_is_genuine(URL, PATH, &format!("{FORM}&More=1"), SIGNATURE));
    assert!(!form_is_genuine(URL, "/myapp.php?bar=2&foo=1", FORM, SIGNATURE));
    assert!(!form_is_genuine(URL, "/myapp.php", FORM, SIGNATURE));
    assert!(!form_is_genuine("http://mycompany.com", PATH, FORM, SIGNATURE));
    assert!(!form_is_genuine("https://example.com", PATH, FORM, SIGNATURE));
    assert!(!genuine("12346", URL, PATH, Some(FORM), FORM, SIGNATURE));
}

#[test]
fn what_is_no_signature_is_not_genuine() {
    for signature in
        ["", "=", "0/KC", "0/KCTR6DLpKmkAf8muzZqo1nDgQ", "not base64", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="]
    {
        assert!(!form_is_genuine(URL, PATH, FORM, signature), "{signature:?}");
    }
}

#[test]
fn a_parameter_with_several_values_is_signed_with_each_once_in_order() {
    // HMAC-SHA-1 with the key 12345, computed with another tool, of "https://example.com/callbacks?a=1" "Aone" "Atwo"
    // "B" "Cä ö".
    let signature = "V/t7JwtCyZ2bXQC1SBuz+WYPRIs=";
    let form = "C=%C3%A4+%C3%B6&A=two&B=&A=one&A=two";
    assert!(form_is_genuine("https://example.com", "/callbacks?a=1", form, signature));
}

#[test]
fn a_port_may_be_signed_or_not() {
    for (url, signed) in [
        ("https://a.example", "https://a.example"),
        ("https://a.example", "https://a.example:443"),
        ("http://a.example", "http://a.example:80"),
        ("https://a.example:443", "https://a.example"),
        ("https://a.example:8443", "https://a.example:8443"),
        ("https://a.example:8443", "https://a.example"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]:443"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]"),
        ("https://a.example/otp", "https://a.example:443/otp"),
    ] {
        assert!(addresses(url, "/c?a=1").contains(&format!("{signed}/c?a=1")), "{url} {signed}");
    }
    for (url, never) in [
        ("https://a.example", "https://a.example:80"),
        ("https://a.example", "http://a.example"),
        ("https://a.example", "https://a.example:8443"),
        ("https://a.example:8443", "https://a.example:443"),
    ] {
        assert!(!addresses(url, "/c?a=1").contains(&format!("{never}/c?a=1")), "{url} {never}");
    }
}

#[test]
fn the_path_of_the_public_address_may_be_taken_away_by_a_proxy_or_not() {
    let asked_for = "https://a.example/otp/c?a=1".to_owned();
    assert!(addresses("https://a.example/otp", "/c?a=1").contains(&asked_for));
    assert!(addresses("https://a.example/otp", "/otp/c?a=1").contains(&asked_for));
    // A path without the prefix was never given to Twilio.
    for path in ["/c?a=1", "/otpc?a=1", "/x/otp/c?a=1"] {
        assert!(!addresses("https://a.example/otp", path).contains(&format!("https://a.example{path}")));
    }
}

#[test]
fn a_body_that_is_no_form_is_signed_by_its_hash_in_the_address() {
    // Computed with another tool: the hash of the body, and HMAC-SHA-1 of the address with the key 12345.
    let body = r#"{"CallSid":"CA1234567890ABCDE","Caller":"+12349013030"}"#;
    let path = "/myapp?bodySHA256=5ccde7145dfb8f56479710896586cb9d5911809d83afbe34627818790db0aec9";
    let signature = "hPXmLwIy3Fgqv1i9KPmH/HhQ6zo=";
    let json = |path: &str, body: &str| genuine("12345", "https://example.com", path, None, body, signature);
    assert!(json(path, body));
    assert!(!json(path, &body.replace("13030", "13031")));
    assert!(!json(path, ""));
    // Without a hash any body would fit.
    assert!(!json("/myapp", body));
    assert!(!json(&path.to_uppercase(), body));
}

#[test]
fn a_signed_address_without_a_hash_signs_no_body() {
    let mac = Hmac::<Sha1>::new_from_slice(b"12345").expect("a key").chain_update("https://example.com/c");
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    assert!(form_is_genuine("https://example.com", "/c", "", &signature));
    assert!(!genuine("12345", "https://example.com", "/c", None, "{}", &signature));
    assert!(!genuine("12345", "https://example.com", "/c", None, "", &signature));
}

fn form_is_genuine(url: &str, path: &str, form: &str, signature: &str) -> bool {
    genuine("12345", url, path, Some(form), form, signature)
}

fn genuine(token: &str, url: &str, path: &str, form: Option<&str>, body: &str, signature: &str) -> bool {
    let fields = form.map(|form| Fields::of_form(form.as_bytes()));
    let request = CallbackRequest { path_and_query: path, form: fields.as_ref(), body: body.as_bytes() };
    is_genuine(&SecretString::from(token.to_owned()), url, &request, signature)
}
