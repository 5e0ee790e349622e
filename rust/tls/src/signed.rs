//! The signature over a certificate or revocation list, checked by itself.
//!
//! webpki does this as part of building a path and reads only version 3; both structures have the
//! same outer shape (RFC 5280 sections 4.1 and 5.1): what is signed, an algorithm, a signature.

use rustls::crypto::WebPkiSupportedAlgorithms;
use x509_cert::der::asn1::{AnyRef, BitStringRef};
use x509_cert::der::{Decode, Encode, Reader, SliceReader};
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoOwned};

/// Whether `key` made the signature of `der`.
pub(crate) fn is_signed_by(
    der: &[u8],
    key: &SubjectPublicKeyInfoOwned,
    algorithms: &WebPkiSupportedAlgorithms,
) -> bool {
    let Ok((message, algorithm, signature)) = parts(der) else {
        return false;
    };
    let (Some(bits), Some(kind)) = (key.subject_public_key.as_bytes(), content(&key.algorithm))
    else {
        return false;
    };
    let Some(algorithm) = content(&algorithm) else {
        return false;
    };
    algorithms.all.iter().any(|known| {
        known.signature_alg_id().as_ref() == algorithm
            && known.public_key_alg_id().as_ref() == kind
            && known.verify_signature(bits, message, signature).is_ok()
    })
}

type Parts<'a> = (&'a [u8], AlgorithmIdentifierRef<'a>, &'a [u8]);

fn parts(der: &[u8]) -> Result<Parts<'_>, x509_cert::der::Error> {
    SliceReader::new(der)?.sequence(|inner| {
        let message = inner.tlv_bytes()?;
        let algorithm = AlgorithmIdentifierRef::decode(inner)?;
        let signature = BitStringRef::decode(inner)?;
        Ok::<_, x509_cert::der::Error>((message, algorithm, signature.raw_bytes()))
    })
}

/// An algorithm identifier without its outer tag and length, which is how providers name it.
fn content(algorithm: &impl Encode) -> Option<Vec<u8>> {
    let der = algorithm.to_der().ok()?;
    Some(AnyRef::from_der(&der).ok()?.value().to_vec())
}
