//! Renumbered plans: one line that people write in its old and in its new form is one number.

use super::phone::DIGITS_MAX;
use super::{NumberError, PhoneNumber};

/// The old form of numbers, and their form of today; or what changed, where the old form does not tell it. In a form, `#`
/// stands for any digit and `[..]` for one of those within; they occur in both forms in the same order. Beside the rows
/// are their source and the date of the change. Which old numbers were mobile ones, where the source does not list them,
/// is in libphonenumber's metadata of that time.
#[rustfmt::skip] // A table.
const TABLE: &[(&str, Result<&str, &str>)] = &[
    // Mexico: IFT, Plan Técnico Fundamental de Numeración (DOF 2018-05-11): the 1 goes on 2019-08-03, off 2020-08-03.
    ("521[23456789]#########", Ok("52[23456789]#########")),
    // Brazil: Anatel, ninth digit of mobile numbers, in all areas since 2016-11-06. Landlines (2 to 5) keep eight digits,
    // as radio (7, once Nextel) did.
    ("55[12][123456789][689]#######", Ok("55[12][123456789]9[689]#######")),
    ("55[3456789][123456789][689]#######", Ok("55[3456789][123456789]9[689]#######")),
    // Colombia: CRC, Resolución 5826 (2019), 2021-09-01: 60 before the area code of landlines. 46 and six digits is of today.
    ("57[125678]#######", Ok("5760[125678]#######")),
    ("574[234578]######", Ok("57604[234578]######")),
    // Ecuador: 2012-09-30 (libphonenumber 2012-09): 9 before the eight digits of mobile numbers.
    ("593[89]#######", Ok("5939[89]#######")),
    ("59369######", Ok("593969######")),
    // Sint Maarten: NANPA, Planning Letter 423, 2011-09-30: +599 5 is +1 721 5.
    ("5995######", Ok("17215######")),
    // Egypt: NTRA, 2011-10-06: mobile numbers of nine digits have ten. Ten digits that begin with 15 were replaced, too, but
    // belong to another network today.
    ("201[069]#######", Ok("2010[069]#######")),
    ("201[14]#######", Ok("2011[14]#######")),
    ("201[278]#######", Ok("2012[278]#######")),
    // Benin: ARCEP Bénin, ten digits since 2024-11-30: 01 before the eight of landlines and mobile numbers. 81 and 857 have
    // eight today.
    ("229[24569]#######", Ok("22901[24569]#######")),
    // Mauritius: ICTA, decision of 2013-02-11, 2013-09-01: 5 before mobile numbers. 421, 422 and 428 are landlines today.
    ("23025#####", Ok("230525#####")),
    ("23042[39]####", Ok("230542[39]####")),
    ("23049[123456789]####", Ok("230549[123456789]####")),
    ("2307######", Ok("23057######")),
    ("23087[15678]####", Ok("230587[15678]####")),
    ("2309[12345678]#####", Ok("23059[12345678]#####")),
    // Cameroon: ART, 2014-11-21: 6 before mobile numbers.
    ("237[679]#######", Ok("2376[679]#######")),
    ("237[23]#######", Err("landlines of Cameroon have nine digits since 21 November 2014: the old eight come after 2; \
        a CT Phone has 242 or 243 in place of 22 or 33")),
    // Gabon: ARCEP, plan of 2019-11-15, alone since 2024-04-06: 01 is 011, 02, 05 and 06 are 062, 065 and 066, 04 and 07
    // are 074 and 077, and the zero is not dialled from abroad. People left it out before, too.
    ("24101######", Ok("24111######")),
    ("2410[256]######", Ok("2416[256]######")),
    ("2410[47]######", Ok("2417[47]######")),
    ("2411######", Ok("24111######")),
    ("241[256]######", Ok("2416[256]######")),
    ("241[47]######", Ok("2417[47]######")),
    // Guinea-Bissau: ARN, 2015-11-01 (Lusa 2015-11-03): 95 before numbers of Orange (5), 96 before those of MTN (6).
    ("2455######", Ok("245955######")),
    ("2456######", Ok("245966######")),
    // Ivory Coast: ARTCI, ten digits since 2021-01-31. The digits tell the operator, which the old form does not.
    ("225########", Err("numbers of Ivory Coast have ten digits since 31 January 2021: the old eight come after 01, 05 or \
        07 for a mobile of Moov, MTN or Orange, and after 21, 25 or 27 for a landline")),
    // Kosovo: ARKEP, 2019-09-03 (AKEP 2019-09-24): mobile numbers under +377 and +386 are under +383. Slovenia uses +386 43.
    ("37744######", Ok("38344######")),
    ("37745######", Ok("38345######")),
    ("38649######", Ok("38349######")),
    // Philippines: NTC, Memorandum Order 10-10-2017, 2019-10-06.
    ("632#######", Err("landlines of Metro Manila have eight digits after 2 since 6 October 2019: the old seven come after 8 \
        of PLDT, 7 of Globe, 3 of Bayantel, or 6")),
    // Timor-Leste: ITU, communication of 2013-03-27, 2013-01-01: 7 before mobile numbers.
    ("6707[2345678]#####", Ok("67077[2345678]#####")),
    // French Polynesia: Conseil des ministres of 2012-11-14, 2014-06-23: 87 before mobile numbers.
    ("689[27]#####", Ok("68987[27]#####")),
    ("6893[01234579]####", Ok("689873[01234579]####")),
    // Vietnam: MIC, 2018-09-15: mobile numbers of ten digits have nine.
    ("8412[068]#######", Ok("847[068]#######")),
    ("84121#######", Ok("8479#######")),
    ("84122#######", Ok("8477#######")),
    ("8412[345]#######", Ok("848[345]#######")),
    ("84127#######", Ok("8481#######")),
    ("84129#######", Ok("8482#######")),
    ("8416[23456789]#######", Ok("843[23456789]#######")),
    ("8418[68]#######", Ok("845[68]#######")),
    ("84199#######", Ok("8459#######")),
    // Qatar: ictQATAR, 2010-07-28: the first digit twice, if it is one of 3 to 7.
    ("9743######", Ok("97433######")),
    ("9744######", Ok("97444######")),
    ("9745######", Ok("97455######")),
    ("9746######", Ok("97466######")),
    ("9747######", Ok("97477######")),
];

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
    let mut buffer = [0; DIGITS_MAX];
    let digits = number.spelled(&mut buffer);
    let changed = TABLE.iter().find_map(|(old, today)| match today {
        Ok(today) => rewritten(digits, old, today).map(Ok),
        Err(change) => rewritten(digits, old, old).map(|_| Err(NumberError::Renumbered(change))),
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
    TABLE.iter().filter(move |(old, _)| is_meant(old)).filter_map(move |(old, today)| {
        let mut buffer = [0; DIGITS_MAX];
        rewritten(number.spelled(&mut buffer), today.ok()?, old)
    })
}

/// A number of the form `from` in the form `to`. Allocates nothing: routes with prefixes ask it for each message.
fn rewritten(digits: &[u8], from: &str, to: &str) -> Option<PhoneNumber> {
    let (mut free, mut count, mut digits) = ([0; DIGITS_MAX], 0, digits.iter());
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
