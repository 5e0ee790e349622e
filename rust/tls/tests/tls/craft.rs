//! Certificates no generator makes: one field of a sound one is replaced, and it is signed anew.

use rcgen::SigningKey;

/// The SubjectPublicKeyInfo among the fields of a TBSCertificate (RFC 5280 section 4.1).
pub(crate) const PUBLIC_KEY: usize = 6;
/// The signature algorithm there.
pub(crate) const ALGORITHM: usize = 2;

/// A DER element.
pub(crate) fn element(tag: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(body.len()).unwrap().to_be_bytes();
    let header = match body.len() {
        0..=127 => vec![tag, low],
        128..=255 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [header, body.to_vec()].concat()
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(0x30, &parts.concat())
}

/// An AlgorithmIdentifier by the content of its object identifier, with parameters as they stand.
pub(crate) fn algorithm(oid: &[u8], parameters: &[u8]) -> Vec<u8> {
    sequence(&[&element(6, oid), parameters])
}

/// A SubjectPublicKeyInfo.
pub(crate) fn public_key(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    sequence(&[algorithm, &element(3, &[&[0], key].concat())])
}

/// The certificate of `pem` with field `place` replaced, signed by `issuer`.
pub(crate) fn replaced(pem: &str, place: usize, field: &[u8], issuer: &impl SigningKey) -> String {
    let der = pem::parse(pem).unwrap().into_contents();
    let [signed, outer, _signature] = &elements(body(&der))[..] else {
        panic!("a certificate has three parts");
    };
    let mut fields: Vec<&[u8]> = elements(body(signed));
    fields[place] = field;
    let outer = if place == ALGORITHM { field } else { *outer };
    let signed = sequence(&fields);
    let signature = issuer.sign(&signed).unwrap();
    let signature = element(3, &[&[0], &signature[..]].concat());
    let forged = sequence(&[&signed, outer, &signature]);
    pem::encode(&pem::Pem::new("CERTIFICATE", forged))
}

/// The elements of a constructed one, each with its header.
fn elements(mut body: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !body.is_empty() {
        let (one, rest) = body.split_at(header_and_length(body).iter().sum());
        found.push(one);
        body = rest;
    }
    found
}

fn body(element: &[u8]) -> &[u8] {
    &element[header_and_length(element)[0]..]
}

fn header_and_length(der: &[u8]) -> [usize; 2] {
    match der[1] {
        short @ 0..=0x7f => [2, usize::from(short)],
        0x81 => [3, usize::from(der[2])],
        0x82 => [4, usize::from(u16::from_be_bytes([der[2], der[3]]))],
        long => panic!("no certificate here has a length of form {long:#x}"),
    }
}
