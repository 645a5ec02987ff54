//! Renumbered plans: one line that people write in its old and in its new form is one number.

use super::routing::{DIGITS_MAX, spelled};
use super::{NumberError, PhoneNumber};

/// Numbers that a country has replaced. In a form, `#` stands for any digit and `[..]` for one of those within; they occur
/// in both forms in the same order.
struct Renumbering {
    old: &'static str,
    /// The form of today, or what changed, where the old form does not tell the new one.
    today: Result<&'static str, &'static str>,
    /// Whether WhatsApp still registers the accounts of these numbers in the old form.
    on_whatsapp: bool,
}

const fn renumbered(old: &'static str, today: &'static str) -> Renumbering {
    Renumbering { old, today: Ok(today), on_whatsapp: false }
}

/// What WhatsApp registers: whapi.cloud and green-api.com, "Specifics of sending messages to numbers of different
/// countries".
const TABLE: [Renumbering; 11] = [
    // Mexico: IFT, Plan Técnico Fundamental de Numeración (DOF 2018-05-11): the 1 goes on 2019-08-03, off 2020-08-03.
    Renumbering { on_whatsapp: true, ..renumbered("521[23456789]#########", "52[23456789]#########") },
    // Brazil: Anatel, ninth digit of mobile numbers, in all areas since 2016-11-06. Landlines (2 to 5) keep eight digits,
    // as radio (7, once Nextel) did.
    renumbered("55[12][123456789][689]#######", "55[12][123456789]9[689]#######"),
    Renumbering {
        on_whatsapp: true,
        ..renumbered("55[3456789][123456789][689]#######", "55[3456789][123456789]9[689]#######")
    },
    // Benin: ARCEP Bénin, ten digits since 2024-11-30: 01 before every number of eight.
    renumbered("229########", "22901########"),
    // Gabon: ARCEP, plan of 2019-11-15, alone since 2024-04-06: 01 is 011, 02, 05 and 06 are 062, 065 and 066, 04 and 07
    // are 074 and 077, and the zero is not dialled from abroad. People left it out before, too.
    renumbered("24101######", "24111######"),
    renumbered("2410[256]######", "2416[256]######"),
    renumbered("2410[47]######", "2417[47]######"),
    renumbered("2411######", "24111######"),
    renumbered("241[256]######", "2416[256]######"),
    renumbered("241[47]######", "2417[47]######"),
    // Ivory Coast: ARTCI, ten digits since 2021-01-31. The digits tell the operator, which the old form does not.
    Renumbering {
        old: "225########",
        today: Err(
            "numbers of Ivory Coast have ten digits since 31 January 2021: the old eight come after 01, 05 or \
             07 for a mobile of Moov, MTN or Orange, and after 21, 25 or 27 for a landline",
        ),
        on_whatsapp: false,
    },
];

/// The number of today for one that may be in an old form.
///
/// # Errors
/// [`NumberError::Renumbered`] where only its owner knows it.
pub(super) fn today(number: PhoneNumber) -> Result<PhoneNumber, NumberError> {
    for Renumbering { old, today, .. } in &TABLE {
        match today {
            Ok(today) => {
                if let Some(today) = rewritten(number, old, today) {
                    return Ok(today);
                }
            }
            Err(change) if rewritten(number, old, old).is_some() => {
                return Err(NumberError::Renumbered(change));
            }
            Err(_) => {}
        }
    }
    Ok(number)
}

/// The old forms of a number of today.
pub(super) fn old_forms(number: PhoneNumber) -> impl Iterator<Item = PhoneNumber> {
    TABLE.iter().filter_map(move |row| rewritten(number, row.today.ok()?, row.old))
}

/// The form of a number of today that WhatsApp registers.
pub(super) fn on_whatsapp(number: PhoneNumber) -> PhoneNumber {
    let mut registered = TABLE.iter().filter(|row| row.on_whatsapp);
    registered.find_map(|row| rewritten(number, row.today.ok()?, row.old)).unwrap_or(number)
}

/// A number of the form `from` in the form `to`. Allocates nothing: routes with prefixes ask it for each message.
fn rewritten(number: PhoneNumber, from: &str, to: &str) -> Option<PhoneNumber> {
    let (mut buffer, mut free, mut count) = ([0; DIGITS_MAX], [0; DIGITS_MAX], 0);
    let mut digits = spelled(number, &mut buffer).iter();
    for place in places(from) {
        let digit = *digits.next().filter(|digit| place == "#" || place.as_bytes().contains(digit))?;
        if is_free(place) {
            free[count] = digit;
            count += 1;
        }
    }
    let mut free = free.iter();
    let rewritten = places(to).try_fold(0, |number, place| {
        let digit = if is_free(place) { free.next()? } else { place.as_bytes().first()? };
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
            "525512345678",
            "2290197123456",
            "24166031234",
            "24177031234",
            "24111731234",
            // Mobile numbers with their nine, a landline, radio, and a toll-free number of Brazil.
            "5511987654321",
            "5531991234567",
            "551132165432",
            "551178123456",
            "558001234567",
            // A landline and a mobile number of Argentina.
            "541123456789",
            "5491123456789",
            "390612345678",
            "2250712345678",
            "14155552671",
        ] {
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
            assert_eq!(on_whatsapp(number(digits)), number(registered), "{digits}");
        }
    }

    proptest! {
        #[test]
        fn two_numbers_of_today_never_become_one(row in 0..TABLE.len(), digits: u64) {
            let Renumbering { old, today: form, .. } = &TABLE[row];
            let Ok(form) = form else { return Ok(()) };
            let now = filled(form, digits);
            prop_assert_eq!(today(now), Ok(now));
            // Its old form is no number of today, and means this one.
            let before = rewritten(now, form, old).expect("an old form");
            prop_assert_eq!(today(before), Ok(now));
            prop_assert!(TABLE.iter().filter_map(|row| row.today.ok()).all(|form| rewritten(before, form, form).is_none()));
        }

    }
}
