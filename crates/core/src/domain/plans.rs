//! Renumbered plans: one line that people write in its old and in its new form is one number.

use std::sync::LazyLock;

use super::{NumberError, PhoneNumber};

/// The rows of `plans.txt`.
static TABLE: LazyLock<Vec<(&str, Result<&str, &str>)>> = LazyLock::new(|| {
    let rows = include_str!("plans.txt").lines().filter(|line| !line.starts_with("# "));
    let rows = rows.filter_map(|line| line.split_once(' '));
    rows.map(|(old, today)| (old, today.strip_prefix("! ").map_or(Ok(today), Err))).collect()
});

/// The old forms in which WhatsApp still registers accounts: whapi.cloud and green-api.com, "Specifics of sending messages
/// to numbers of different countries".
const ON_WHATSAPP: [&str; 2] = ["521[23456789]#########", "55[3456789][123456789][689]#######"];

/// Numbers of Sint Maarten and Kosovo under the codes of the Netherlands Antilles, Monaco and Slovenia.
const UNDER_ANOTHER_CODE: [&str; 4] = ["5995######", "37744######", "37745######", "38649######"];

/// The number of today for one that may be in an old form.
///
/// # Errors
/// [`NumberError::Renumbered`] where only its owner knows it.
pub(super) fn today(number: PhoneNumber) -> Result<PhoneNumber, NumberError> {
    let digits = number.as_u64().to_string();
    let changed = TABLE.iter().find_map(|(old, today)| match today {
        Ok(today) => rewritten(&digits, old, today).map(Ok),
        Err(change) => rewritten(&digits, old, old).map(|_| Err(NumberError::Renumbered(change))),
    });
    changed.unwrap_or(Ok(number))
}

/// The old forms of a number of today, but for those under the code of another country: a prefix of that one does not mean
/// the number.
pub(super) fn old_forms(number: PhoneNumber) -> impl Iterator<Item = PhoneNumber> {
    in_old_forms(number, |old| !UNDER_ANOTHER_CODE.contains(&old))
}

impl PhoneNumber {
    /// The number as WhatsApp registers it: some accounts are known by the form before a renumbering.
    #[must_use]
    pub fn on_whatsapp(self) -> Self {
        in_old_forms(self, |old| ON_WHATSAPP.contains(&old)).next().unwrap_or(self)
    }
}

fn in_old_forms(number: PhoneNumber, is_meant: fn(&str) -> bool) -> impl Iterator<Item = PhoneNumber> {
    let digits = number.as_u64().to_string();
    let meant = TABLE.iter().filter(move |(old, _)| is_meant(old));
    meant.filter_map(move |(old, today)| rewritten(&digits, today.ok()?, old))
}

/// A number of the form `from` in the form `to`.
fn rewritten(digits: &str, from: &str, to: &str) -> Option<PhoneNumber> {
    let (mut digits, mut free) = (digits.bytes(), Vec::new());
    for place in places(from) {
        let digit = digits.next().filter(|digit| place == "#" || place.as_bytes().contains(digit))?;
        if is_free(place) {
            free.push(digit);
        }
    }
    let mut free = free.into_iter();
    let rewritten = places(to).try_fold(0, |number, place| {
        let digit = if is_free(place) { free.next()? } else { *place.as_bytes().first()? };
        Some(number * 10 + u64::from(digit - b'0'))
    });
    rewritten.filter(|_| digits.next().is_none()).and_then(PhoneNumber::from_u64)
}

/// The places of a form, each of one digit.
fn places(mut form: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let end = if form.starts_with('[') { form.find(']')? + 1 } else { 1 };
        let place;
        (place, form) = form.split_at_checked(end)?;
        Some(place)
    })
}

fn is_free(place: &str) -> bool {
    place == "#" || place.starts_with('[')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(digits: &str) -> PhoneNumber {
        PhoneNumber::from_e164(&format!("+{digits}")).expect("a number")
    }

    /// A number of a form, with these digits in its free places.
    fn filled(form: &str, digits: u64) -> PhoneNumber {
        let mut rest = digits;
        let digit = |place: &str| {
            let of_place = place.trim_matches(['[', ']']);
            let choices = if place == "#" { "0123456789" } else { of_place };
            let index = usize::try_from(rest % choices.len() as u64).expect("small");
            rest /= 10;
            choices[index..=index].to_owned()
        };
        number(&places(form).map(digit).collect::<String>())
    }

    #[test]
    fn what_is_in_use_today_stays() {
        for digits in [
            // Numbers of Benin that have eight digits today.
            "22981457655", "22985751234",
            "14155552671 390612345678 525512345678 2290197123456 24166031234 24177031234 24111731234 2250712345678",
            // Mobile numbers with their nine, a landline, radio, and a toll-free number of Brazil.
            "5511987654321 5531991234567 551132165432 551178123456 558001234567",
            // A landline and a mobile number of Argentina.
            "541123456789 5491123456789",
            // Beside the old numbers of their countries.
            "5746123456 2304221234 23788123456 38643123456 9742112345 689441234 6707012345 20131234567 201551234567 8418001234",
        ]
        .into_iter()
        .flat_map(|numbers| numbers.split(' '))
        {
            assert_eq!(today(number(digits)), Ok(number(digits)), "{digits}");
        }
    }

    #[test]
    fn whatsapp_keeps_the_form_that_it_registers() {
        for (digits, registered) in [
            ("525512345678", "5215512345678"),
            ("5531987654321", "553187654321"),
            ("5511987654321", "5511987654321"),
            // Never had eight digits.
            ("5531912345678", "5531912345678"),
            ("5491123456789", "5491123456789"),
            ("2290197123456", "2290197123456"),
        ] {
            assert_eq!(number(digits).on_whatsapp(), number(registered), "{digits}");
        }
    }

    proptest! {
        #[test]
        fn two_numbers_of_today_never_become_one(row in 0..TABLE.len(), digits: u64) {
            let (old, form) = TABLE[row];
            let before = filled(old, digits);
            // The library still has Gabon's old numbers, and in Monaco's plan those of Kosovo.
            let is_listed = old.starts_with("241") || old.starts_with("3774");
            prop_assert!(is_listed || !before.is_in_a_plan(), "{}", before.e164());
            let Ok(form) = form else {
                prop_assert!(today(before).is_err());
                return Ok(());
            };
            let now = today(before).expect("a number");
            prop_assert_eq!(PhoneNumber::parse(&before.e164(), None), Ok(now));
            prop_assert_eq!(today(now), Ok(now));
            let is_under_own_code = !UNDER_ANOTHER_CODE.contains(&old);
            prop_assert_eq!(old_forms(now).filter(|old| *old == before).count(), usize::from(is_under_own_code));
            // Each number of its form has an old one, which means it.
            let now = filled(form, digits);
            prop_assert_eq!(today(now), Ok(now));
            prop_assert!(old_forms(now).all(|before| today(before) == Ok(now)));
        }
    }
}
