//! Which addresses each policy lets the program connect to.

use super::*;

#[test]
fn each_policy_allows_what_it_says() {
    let policies = [EgressPolicy::Anywhere, EgressPolicy::PrivateToo, EgressPolicy::PublicOnly];
    for row in include_str!("addresses.tsv").lines().filter(|row| !row.starts_with('#')) {
        let (last, text) = row.split_once('\t').expect("two columns");
        let address = text.parse().expect(text);
        let allowing: Vec<_> = policies.into_iter().filter(|policy| policy.allows(address)).collect();
        let place = policies.iter().position(|policy| format!("{policy:?}") == last).expect("a policy");
        assert_eq!(allowing, policies[..=place], "{text}");
    }
}

#[test]
fn the_addresses_of_this_machine_are_its_own() {
    for (text, own) in [("127.0.0.1", true), ("127.8.0.1", true), ("192.0.2.1", false), ("1.1.1.1", false)] {
        assert_eq!(is_own(text.parse().expect(text)), own, "{text}");
    }
    // The address of an interface, where there is a route.
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    if socket.connect("192.0.2.1:9").is_ok() {
        assert!(is_own(socket.local_addr().expect("an address").ip()));
    }
}

#[test]
fn an_address_in_a_url_is_seen_however_it_is_spelled() {
    for text in
        ["http://169.254.169.254/", "http://0xa9fea9fe/", "http://2852039166/", "http://[::ffff:a9fe:a9fe]/"]
    {
        assert!(!EgressPolicy::PrivateToo.allows_host(&Url::parse(text).expect(text)), "{text}");
    }
    for text in ["http://hooks.example.com/", "http://127.0.0.1:8080/", "http://[::1]/"] {
        assert!(EgressPolicy::PrivateToo.allows_host(&Url::parse(text).expect(text)), "{text}");
    }
}
