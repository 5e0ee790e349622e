//! Keys and signatures too weak to believe, which path building alone lets pass.
//!
//! RFC 9325 section 4.5 and NIST SP 800-57: RSA from 2048 bits, elliptic curves from 224 bits,
//! SHA-2. Exponent 3 and lengths that are no multiple of 8 come from broken generators.

use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{Decode, Reader, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// P-256, P-384 and P-521.
const CURVES: [ObjectIdentifier; 3] = [
    ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"),
    ObjectIdentifier::new_unwrap("1.3.132.0.34"),
    ObjectIdentifier::new_unwrap("1.3.132.0.35"),
];

/// MD5 and SHA-1 with RSA, SHA-1 with ECDSA, DSA with SHA-1.
const OLD_SIGNATURES: [ObjectIdentifier; 4] = [
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.4"),
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5"),
    ObjectIdentifier::new_unwrap("1.2.840.10045.4.1"),
    ObjectIdentifier::new_unwrap("1.2.840.10040.4.3"),
];

const RSA_BITS_MIN: usize = 2048;
const RSA_BITS_MAX: usize = 8192;
const RSA_EXPONENT_MIN: &[u8] = &[1, 0, 1];

/// Why nobody should sign with this key; `None` if it is sound.
pub(crate) fn of_key(key: &SubjectPublicKeyInfoOwned) -> Option<String> {
    match key.algorithm.oid {
        RSA => of_rsa(key.subject_public_key.raw_bytes()),
        ED25519 => None,
        EC => {
            let curve = key.algorithm.parameters.as_ref();
            let curve = curve.and_then(|curve| curve.decode_as::<ObjectIdentifier>().ok());
            match curve.is_some_and(|curve| CURVES.contains(&curve)) {
                true => None,
                false => Some("its curve is none of P-256, P-384 and P-521".to_owned()),
            }
        }
        _ => Some("its key is neither RSA nor ECDSA nor Ed25519".to_owned()),
    }
}

/// Why nobody should believe signatures of this algorithm.
pub(crate) fn of_signature(algorithm: ObjectIdentifier) -> Option<String> {
    let is_old = OLD_SIGNATURES.contains(&algorithm);
    is_old.then(|| "its signature uses SHA-1 or MD5".to_owned())
}

fn of_rsa(der: &[u8]) -> Option<String> {
    let Ok((modulus, exponent)) = rsa_numbers(der) else {
        return Some("its RSA key is malformed".to_owned());
    };
    let first = modulus.first().copied().unwrap_or_default();
    let bits = modulus.len() * 8 - first.leading_zeros() as usize;
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) || !bits.is_multiple_of(8) {
        return Some(format!(
            "its RSA key has {bits} bits, not a multiple of 8 from {RSA_BITS_MIN} to {RSA_BITS_MAX}"
        ));
    }
    let is_small = (exponent.len(), exponent) < (RSA_EXPONENT_MIN.len(), RSA_EXPONENT_MIN);
    is_small.then(|| "its RSA exponent is below 65537".to_owned())
}

/// Modulus and exponent without leading zeros (RFC 8017 appendix A.1.1).
fn rsa_numbers(der: &[u8]) -> Result<(&[u8], &[u8]), x509_cert::der::Error> {
    SliceReader::new(der)?.sequence(|inner| {
        let modulus = UintRef::decode(inner)?.as_bytes();
        Ok::<_, x509_cert::der::Error>((modulus, UintRef::decode(inner)?.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_cert::der::Any;
    use x509_cert::der::asn1::BitString;
    use x509_cert::spki::AlgorithmIdentifierOwned;

    fn key(
        oid: ObjectIdentifier,
        curve: Option<ObjectIdentifier>,
        bits: &[u8],
    ) -> SubjectPublicKeyInfoOwned {
        let parameters = curve.map(|curve| Any::encode_from(&curve).unwrap());
        SubjectPublicKeyInfoOwned {
            algorithm: AlgorithmIdentifierOwned { oid, parameters },
            subject_public_key: BitString::from_bytes(bits).unwrap(),
        }
    }

    fn element(tag: u8, body: &[u8]) -> Vec<u8> {
        let [high, low] = u16::try_from(body.len()).unwrap().to_be_bytes();
        let header = match body.len() {
            0..=127 => vec![tag, low],
            128..=255 => vec![tag, 0x81, low],
            _ => vec![tag, 0x82, high, low],
        };
        [header, body.to_vec()].concat()
    }

    fn rsa(bits: usize, exponent: &[u8]) -> Option<String> {
        let mut modulus = vec![0xff; bits.div_ceil(8)];
        modulus[0] >>= bits.next_multiple_of(8) - bits;
        if modulus[0] >= 0x80 {
            modulus.insert(0, 0);
        }
        let numbers = [element(2, &modulus), element(2, exponent)].concat();
        of_key(&key(RSA, None, &element(0x30, &numbers)))
    }

    #[test]
    fn c9_rsa_is_judged_at_each_limit() {
        for bits in [2048, 2056, 3072, 4096, 8192] {
            assert_eq!(rsa(bits, &[1, 0, 1]), None, "{bits} bits");
        }
        for bits in [512, 1024, 2040, 2047, 2049, 2052, 8200] {
            assert!(rsa(bits, &[1, 0, 1]).is_some(), "{bits} bits");
        }
        for exponent in [&[3][..], &[17], &[0, 255], &[0, 255, 255]] {
            assert!(rsa(2048, exponent).is_some(), "{exponent:?}");
        }
        assert_eq!(rsa(2048, &[1, 0, 3]), None);
        assert!(of_key(&key(RSA, None, b"junk")).is_some());
    }

    #[test]
    fn c9_curves_and_kinds_are_those_of_tls_1_3() {
        for curve in CURVES {
            assert_eq!(of_key(&key(EC, Some(curve), &[4])), None);
        }
        let p192 = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.1");
        assert!(of_key(&key(EC, Some(p192), &[4])).is_some());
        assert!(of_key(&key(EC, None, &[4])).is_some());
        assert_eq!(of_key(&key(ED25519, None, &[1])), None);
        for other in ["1.3.101.113", "1.2.840.10040.4.1"] {
            let other = ObjectIdentifier::new_unwrap(other);
            assert!(of_key(&key(other, None, &[1])).is_some());
        }
    }

    #[test]
    fn c9_signatures_older_than_sha_2_are_weak() {
        for old in OLD_SIGNATURES {
            assert!(of_signature(old).is_some());
        }
        assert_eq!(of_signature(ED25519), None);
    }
}
