//! Where the server's certificate and its key are. What is in the files is for whoever reads them.

use std::mem::take;
use std::path::Path;

use super::super::keys::Keys;
use super::super::reader::Reader;
use super::super::settings::TlsFiles;

/// Both files or neither: one alone is an error.
pub fn files(keys: &mut Keys, directory: &Path, r: &mut Reader<'_>) -> Option<TlsFiles> {
    // A value that cannot be used has its own error, and nothing is missing then.
    let (asks, brings) = (!keys.tls_cert.is_absent(), !keys.tls_key.is_absent());
    let certificate = r.take("tls-cert", take(&mut keys.tls_cert));
    let key = r.take("tls-key", take(&mut keys.tls_key));
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(TlsFiles {
            certificate: directory.join(certificate.value.0),
            key: directory.join(key.value.0),
        }),
        (Some(certificate), None) if !brings => {
            let problem = "it is missing, and tls-cert alone is not enough for TLS. Name the file of the certificate's \
                           private key, or take tls-cert out to serve cleartext";
            r.report.problem("tls-key", problem, format!("tls-cert: {}", certificate.origin));
            None
        }
        (None, Some(key)) if !asks => {
            let problem = "it is missing, and tls-key alone is not enough for TLS. Name the file of the certificate chain, \
                           or take tls-key out to serve cleartext";
            r.report.problem("tls-cert", problem, format!("tls-key: {}", key.origin));
            None
        }
        _ => None,
    }
}
