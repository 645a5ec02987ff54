//! Reads a certificate's names, its expiry and its issuer.

use std::fmt::{self, Display, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

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

pub fn parse(chain: &[CertificateDer<'_>]) -> Result<Vec<Certificate>, String> {
    let parsed = chain.iter().enumerate().map(|(index, der)| {
        let at = index + 1;
        Certificate::from_der(der)
            .map_err(|error| format!("certificate {at} in it cannot be read ({error}); write the file again"))
    });
    parsed.collect()
}

/// The fields of the first certificate.
pub fn about(chain: &[Certificate]) -> About {
    let Some(own) = chain.first().map(Certificate::tbs_certificate) else {
        return About { names: Vec::new(), begins: Timestamp::EPOCH, ends: Timestamp::EPOCH };
    };
    let extension = own.get_extension::<SubjectAltName>().ok().flatten();
    let names = extension.iter().flat_map(|(_, names)| &names.0).filter_map(name).collect();
    let validity = own.validity();
    About { names, begins: moment(validity.not_before), ends: moment(validity.not_after) }
}

/// Whether each certificate was signed by the next one, according to their names; clients of TLS 1.2 may require that.
/// Returns a warning if a certificate belongs to none of the others.
pub fn order(chain: &[Certificate]) -> Result<Option<String>, String> {
    let subject = |at: usize| chain[at].tbs_certificate().subject();
    for at in 0..chain.len().saturating_sub(1) {
        let issuer = chain[at].tbs_certificate().issuer();
        if issuer == subject(at + 1) {
            continue;
        }
        let is_own_issuer = issuer == subject(at);
        let elsewhere = (0..chain.len()).find(|other| subject(*other) == issuer);
        if let Some(elsewhere) = elsewhere.filter(|_| !is_own_issuer) {
            return Err(format!(
                "the certificates are in the wrong order: certificate {} was signed by certificate {} in it, which must \
                 come next; put the server's own first, then the one that signed it, and so on",
                at + 1,
                elsewhere + 1
            ));
        }
        return Ok(Some(format!(
            "certificate {} in it was not signed by certificate {}, the next one; clients may not take such a chain",
            at + 1,
            at + 2
        )));
    }
    Ok(None)
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(address) => {
            let bytes = address.as_bytes();
            <[u8; 4]>::try_from(bytes)
                .map(|bytes| Ipv4Addr::from(bytes).to_string())
                .or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| Ipv6Addr::from(bytes).to_string()))
                .ok()
        }
        _ => None,
    }
}

fn moment(time: Time) -> Timestamp {
    Timestamp::EPOCH.plus(time.to_unix_duration())
}
