//! Countries with their share of the honest users, and numbers in them.

use onceward_core::domain::{PhoneNumber, Region};

/// Letters, calling code, digits after it, share of the honest users and of those that verify (per mille).
pub type Country = (&'static str, u64, u32, u32, u32);

/// Countries with honest users, then countries that attackers are paid in.
#[rustfmt::skip]
pub const COUNTRIES: [Country; 44] = [
    ("US", 1, 10, 300, 880), ("GB", 44, 10, 110, 870), ("DE", 49, 11, 90, 860), ("FR", 33, 9, 70, 870),
    ("IN", 91, 10, 65, 780), ("BR", 55, 11, 55, 800), ("CA", 1, 10, 45, 880), ("ES", 34, 9, 40, 860),
    ("IT", 39, 10, 38, 860), ("MX", 52, 10, 32, 800), ("NL", 31, 9, 27, 880), ("AU", 61, 9, 24, 880),
    ("PL", 48, 9, 21, 870), ("TR", 90, 10, 18, 800), ("JP", 81, 10, 15, 880), ("SE", 46, 9, 13, 890),
    ("ID", 62, 11, 11, 700), ("CH", 41, 9, 10, 880), ("PT", 351, 9, 9, 870), ("SG", 65, 8, 7, 880),
    ("AZ", 994, 9, 0, 0), ("TJ", 992, 9, 0, 0), ("UZ", 998, 9, 0, 0), ("KG", 996, 9, 0, 0),
    ("LK", 94, 9, 0, 0), ("BD", 880, 10, 0, 0), ("NP", 977, 10, 0, 0), ("PK", 92, 10, 0, 0),
    ("NG", 234, 10, 0, 0), ("KE", 254, 9, 0, 0), ("TZ", 255, 9, 0, 0), ("UG", 256, 9, 0, 0),
    ("MM", 95, 10, 0, 0), ("KH", 855, 9, 0, 0), ("JO", 962, 9, 0, 0), ("LB", 961, 8, 0, 0),
    ("IQ", 964, 10, 0, 0), ("DZ", 213, 9, 0, 0), ("TN", 216, 8, 0, 0), ("CU", 53, 8, 0, 0),
    ("ZW", 263, 9, 0, 0), ("MG", 261, 9, 0, 0), ("BY", 375, 9, 0, 0), ("AM", 374, 8, 0, 0),
];

/// Countries with honest users.
pub const HONEST: usize = 20;

pub const US: usize = 0;

/// The first country without honest users.
pub const FOREIGN: usize = HONEST;

/// Countries with many prefixes, whatever a scenario says.
pub const LARGE: usize = 10;

/// Countries of an attacker who has all of them. Beyond the table they have no plan, and a letter code each.
pub const ALL: usize = 200;

/// Letters of the countries beyond the table.
const MORE: &[u8] = b"\
    ADAEAFAGAIALAOARASATAWAXBABBBEBFBGBHBIBJBLBMBNBOBQBSBTBWBZCCCDCFCGCICKCLCMCNCOCRCVCWCXCYCZDJDKDM\
    DOECEEEGEHERETFIFJFKFMFOGAGDGEGFGGGHGIGLGMGNGPGQGRGTGUGWGYHKHNHRHTHUIEILIMIOIRISJEJMKIKMKNKPKRKW\
    KYKZLALCLILRLSLTLULVLYMAMCMDMEMFMHMKMLMNMOMPMQMRMSMTMUMVMWMYMZNANCNENFNINONRNUNZOMPAPEPFPGPHPMPR\
    PSPWPYQARERORSRURWSASBSCSDSHSISJSKSLSMSNSO";

/// A country beyond the table has a code of four digits that no plan knows.
pub fn letters(country: usize) -> Option<Region> {
    if let Some(country) = COUNTRIES.get(country) {
        return Region::parse(country.0);
    }
    let at = (country - COUNTRIES.len()) * 2;
    Region::parse(std::str::from_utf8(&MORE[at..at + 2]).expect("letters"))
}

/// The n-th number of a country's mobile ranges.
pub fn number(country: usize, n: u64) -> PhoneNumber {
    let (code, digits) = match COUNTRIES.get(country) {
        Some((_, code, digits, ..)) => (*code, *digits),
        None => (7_000 + u64::try_from(country).expect("small"), 9),
    };
    // A first digit of 6 stands for the mobile ranges.
    let scale = 10_u64.pow(digits);
    let digits = code * scale + 6 * (scale / 10) + n % (scale / 10);
    PhoneNumber::from_u64(digits).expect("at most 14 digits")
}
