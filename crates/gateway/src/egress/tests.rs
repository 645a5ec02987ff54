//! Which addresses each policy lets the program connect to.

use super::*;

/// Metadata of clouds and link-local addresses, in every spelling.
const OF_THE_MACHINE: &str = "\
    169.254.169.254 169.254.0.1 ::ffff:169.254.169.254 168.63.129.16 192.0.0.192 ::ffff:168.63.129.16 \
    64:ff9b::a83f:8110 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::1 fe80::1 febf::1 100.100.100.200 fd00:ec2::254 \
    fd00:ec2::23 fd20:ce::254 fd00:c1::a9fe:a9fe fd00:42::42";

/// Forms of an IPv4 address that have no use, whatever the address is.
const OBSOLETE: &str = "\
    ::127.0.0.1 ::1.1.1.1 ::2 ::ffff:0:1.1.1.1 64:ff9b:1::a9fe:a9fe 64:ff9b:1:a9fe:a9:fe00:: 2001::1 \
    2001:0:a9fe:a9fe::1";

const PRIVATE: &str = "\
    127.0.0.1 ::1 ::ffff:127.0.0.1 0.0.0.0 :: 10.1.2.3 172.31.0.1 192.168.0.1 100.64.0.1 198.19.0.1 \
    192.0.2.1 198.51.100.255 203.0.113.7 192.88.99.1 192.31.196.1 192.52.193.255 192.175.48.1 \
    2620:4f:8000::1 3ffe::1 5f00::1 224.0.0.1 255.255.255.255 fd12::1 64:ff9b::a00:1 ff02::1 2001:db8::1 \
    2001:2::1 3fff:fff::1";

const PUBLIC: &str = "\
    1.1.1.1 64:ff9b::101:101 172.32.0.1 100.128.0.1 192.0.1.1 198.51.101.1 2001:200::1 192.31.197.1 \
    192.175.49.1 2620:4f:8001::1 2606:4700::1111";

#[test]
fn each_policy_allows_what_it_says() {
    let policies = [EgressPolicy::Anywhere, EgressPolicy::PrivateToo, EgressPolicy::PublicOnly];
    for (addresses, allowed) in [
        (OF_THE_MACHINE, [true, false, false]),
        (OBSOLETE, [true, false, false]),
        (PRIVATE, [true, true, false]),
        (PUBLIC, [true, true, true]),
    ] {
        for text in addresses.split(' ') {
            let address = text.parse().expect(text);
            assert_eq!(policies.map(|policy| policy.allows(address)), allowed, "{text}");
        }
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
