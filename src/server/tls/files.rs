//! From files to a chain and a key. PEM only: RFC 7468.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::{Zeroize as _, Zeroizing};

use super::fault::Fault;

/// Longest file that is read. A long chain has some 10 kB.
const LARGEST: u64 = 1024 * 1024;

/// The beginning of a key with a password, in PKCS#8 and in the older form.
const WITH_PASSWORD: [&[u8]; 2] = [b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED"];

/// The beginning of DER: a sequence with its length in two bytes.
const DER: &[u8] = &[0x30, 0x82];

/// A private key, and whether other users may read its file. Wiped when dropped.
pub struct Key {
    pub key: Wiped,
    /// Whether users of this machine who are neither the owner nor in the group may read or write it.
    pub open_to_others: bool,
}

/// A private key that is wiped when dropped.
pub struct Wiped(PrivateKeyDer<'static>);

impl std::ops::Deref for Wiped {
    type Target = PrivateKeyDer<'static>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The certificates of a file, in its order; at least one.
pub fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let (text, _) = read(path)?;
    let PemItems { certificates, keys } = pem_items(&text)?;
    match (certificates.is_empty(), keys.is_empty()) {
        (false, _) => Ok(certificates),
        (true, false) => Err(Fault::KeyForCertificate),
        (true, true) if text.starts_with(DER) => Err(Fault::Der),
        (true, true) => Err(Fault::NoCertificate),
    }
}

/// The one private key of a file.
pub fn key(path: &Path) -> Result<Key, Fault> {
    let (text, mode) = read(path)?;
    if WITH_PASSWORD.iter().any(|mark| text.windows(mark.len()).any(|part| part == *mark)) {
        return Err(Fault::Encrypted);
    }
    let PemItems { certificates, mut keys } = pem_items(&text)?;
    let count = keys.len();
    match keys.pop() {
        Some(key) if count == 1 => Ok(Key { key, open_to_others: mode & 0o007 != 0 }),
        Some(_) => Err(Fault::SeveralKeys(count)),
        None if !certificates.is_empty() => Err(Fault::CertificateForKey),
        None if text.starts_with(DER) => Err(Fault::Der),
        None => Err(Fault::NoKey),
    }
}

/// The certificates and keys of a PEM file.
struct PemItems {
    certificates: Vec<CertificateDer<'static>>,
    keys: Vec<Wiped>,
}

fn pem_items(text: &[u8]) -> Result<PemItems, Fault> {
    let mut items = PemItems { certificates: Vec::new(), keys: Vec::new() };
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        // The parser's error quotes the file, which may be a key.
        let (kind, der) = section.map_err(|_| Fault::Damaged)?;
        if kind == SectionKind::Certificate {
            items.certificates.push(der.into());
        } else if let Some(key) = PrivateKeyDer::from_pem(kind, der) {
            items.keys.push(Wiped(key));
        }
    }
    Ok(items)
}

/// The file, and who may do what with it.
fn read(path: &Path) -> Result<(Zeroizing<Vec<u8>>, u32), Fault> {
    // Checked first, because opening a pipe would block.
    if !std::fs::metadata(path).map_err(Fault::File)?.is_file() {
        return Err(Fault::NotAFile);
    }
    let file = File::open(path).map_err(Fault::File)?;
    let about = file.metadata().map_err(Fault::File)?;
    if about.len() > LARGEST {
        return Err(Fault::TooLarge(LARGEST));
    }
    // Allocates the whole buffer at once, because a growing buffer leaves copies behind.
    let room = usize::try_from(about.len()).unwrap_or(0) + 1;
    let mut text = Zeroizing::new(Vec::with_capacity(room));
    file.take(LARGEST).read_to_end(&mut text).map_err(Fault::File)?;
    Ok((text, about.permissions().mode()))
}
