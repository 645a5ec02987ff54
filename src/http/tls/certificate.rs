//! Reads PEM files (RFC 7468), and a certificate's names and dates.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;
use zeroize::Zeroizing;

use crate::domain::Timestamp;

/// A certificate that ends within this time should have been renewed: those that are renewed by a program are, a month
/// before.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

// The parser's error quotes the file, which may be a key.
const DAMAGED: &str =
    "it is damaged: a part of it begins like PEM and does not go on so; write the file again";

/// The health of the certificate, as `/readyz` shows it. The names of the fields are part of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateHealth {
    /// The moment at which it expires, such as `2027-01-31T12:00:00Z`.
    pub expires: String,
    /// Faults that an operator must repair. The server stays ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The certificates of a file, in its order; at least one.
pub fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|_| DAMAGED)?;
    if certificates.is_empty() {
        return Err("there is no certificate in it; name the PEM file with the chain, which has lines such as -----BEGIN \
                    CERTIFICATE-----, and convert DER with: openssl x509 -inform der -in FILE -out NEW.pem"
            .to_owned());
    }
    Ok(certificates)
}

/// The private key of a file. Wiped when dropped.
pub fn key(path: &Path) -> Result<Zeroizing<PrivateKeyDer<'static>>, String> {
    let text = read(path)?;
    let is_encrypted = text.windows(9).any(|part| part == b"ENCRYPTED");
    PrivateKeyDer::from_pem_slice(&text).map(Zeroizing::new).map_err(|error| {
        let fault = match error {
            _ if is_encrypted => {
                "the private key is encrypted; remove its password with: openssl pkey -in FILE -out NEW.pem"
            }
            PemError::NoItemsFound => {
                "there is no private key in it; name the PEM file with the key, which has a line such as -----BEGIN \
                 PRIVATE KEY-----"
            }
            _ => DAMAGED,
        };
        fault.to_owned()
    })
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    // Checked first, because opening a pipe would block.
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err("it is not a file; name the PEM file itself".to_owned());
    }
    let read = fs::read(path).map(Zeroizing::new);
    read.map_err(|error| {
        format!(
            "{error}; name a file that exists (a relative path begins in the working directory), and let the user that \
             runs onceward read it"
        )
    })
}

/// The server's own certificate, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    names: Vec<String>,
    begins: Timestamp,
    ends: Timestamp,
}

impl About {
    /// The hosts it is for.
    pub fn names(&self) -> String {
        self.names.join(", ")
    }

    /// When it expires, and what the operator must do: it has expired, will soon, or is not valid yet.
    pub fn health(&self, now: Timestamp) -> CertificateHealth {
        let (begins, ends) = (self.begins.rfc3339_seconds(), self.ends.rfc3339_seconds());
        let left = self.ends.since(now);
        let problem = if now > self.ends {
            Some(format!("certificate expired at {ends}, and clients refuse it; renew it and send SIGHUP"))
        } else if now < self.begins {
            Some(format!(
                "certificate not valid before {begins}, and clients refuse it until then; check the clock"
            ))
        } else if left < SOON {
            let days = left.as_secs() / (24 * 60 * 60);
            Some(format!("certificate expires soon, at {ends}, in {days} days; renew it and send SIGHUP"))
        } else {
            None
        };
        CertificateHealth { expires: ends.to_string(), problem }
    }

    /// A property that clients may refuse, whatever the date.
    pub fn oddity(&self) -> Option<&'static str> {
        let oddity = "the certificate names no host (subjectAltName), so clients refuse it; have one made for the names \
                      that they use";
        self.names.is_empty().then_some(oddity)
    }
}

/// The fields of the first certificate. All must be readable.
pub fn about(chain: &[CertificateDer<'_>]) -> Result<About, String> {
    let parsed = chain.iter().zip(1..).map(|(der, at)| {
        Certificate::from_der(der)
            .map_err(|error| format!("certificate {at} in it cannot be read ({error}); write the file again"))
    });
    let parsed = parsed.collect::<Result<Vec<_>, _>>()?;
    let own = parsed.first().ok_or("there is no certificate in it")?.tbs_certificate();
    let extension = own.get_extension::<SubjectAltName>().ok().flatten();
    let names = extension.iter().flat_map(|(_, names)| &names.0).filter_map(name).collect();
    let validity = own.validity();
    Ok(About { names, begins: moment(validity.not_before), ends: moment(validity.not_after) })
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
