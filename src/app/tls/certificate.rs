//! Reads a certificate's names, its expiry and its issuer.

use std::fmt::{self, Display, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use super::fault::Fault;
use crate::domain::Timestamp;

/// A certificate that ends within this time should have been renewed: those that are renewed by a program are, a month
/// before.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Names that the log shows.
const NAMES_SHOWN: usize = 10;

/// The server's own certificate, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    names: Vec<String>,
    begins: Timestamp,
    ends: Timestamp,
}

/// A problem with the dates of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateProblem {
    Expired { ends: Timestamp },
    NotYetValid { begins: Timestamp },
    ExpiresSoon { ends: Timestamp, days: u64 },
}

impl Display for DateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { ends } => write!(
                f,
                "the certificate expired at {}, and clients refuse it; renew it and send SIGHUP",
                ends.rfc3339_seconds()
            ),
            Self::NotYetValid { begins } => write!(
                f,
                "the certificate is not valid before {}, and clients refuse it until then; is the clock of this machine \
                 right?",
                begins.rfc3339_seconds()
            ),
            Self::ExpiresSoon { ends, days } => write!(
                f,
                "the certificate expires at {}, in {days} days; renew it and send SIGHUP",
                ends.rfc3339_seconds()
            ),
        }
    }
}

impl About {
    /// The hosts it is for, the first few of them.
    pub fn names(&self) -> String {
        let mut names =
            self.names.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        if let Some(more @ 1..) = self.names.len().checked_sub(NAMES_SHOWN) {
            // Writing to a text cannot fail.
            let _ = write!(names, " and {more} more");
        }
        names
    }

    pub fn expires(&self) -> impl Display + use<> {
        self.ends.rfc3339_seconds()
    }

    /// A problem that the operator must fix: it has expired, will soon, or is not valid yet.
    pub fn problem(&self, now: Timestamp) -> Option<DateProblem> {
        let (begins, ends) = (self.begins, self.ends);
        if now > ends {
            return Some(DateProblem::Expired { ends });
        }
        if now < begins {
            return Some(DateProblem::NotYetValid { begins });
        }
        let left = ends.since(now);
        (left < SOON).then_some(DateProblem::ExpiresSoon { ends, days: left.as_secs() / (24 * 60 * 60) })
    }

    /// A property that clients may refuse, whatever the date.
    pub fn oddity(&self) -> Option<String> {
        self.names.is_empty().then(|| {
            "the certificate names no host (subjectAltName), so clients refuse it; have one made for the names that they use"
                .to_owned()
        })
    }
}

pub fn parse<'a>(chain: &'a [CertificateDer<'_>]) -> Result<Vec<X509Certificate<'a>>, Fault> {
    let mut certificates = Vec::with_capacity(chain.len());
    for (index, der) in chain.iter().enumerate() {
        let (_, certificate) = X509Certificate::from_der(der)
            .map_err(|error| Fault::Unreadable(index + 1, error.to_string()))?;
        certificates.push(certificate);
    }
    Ok(certificates)
}

/// The fields of the first certificate.
pub fn about(chain: &[X509Certificate<'_>]) -> About {
    let Some(own) = chain.first() else {
        return About { names: Vec::new(), begins: Timestamp::EPOCH, ends: Timestamp::EPOCH };
    };
    let extension = own.subject_alternative_name().ok().flatten();
    let names = extension.iter().flat_map(|names| &names.value.general_names).filter_map(name).collect();
    let validity = own.validity();
    About { names, begins: moment(validity.not_before), ends: moment(validity.not_after) }
}

/// Whether each certificate was signed by the next one, according to their names; clients of TLS 1.2 may require that.
/// Returns a warning if a certificate belongs to none of the others.
pub fn order(chain: &[X509Certificate<'_>]) -> Result<Option<String>, Fault> {
    for (at, pair) in chain.windows(2).enumerate() {
        let issuer = pair[0].issuer().as_raw();
        if issuer == pair[1].subject().as_raw() {
            continue;
        }
        let is_own_issuer = issuer == pair[0].subject().as_raw();
        let elsewhere = chain.iter().position(|other| other.subject().as_raw() == issuer);
        if let Some(elsewhere) = elsewhere.filter(|_| !is_own_issuer) {
            return Err(Fault::WrongOrder(at + 1, elsewhere + 1));
        }
        return Ok(Some(format!(
            "certificate {} in it was not signed by certificate {}, the next one; clients may not take such a chain",
            at + 1,
            at + 2
        )));
    }
    Ok(None)
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => <[u8; 4]>::try_from(*bytes)
            .map(|bytes| Ipv4Addr::from(bytes).to_string())
            .or_else(|_| <[u8; 16]>::try_from(*bytes).map(|bytes| Ipv6Addr::from(bytes).to_string()))
            .ok(),
        _ => None,
    }
}

/// Before 1970 is 1970.
fn moment(time: ASN1Time) -> Timestamp {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    Timestamp::EPOCH.plus(Duration::from_secs(seconds))
}
