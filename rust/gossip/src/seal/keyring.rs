//! Cluster keys, the sender keys below them, and the envelope itself.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};

use crate::error::Misuse;
use crate::limits::{HEADER_BYTES, KEY_BYTES, KEYS_MAX, TAG_BYTES};
use crate::wire::{Header, Kind};

/// What separates one cluster from another under the same key: a hash of the cluster's name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Label([u8; 16]);

impl Label {
    /// The label of a cluster.
    #[must_use]
    pub fn of(cluster: &str) -> Self {
        let hash = digest(&SHA256, cluster.as_bytes());
        let mut label = [0; 16];
        label.copy_from_slice(&hash.as_ref()[..16]);
        Self(label)
    }

    /// The first eight bytes as a number.
    #[must_use]
    pub fn word(&self) -> u64 {
        let (first, _) = self.0.split_at(8);
        first
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte))
    }
}

/// What encrypts and authenticates. All members must use the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cipher {
    /// ChaCha20-Poly1305 (RFC 8439): as fast on every processor.
    #[default]
    ChaCha20Poly1305,
    /// AES-256-GCM (NIST SP 800-38D): for processors and rules that want it.
    Aes256Gcm,
}

impl Cipher {
    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::ChaCha20Poly1305 => &CHACHA20_POLY1305,
            Self::Aes256Gcm => &AES_256_GCM,
        }
    }
}

/// How datagrams are protected. There is no default: whoever wants none says so.
pub enum Sealing {
    /// Under keys derived from one of the cluster.
    ClusterKey {
        /// The number of the key, modulo 256. It goes up by one with every rotation.
        epoch: u8,
        /// The key: 32 random bytes.
        key: [u8; KEY_BYTES],
        /// What encrypts.
        cipher: Cipher,
    },
    /// Not at all: for tests, simulation, and networks that are protected otherwise.
    None,
}

impl Sealing {
    /// The choice of a configuration: `sealing` is `cluster-key` or `none`; without it a key
    /// stands for `cluster-key`.
    ///
    /// # Errors
    /// [`Misuse`] without a key and an explicit `none`, with both, for a key that has not 32
    /// bytes, and for another word.
    pub fn choose(key: Option<(u8, &[u8])>, sealing: Option<&str>) -> Result<Self, Misuse> {
        match (key, sealing) {
            (Some((epoch, key)), None | Some("cluster-key")) => Ok(Self::ClusterKey {
                epoch,
                key: key.try_into().map_err(|_| Misuse::KeyLength(key.len()))?,
                cipher: Cipher::default(),
            }),
            (None, Some("none")) => Ok(Self::None),
            (Some(_), Some("none")) => Err(Misuse::KeyAndNone),
            (None, None | Some("cluster-key")) => Err(Misuse::NoSealing),
            (_, Some(word)) => Err(Misuse::UnknownSealing(word.to_owned())),
        }
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClusterKey { epoch, cipher, .. } => f
                .debug_struct("ClusterKey")
                .field("epoch", epoch)
                .field("cipher", cipher)
                .finish_non_exhaustive(),
            Self::None => f.write_str("None"),
        }
    }
}

/// The key under which one sender seals, in one epoch.
pub struct SenderKey {
    epoch: u8,
    key: LessSafeKey,
}

impl SenderKey {
    /// The epoch of the cluster key it comes from.
    #[inline]
    #[must_use]
    pub const fn epoch(&self) -> u8 {
        self.epoch
    }
}

impl fmt::Debug for SenderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SenderKey")
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

struct Entry {
    epoch: u8,
    secret: Prk,
    own: SenderKey,
}

/// The installed cluster keys, newest last, and what one member seals with.
pub struct Keyring {
    label: Label,
    sid: u64,
    cipher: Cipher,
    entries: Vec<Entry>,
}

impl Keyring {
    /// The keyring of the member `sid`, which must not have been used before under this key: its
    /// datagrams are counted from 1.
    #[must_use]
    pub fn new(label: Label, sealing: &Sealing, sid: u64) -> Self {
        let mut ring = Self {
            label,
            sid,
            cipher: Cipher::default(),
            entries: Vec::new(),
        };
        if let Sealing::ClusterKey { epoch, key, cipher } = sealing {
            ring.cipher = *cipher;
            ring.put(*epoch, key);
        }
        ring
    }

    /// Whether datagrams are sealed at all.
    #[inline]
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        !self.entries.is_empty()
    }

    /// The newest epoch; 0 without keys.
    #[must_use]
    pub fn newest(&self) -> u8 {
        self.entries.last().map_or(0, |entry| entry.epoch)
    }

    /// The oldest epoch still installed; 0 without keys.
    #[must_use]
    pub fn oldest(&self) -> u8 {
        self.entries.first().map_or(0, |entry| entry.epoch)
    }

    /// Whether the key of `epoch` is installed.
    #[inline]
    #[must_use]
    pub fn holds(&self, epoch: u8) -> bool {
        self.entries.iter().any(|entry| entry.epoch == epoch)
    }

    /// Installs the next key.
    ///
    /// # Errors
    /// [`Misuse`] when nothing is sealed, when two keys are installed already, or when `epoch` does
    /// not follow the newest.
    pub fn install(&mut self, epoch: u8, key: &[u8; KEY_BYTES]) -> Result<(), Misuse> {
        if !self.is_sealed() {
            return Err(Misuse::NotSealed);
        }
        if self.entries.len() >= KEYS_MAX {
            return Err(Misuse::RotationRuns);
        }
        if epoch != self.newest().wrapping_add(1) {
            return Err(Misuse::Epoch(epoch));
        }
        self.put(epoch, key);
        Ok(())
    }

    /// Forgets all keys but the newest.
    pub fn retire(&mut self) {
        let newest = self.newest();
        self.entries.retain(|entry| entry.epoch == newest);
    }

    /// Seals under another id from now on, whose counters start again at 1.
    pub fn rename(&mut self, sid: u64) {
        self.sid = sid;
        let cipher = self.cipher;
        for entry in &mut self.entries {
            entry.own = derive(&entry.secret, cipher, entry.epoch, sid);
        }
    }

    fn put(&mut self, epoch: u8, key: &[u8; KEY_BYTES]) {
        let secret = Salt::new(HKDF_SHA256, b"ztransport gossip").extract(key);
        let own = derive(&secret, self.cipher, epoch, self.sid);
        self.entries.push(Entry { epoch, secret, own });
    }

    /// The key under which `sid` seals in `epoch`.
    #[must_use]
    pub fn sender_key(&self, epoch: u8, sid: u64) -> Option<SenderKey> {
        let entry = self.entries.iter().find(|entry| entry.epoch == epoch)?;
        Some(derive(&entry.secret, self.cipher, epoch, sid))
    }

    /// Seals `out`, which is room for the header and the body, for `receiver` (0 for a greeting),
    /// as our datagram number `counter` under the key of `epoch`, which is installed. Without keys
    /// the datagram leaves in the clear, as long as a sealed one.
    pub fn seal(&self, kind: Kind, epoch: u8, counter: u64, receiver: u64, out: &mut Vec<u8>) {
        let sealed = self.is_sealed();
        let header = Header {
            kind: if sealed { kind } else { kind.in_the_clear() },
            epoch,
            sid: self.sid,
            counter,
        }
        .encode();
        let (head, body) = out.split_at_mut(HEADER_BYTES);
        head.copy_from_slice(&header);
        let Some(entry) = self.entries.iter().find(|entry| entry.epoch == epoch) else {
            assert!(!sealed, "a key that is not installed seals nothing");
            return out.extend_from_slice(&self.trailer(receiver));
        };
        let aad = Aad::from(self.associated(&header, receiver));
        let tag = entry
            .own
            .key
            .seal_in_place_separate_tag(nonce(counter), aad, body)
            .expect("a datagram is far shorter than the cipher's limit");
        out.extend_from_slice(tag.as_ref());
    }

    /// Opens `datagram`, which has a header and a tag, in place, and gives its body. `None` means
    /// that it is forged, or was not sealed for `receiver`. `key` is the sender's, `None` for a
    /// datagram in the clear.
    #[inline]
    pub fn open<'a>(
        &self,
        key: Option<&SenderKey>,
        header: &Header,
        receiver: u64,
        datagram: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        let (head, rest) = datagram.split_first_chunk_mut::<HEADER_BYTES>()?;
        let Some(key) = key else {
            let (body, trailer) = rest.split_at_checked(rest.len().checked_sub(TAG_BYTES)?)?;
            return (trailer == self.trailer(receiver)).then_some(body);
        };
        let aad = Aad::from(self.associated(head, receiver));
        let opened = key.key.open_in_place(nonce(header.counter), aad, rest);
        opened.ok().map(|body| &*body)
    }

    fn associated(&self, header: &[u8; HEADER_BYTES], receiver: u64) -> [u8; HEADER_BYTES + 24] {
        let mut aad = [0; HEADER_BYTES + 24];
        aad[..HEADER_BYTES].copy_from_slice(header);
        aad[HEADER_BYTES..HEADER_BYTES + 16].copy_from_slice(&self.label.0);
        aad[HEADER_BYTES + 16..].copy_from_slice(&receiver.to_le_bytes());
        aad
    }

    /// What stands for the tag in the clear: a check against mistakes, not against anybody.
    fn trailer(&self, receiver: u64) -> [u8; TAG_BYTES] {
        let mut trailer = [0; TAG_BYTES];
        trailer[..8].copy_from_slice(&receiver.to_le_bytes());
        trailer[8..].copy_from_slice(&self.label.0[..8]);
        trailer
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let epochs: Vec<u8> = self.entries.iter().map(|entry| entry.epoch).collect();
        f.debug_struct("Keyring")
            .field("epochs", &epochs)
            .finish_non_exhaustive()
    }
}

fn derive(secret: &Prk, cipher: Cipher, epoch: u8, sid: u64) -> SenderKey {
    let sid = sid.to_le_bytes();
    let info: [&[u8]; 3] = [b"zt-gossip", &[cipher as u8], &sid];
    let key = secret
        .expand(&info, cipher.algorithm())
        .expect("a key is far shorter than HKDF's limit");
    SenderKey {
        epoch,
        key: LessSafeKey::new(key.into()),
    }
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[6..].copy_from_slice(&counter.to_le_bytes()[..6]);
    Nonce::assume_unique_for_key(bytes)
}
