//! Private keys in the forms tools write them: told apart, opened, and refused with the reason.

use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error as StoreError;
use pkcs8::PrivateKeyInfoRef;
use pkcs8::der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use pkcs8::der::{Decode, Reader, SliceReader, Tag, Tagged};
use pkcs8::pkcs5::pbes2::{Kdf, PBES2_OID, Parameters};
use pkcs8::spki::AlgorithmIdentifierRef;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::config::Password;
use crate::error::Error;
use crate::pem::{self, Section};
use crate::source::Content;

/// Most rounds of PBKDF2 a password-protected key may ask for.
const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;
/// Most memory scrypt may ask for, in bytes.
const SCRYPT_BYTES_MAX: u64 = 256 << 20;
/// Most work scrypt may ask for, in passes over its memory.
const SCRYPT_PASSES_MAX: u16 = 16;

const ID_DSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.1");

const NO_KEY: &str = "holds no private key: neither a PEM section of one nor DER nor PKCS#12";
const NOT_DER: &str = "holds a private key that is not well-formed";
const NO_PASSWORD: &str = "is encrypted; give private_key_password";
const WRONG_PASSWORD: &str =
    "cannot be opened with this private_key_password: it is another one, or the file is damaged";
const OLD_PASSWORD_FORMAT: &str = "is encrypted in an old way (PBES1 or DEK-Info) that guards it \
     badly; write it anew with openssl pkcs8 -topk8 -v2 aes-256-cbc";
const OLD_STORE: &str = "is a PKCS#12 store sealed in an old way (RC2 or 3DES with SHA-1); write it \
     anew with openssl pkcs12 -export, or keytool of Java 17 and later";
const DSA: &str = "is a DSA key, which TLS 1.3 has no use for; make an ECDSA, Ed25519 or RSA key";
const OPENSSH: &str = "is an OpenSSH key; convert a copy with ssh-keygen -p -m PKCS8";

/// An open key, and the certificates that came with it in one store, leaf first.
pub(crate) struct PrivateKey {
    form: Form,
    der: Zeroizing<Vec<u8>>,
    pub(crate) certificates: Vec<CertificateDer<'static>>,
}

#[derive(Clone, Copy)]
enum Form {
    Pkcs8,
    Pkcs1,
    Sec1,
}

impl PrivateKey {
    /// Opens the one key of `content`.
    pub(crate) fn open(content: &Content, password: Option<&Password>) -> Result<Self, Error> {
        let opened = match pem::is_pem(&content.bytes) {
            true => from_pem(&content.bytes, password),
            false => from_der(&content.bytes, password),
        };
        opened.map_err(|reason| content.error(reason))
    }

    /// The key, borrowed for whoever turns it into one that signs.
    pub(crate) fn der(&self) -> PrivateKeyDer<'_> {
        match self.form {
            Form::Pkcs8 => PrivateKeyDer::Pkcs8(self.der[..].into()),
            Form::Pkcs1 => PrivateKeyDer::Pkcs1(self.der[..].into()),
            Form::Sec1 => PrivateKeyDer::Sec1(self.der[..].into()),
        }
    }

    fn new(form: Form, der: Zeroizing<Vec<u8>>) -> Self {
        let certificates = Vec::new();
        Self {
            form,
            der,
            certificates,
        }
    }
}

/// Whether DER is a PKCS#12 store: a sequence that begins with version 3.
pub(crate) fn is_store(der: &[u8]) -> bool {
    matches!(first_element(der), Some((Tag::Integer, [3])))
}

/// The certificates of a PKCS#12 store, the key's first.
pub(crate) fn store_certificates(
    der: &[u8],
    password: Option<&Password>,
) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    open_store(der, password).map(|store| leaf_first(&store))
}

/// The leaf carries the key's id; without one, certificates stay in the store's order.
fn leaf_first(store: &Pkcs12Archive) -> Vec<CertificateDer<'static>> {
    let key = store.keys.first();
    let key_id = key
        .and_then(|key| key.local_key_id.as_ref())
        .map(|id| &id.0);
    let mut bags: Vec<_> = store.certs.iter().collect();
    bags.sort_by_key(|bag| key_id.is_none() || bag.local_key_id.as_ref() != key_id);
    let to_der = |der: &[u8]| CertificateDer::from(der.to_vec());
    bags.iter().map(|bag| to_der(bag.cert.as_der())).collect()
}

fn open_store(der: &[u8], password: Option<&Password>) -> Result<Pkcs12Archive, &'static str> {
    let given = password.map_or(&[][..], Password::as_bytes);
    let words = std::str::from_utf8(given).map_err(|_| "needs a password that is UTF-8")?;
    Pkcs12Archive::from_pkcs12(der, words).map_err(|error| match error {
        StoreError::UnsupportedEncryptionScheme => OLD_STORE,
        StoreError::InvalidParameters => "asks for too many rounds to open it",
        StoreError::MacError(_) | StoreError::Pkcs5Error(_) if password.is_none() => NO_PASSWORD,
        StoreError::MacError(_) | StoreError::Pkcs5Error(_) => WRONG_PASSWORD,
        _ => "is not a well-formed PKCS#12 store",
    })
}

fn from_pem(text: &[u8], password: Option<&Password>) -> Result<PrivateKey, &'static str> {
    let mut keys = pem::sections(text)?;
    keys.retain(|section| section.label.ends_with("PRIVATE KEY"));
    match keys.pop() {
        None => Err("holds no PEM section of a private key"),
        Some(_) if !keys.is_empty() => Err("holds more than one private key; leave one"),
        Some(key) => from_section(key, password),
    }
}

fn from_section(section: Section, password: Option<&Password>) -> Result<PrivateKey, &'static str> {
    match section.label.as_str() {
        "OPENSSH PRIVATE KEY" => Err(OPENSSH),
        "DSA PRIVATE KEY" => Err(DSA),
        _ if section.is_encrypted => Err(OLD_PASSWORD_FORMAT),
        "ENCRYPTED PRIVATE KEY" => decrypt(&section.der, password),
        "PRIVATE KEY" => from_pkcs8(section.der),
        "RSA PRIVATE KEY" => Ok(PrivateKey::new(Form::Pkcs1, section.der)),
        "EC PRIVATE KEY" => Ok(PrivateKey::new(Form::Sec1, section.der)),
        _ => Err("holds a private key of an unknown kind"),
    }
}

/// DER has no label: the first two elements tell the form.
fn from_der(der: &[u8], password: Option<&Password>) -> Result<PrivateKey, &'static str> {
    let copy = || Zeroizing::new(der.to_vec());
    match (first_element(der), second_tag(der)) {
        (Some((Tag::Integer, [3])), _) => from_store(der, password),
        (Some((Tag::Sequence, _)), Some(Tag::OctetString)) => decrypt(der, password),
        (Some((Tag::Integer, _)), Some(Tag::Sequence)) => from_pkcs8(copy()),
        (Some((Tag::Integer, _)), Some(Tag::Integer)) => Ok(PrivateKey::new(Form::Pkcs1, copy())),
        (Some((Tag::Integer, [1])), Some(Tag::OctetString)) => {
            Ok(PrivateKey::new(Form::Sec1, copy()))
        }
        _ => Err(NO_KEY),
    }
}

fn first_element(der: &[u8]) -> Option<(Tag, &[u8])> {
    let inner = AnyRef::from_der(der)
        .ok()
        .filter(|one| one.tag() == Tag::Sequence)?;
    let first = AnyRef::decode(&mut SliceReader::new(inner.value()).ok()?).ok()?;
    Some((first.tag(), first.value()))
}

fn second_tag(der: &[u8]) -> Option<Tag> {
    let inner = AnyRef::from_der(der).ok()?;
    let mut reader = SliceReader::new(inner.value()).ok()?;
    AnyRef::decode(&mut reader).ok()?;
    AnyRef::decode(&mut reader).ok().map(|second| second.tag())
}

fn from_store(der: &[u8], password: Option<&Password>) -> Result<PrivateKey, &'static str> {
    let store = open_store(der, password)?;
    let key = store
        .keys
        .first()
        .ok_or("is a PKCS#12 store without a private key")?;
    let copy = Zeroizing::new(key.key.as_der().to_vec());
    Ok(PrivateKey {
        certificates: leaf_first(&store),
        ..from_pkcs8(copy)?
    })
}

fn from_pkcs8(der: Zeroizing<Vec<u8>>) -> Result<PrivateKey, &'static str> {
    let algorithm = PrivateKeyInfoRef::from_der(&der)
        .map_err(|_| NOT_DER)?
        .algorithm
        .oid;
    match algorithm {
        ID_DSA => Err(DSA),
        _ => Ok(PrivateKey::new(Form::Pkcs8, der)),
    }
}

/// Opens an `EncryptedPrivateKeyInfo` (RFC 5958 section 3).
fn decrypt(der: &[u8], password: Option<&Password>) -> Result<PrivateKey, &'static str> {
    let (algorithm, sealed) = encrypted_info(der).map_err(|_| NOT_DER)?;
    let parameters = match algorithm.parameters {
        Some(parameters) if algorithm.oid == PBES2_OID => parameters,
        _ => return Err(OLD_PASSWORD_FORMAT),
    };
    let parameters: Parameters = parameters
        .decode_as()
        .map_err(|_| "is encrypted with a cipher other than AES, or a digest older than SHA-2")?;
    check_work(&parameters.kdf)?;
    let password = password.ok_or(NO_PASSWORD)?;
    let opened = parameters
        .decrypt(password.as_bytes(), sealed)
        .map(Zeroizing::new)
        .map_err(|_| WRONG_PASSWORD)?;
    // About one wrong password in 256 leaves sound padding behind, and then no key.
    from_pkcs8(opened).map_err(|reason| match reason {
        NOT_DER => WRONG_PASSWORD,
        other => other,
    })
}

fn encrypted_info(der: &[u8]) -> Result<(AlgorithmIdentifierRef<'_>, &[u8]), pkcs8::der::Error> {
    let mut reader = SliceReader::new(der)?;
    reader.sequence(|inner| {
        let algorithm = AlgorithmIdentifierRef::decode(inner)?;
        Ok((algorithm, <&OctetStringRef>::decode(inner)?.as_bytes()))
    })
}

/// A file may ask for work without end.
fn check_work(kdf: &Kdf) -> Result<(), &'static str> {
    let is_bearable = match kdf {
        Kdf::Pbkdf2(asked) => asked.iteration_count <= PBKDF2_ROUNDS_MAX,
        Kdf::Scrypt(asked) => {
            let bytes = asked
                .cost_parameter
                .checked_mul(128 * u64::from(asked.block_size));
            bytes.is_some_and(|bytes| bytes <= SCRYPT_BYTES_MAX)
                && asked.parallelization <= SCRYPT_PASSES_MAX
        }
        _ => false,
    };
    match is_bearable {
        true => Ok(()),
        false => Err("asks for more work to open it than is allowed"),
    }
}
