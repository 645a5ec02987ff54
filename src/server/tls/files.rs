//! From files to a chain and a key. PEM only: RFC 7468.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

/// Longest file that is read. A long chain has some 10 kB.
const LARGEST: u64 = 1024 * 1024;

/// The beginning of a key with a password, in PKCS#8 and in the older form.
const WITH_PASSWORD: [&[u8]; 2] = [b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED"];

/// The beginning of DER: a sequence with its length in two bytes.
const DER: &[u8] = &[0x30, 0x82];

/// A private key, and whether other users may read its file. Wiped when dropped.
pub struct Key {
    pub key: Zeroizing<PrivateKeyDer<'static>>,
    /// Whether users of this machine who are neither the owner nor in the group may read or write it.
    pub open_to_others: bool,
}

const IS_DER: &str = "it is not PEM but looks like DER; convert it, for a certificate with: openssl x509 -inform der -in \
                      FILE -out NEW.pem";

/// The certificates of a file, in its order; at least one.
pub fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let (text, _) = read(path)?;
    let PemItems { certificates, keys } = pem_items(&text)?;
    let fault = match (certificates.is_empty(), keys.is_empty()) {
        (false, _) => return Ok(certificates),
        (true, false) => {
            "there is a private key in it and no certificate; are the files of the certificate and of its key mixed up?"
        }
        (true, true) if text.starts_with(DER) => IS_DER,
        (true, true) => {
            "there is no certificate in it; name the file with the chain, which has lines such as -----BEGIN \
             CERTIFICATE-----"
        }
    };
    Err(fault.to_owned())
}

/// The one private key of a file.
pub fn key(path: &Path) -> Result<Key, String> {
    let (text, mode) = read(path)?;
    if WITH_PASSWORD.iter().any(|mark| text.windows(mark.len()).any(|part| part == *mark)) {
        let fault =
            "the private key is encrypted; remove its password with: openssl pkey -in FILE -out NEW.pem";
        return Err(fault.to_owned());
    }
    let PemItems { certificates, mut keys } = pem_items(&text)?;
    let count = keys.len();
    Err(match keys.pop() {
        Some(key) if count == 1 => return Ok(Key { key, open_to_others: mode & 0o007 != 0 }),
        Some(_) => {
            format!("the file contains {count} private keys; keep only the one of the certificate")
        }
        None if !certificates.is_empty() => {
            "there is a certificate in it and no private key; are the files of the certificate and of its key mixed up?"
                .to_owned()
        }
        None if text.starts_with(DER) => IS_DER.to_owned(),
        None => "there is no private key in it; name the file with the key, which has a line such as -----BEGIN PRIVATE \
                 KEY-----"
            .to_owned(),
    })
}

/// The certificates and keys of a PEM file.
struct PemItems {
    certificates: Vec<CertificateDer<'static>>,
    keys: Vec<Zeroizing<PrivateKeyDer<'static>>>,
}

fn pem_items(text: &[u8]) -> Result<PemItems, String> {
    let mut items = PemItems { certificates: Vec::new(), keys: Vec::new() };
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        // The parser's error quotes the file, which may be a key.
        let damaged =
            "it is damaged: a part of it begins like PEM and does not go on so; write the file again";
        let (kind, der) = section.map_err(|_| damaged)?;
        if kind == SectionKind::Certificate {
            items.certificates.push(der.into());
        } else if let Some(key) = PrivateKeyDer::from_pem(kind, der) {
            items.keys.push(Zeroizing::new(key));
        }
    }
    Ok(items)
}

/// The file, and who may do what with it.
fn read(path: &Path) -> Result<(Zeroizing<Vec<u8>>, u32), String> {
    let failed = |error: io::Error| {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => {
                "name a file that exists; a relative path begins in the working directory"
            }
            io::ErrorKind::PermissionDenied => {
                "let the user that runs onceward read it, and pass through the directories above it"
            }
            _ => "correct the file, or configure another one",
        };
        format!("{error}; {advice}")
    };
    // Checked first, because opening a pipe would block.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err("it is not a file; name the PEM file itself".to_owned());
    }
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if about.len() > LARGEST {
        return Err(format!(
            "it is larger than {LARGEST} bytes, which no certificate or key is; name the right file"
        ));
    }
    // Allocates the whole buffer at once, because a growing buffer leaves copies behind.
    let room = usize::try_from(about.len()).unwrap_or(0) + 1;
    let mut text = Zeroizing::new(Vec::with_capacity(room));
    file.take(LARGEST).read_to_end(&mut text).map_err(failed)?;
    Ok((text, about.permissions().mode()))
}
