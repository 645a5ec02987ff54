use super::*;
use GatewayName::{Http, Mada, Simulator, Sinch, TwilioMessages, TwilioVerify};

/// Twilio sends through Messages, and every gateway is configured but the simulator.
fn resolver(name: ProviderName) -> Result<GatewayName, String> {
    match name {
        ProviderName::Twilio => Ok(TwilioMessages),
        ProviderName::Gateway(Simulator) => Err("the simulator is not wanted here".to_owned()),
        ProviderName::Gateway(name) => Ok(name),
    }
}

fn routing(setting: &str) -> Routing {
    let parsed = Routing::parse(setting).unwrap_or_else(|error| panic!("{error}"));
    parsed.resolve(resolver).unwrap_or_else(|error| panic!("{error}"))
}

fn order(setting: &str, number: u64) -> Vec<GatewayName> {
    routing(setting).order(PhoneNumber::from_u64(number).expect("a number")).collect()
}

#[test]
fn a_number_goes_to_the_longest_prefix_then_to_entries_without_prefix() {
    let contract = "Twilio;Mada:+35987,+35988;Sinch";
    let nested = "Mada:+359;Sinch:+35987,+3598712;Http:+3598;Twilio;TwilioVerify";
    for (setting, number, expected) in [
        ("Twilio", 14_155_552_671, vec![TwilioMessages]),
        (contract, 14_155_552_671, vec![TwilioMessages, Sinch]),
        (contract, 359_871_234_567, vec![Mada, TwilioMessages, Sinch]),
        (contract, 359_881_234_567, vec![Mada, TwilioMessages, Sinch]),
        (contract, 359_891_234_567, vec![TwilioMessages, Sinch]),
        (contract, 35_987, vec![Mada, TwilioMessages, Sinch]),
        (contract, 3_598, vec![TwilioMessages, Sinch]),
        ("Sinch;Twilio", 14_155_552_671, vec![Sinch, TwilioMessages]),
        (nested, 359_211_234_567, vec![Mada, TwilioMessages, TwilioVerify]),
        (nested, 359_811_234_567, vec![Http, TwilioMessages, TwilioVerify]),
        (nested, 359_871_134_567, vec![Sinch, TwilioMessages, TwilioVerify]),
        (nested, 359_871_234_567, vec![Sinch, TwilioMessages, TwilioVerify]),
        (nested, 49_171_123_456, vec![TwilioMessages, TwilioVerify]),
        // The longer prefix is written first, and last.
        ("Mada:+35987;Sinch:+359", 359_871_234_567, vec![Mada]),
        ("Sinch:+359;Mada:+35987", 359_871_234_567, vec![Mada]),
        ("Mada:+35987", 14_155_552_671, vec![]),
        (" Twilio ; Mada : +35987 , +35988 ", 359_881_234_567, vec![Mada, TwilioMessages]),
        ("Mada:+123456789012345;Twilio", 123_456_789_012_345, vec![Mada, TwilioMessages]),
        ("Mada:+1;Twilio", 123_456_789_012_345, vec![Mada, TwilioMessages]),
    ] {
        assert_eq!(order(setting, number), expected, "{setting:?} for +{number}");
    }
}

#[test]
fn of_two_equal_prefixes_the_one_written_first_wins() {
    let entry = |gateway| RoutingEntry { gateway, prefixes: vec!["1".to_owned(), "1415".to_owned()] };
    let routing = Routing::new(vec![entry(Sinch), entry(Mada)]);
    let number = PhoneNumber::from_u64(14_155_552_671).expect("a number");
    assert_eq!(routing.order(number).collect::<Vec<_>>(), [Sinch]);
}

#[test]
fn a_list_tells_whom_it_names_and_whether_every_number_has_a_gateway() {
    assert!(routing("Mada:+359;Twilio").takes_any_number());
    assert!(!routing("Mada:+359;Sinch:+1").takes_any_number());
    assert!(routing("Mada:+359;Twilio").names(Mada));
    assert!(!routing("Mada:+359;Twilio").names(TwilioVerify));
    assert_eq!(routing("TwilioVerify"), Routing::only(TwilioVerify));
    assert_eq!(routing("Mada:+359;Twilio").entries()[0].prefixes, ["359"]);
}

#[test]
fn an_entry_keeps_the_name_that_was_written() {
    let parsed = Routing::parse("Mada:+359; Twilio").expect("a routing");
    let entries: Vec<_> = parsed.entries().iter().map(|e| (e.name, e.range.clone())).collect();
    assert_eq!(entries, [(ProviderName::Gateway(Mada), 0..4), (ProviderName::Twilio, 11..17)]);
}

/// The setting, what is pointed at (with `[` and `]` around it), and some of the words.
const MISTAKES: &[(&str, &str)] = &[
    ("[]", "a provider is missing"),
    ("  []", "a provider is missing"),
    ("Twilio;[]", "a provider is missing"),
    ("[];Twilio", "a provider is missing"),
    ("Twilio; [];Sinch", "a provider is missing"),
    ("[]:+359;Sinch", "a provider is missing"),
    ("[Twillio];Sinch", "did you mean Twilio?"),
    ("Sinch;[twilio]", "did you mean Twilio?"),
    ("Sinch;[TwilioMesages]", "did you mean TwilioMessages?"),
    ("[Sinsh]", "did you mean Sinch?"),
    ("[MADA]:+359", "did you mean Mada?"),
    ("[Vonage]", "there are Twilio, Simulator, TwilioMessages, TwilioVoice, TwilioVerify, Sinch, Mada, Http"),
    ("[Mobica]", "Http sends through it"),
    ("[Twilio,Sinch]", "separated by ;"),
    ("[ß∂ƒ];Sinch", "there is no provider"),
    ("Twilio;Sinch;[Twilio]", "listed already"),
    ("Mada:+1;[Mada]:+2", "listed already; give all of its prefixes in one place"),
    ("Mada:[]", "a prefix is missing"),
    ("Mada:+1,[]", "a prefix is missing"),
    ("Mada:+1,[],+2", "a prefix is missing"),
    ("Mada: [];Twilio", "a prefix is missing"),
    ("Mada:[35987]", "is not a prefix"),
    ("Mada:+1,[0035987]", "is not a prefix"),
    ("Mada:[+]", "is not a prefix"),
    ("Mada:[+0359]", "the country code first"),
    ("Mada:[++359]", "is not a prefix"),
    ("Mada:[+1234567890123456]", "1 to 15 digits"),
    ("Mada:[+359 87]", "is not a prefix"),
    ("Mada:[+359:+360]", "is not a prefix"),
    ("Mada:[+٣٥٩]", "is not a prefix"),
    ("Mada:+359,[+359]", "belongs to Mada already"),
    ("Mada:+359;Sinch:+1, [+359]", "the prefix +359 belongs to Mada already"),
    // Found only when names are compared with what is configured.
    ("Twilio;[TwilioMessages]", "TwilioMessages is TwilioMessages here"),
    ("TwilioMessages; [Twilio] :+1", "Twilio is TwilioMessages here, which is listed already"),
    ("Twilio;[Simulator]", "the simulator is not wanted here"),
];

#[test]
fn a_mistake_is_pointed_at() {
    for (marked, words) in MISTAKES {
        let (start, end) = (marked.find('[').expect("["), marked.find(']').expect("]") - 1);
        let setting = marked.replace(['[', ']'], "");
        let error = Routing::parse(&setting).and_then(|parsed| parsed.resolve(resolver));
        let error = error.expect_err(marked);
        assert_eq!(error.range(), start..end, "{marked}: {error}");
        assert!(error.words().contains(words), "{marked}: {error}");
        assert!(!error.words().contains('\n'), "{marked}: {error}");
    }
}

#[test]
fn an_error_quotes_the_setting_with_a_pointer_below_the_part() {
    let shown = |setting| Routing::parse(setting).expect_err("a mistake").to_string();
    assert_eq!(
        shown("Mada:+35987;Twillio"),
        "there is no provider \"Twillio\"; did you mean Twilio?\n  Mada:+35987;Twillio\n              ^^^^^^^"
    );
    assert!(shown("Twilio;").ends_with("\n  Twilio;\n         ^"));
    assert!(shown("Twilio;\tßeta;\nMada").ends_with("\n  Twilio; ßeta; Mada\n          ^^^^"));
}
