//! The faults of a certificate or its key, with their remedies.

use std::io;
use std::path::{Path, PathBuf};

/// Why the server cannot use the configured certificate or key: the setting, the file, the fault, the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{setting} {}: {fault}", file.display())]
pub struct TlsError {
    setting: &'static str,
    file: PathBuf,
    #[source]
    fault: Fault,
}

impl TlsError {
    pub(super) fn new(setting: &'static str, file: &Path, fault: Fault) -> Self {
        Self { setting, file: file.to_owned(), fault }
    }
}

/// One thing that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file system said no.
    #[error("{0}; {advice}", advice = advice(.0))]
    File(io::Error),
    /// A directory, a pipe, a device.
    #[error("it is not a file; name the PEM file itself")]
    NotAFile,
    /// No certificate is that long.
    #[error("it is larger than {0} bytes, which no certificate or key is; name the right file")]
    TooLarge(u64),
    /// PEM that breaks off or holds something else than Base64.
    #[error("it is damaged: a part of it begins like PEM and does not go on so; write the file again")]
    Damaged,
    /// DER, where PEM is read.
    #[error(
        "it is not PEM but looks like DER; convert it, for a certificate with: openssl x509 -inform der -in FILE -out NEW.pem"
    )]
    Der,
    /// It has no certificate.
    #[error(
        "there is no certificate in it; name the file with the chain, which has lines such as -----BEGIN CERTIFICATE-----"
    )]
    NoCertificate,
    /// The files were mixed up.
    #[error(
        "there is a private key in it and no certificate; are the files of the certificate and of its key mixed up?"
    )]
    KeyForCertificate,
    /// A certificate that cannot be read.
    #[error("certificate {0} in it cannot be read ({1}); write the file again")]
    Unreadable(usize, String),
    /// The server's own certificate has another place.
    #[error(
        "the key belongs to certificate {0} in it, and that must be the first; put it first, then the one that signed it, \
         and so on"
    )]
    OwnNotFirst(usize),
    /// The chain is mixed up.
    #[error(
        "the certificates are in the wrong order: certificate {0} was signed by certificate {1} in it, which must come next; \
         put the server's own first, then the one that signed it, and so on"
    )]
    WrongOrder(usize, usize),
    /// A certificate of a kind that TLS does not take.
    #[error("the server cannot show itself with it ({0}); have a certificate of X.509 version 3 made")]
    Unusable(rustls::Error),
    /// An authority that TLS does not take.
    #[error("certificate {0} in it cannot be that of an authority ({1}); name the file of the authorities")]
    NoAuthority(usize, rustls::Error),
    /// It has no private key.
    #[error(
        "there is no private key in it; name the file with the key, which has a line such as -----BEGIN PRIVATE KEY-----"
    )]
    NoKey,
    /// The files were mixed up.
    #[error(
        "there is a certificate in it and no private key; are the files of the certificate and of its key mixed up?"
    )]
    CertificateForKey,
    /// A key with a password.
    #[error("the private key is encrypted; remove its password with: openssl pkey -in FILE -out NEW.pem")]
    Encrypted,
    #[error("the file contains {0} private keys; keep only the one of the certificate")]
    SeveralKeys(usize),
    /// A kind of key that is not supported.
    #[error(
        "the private key in it cannot be used ({0}); use ECDSA (P-256 or P-384), RSA (2048 bits or more) or Ed25519"
    )]
    KeyUnusable(rustls::Error),
    #[error("the private key in it does not belong to the certificate of {file}; name the two that were made together", file = .0.display())]
    OfAnother(PathBuf),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "name a file that exists; a relative path begins in the working directory",
        io::ErrorKind::PermissionDenied => {
            "let the user that runs onceward read it, and pass through the directories above it"
        }
        _ => "correct the file, or configure another one",
    }
}
