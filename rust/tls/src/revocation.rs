//! Certificate revocation lists (RFC 5280 section 5).
//!
//! Along a path webpki consults them. Leaves that have no path, known by their bytes or of
//! version 1, are looked up here.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::UnixTime;
use webpki::{
    CertRevocationList, ExpirationPolicy, OwnedCertRevocationList, RevocationCheckDepth,
    RevocationOptions, RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode;

use crate::anchors::Anchors;
use crate::certificate::Certificate;
use crate::certificates::read_lists;
use crate::config::Options;
use crate::error::{Error, ErrorKind};
use crate::keys;
use crate::signed::is_signed_by;
use crate::source::Content;

const LISTS_OPTION: &str = "crl_paths";

/// The lists of one node.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    lists: Vec<CertRevocationList<'static>>,
    /// What is in order, but may not be what was meant.
    pub(crate) warnings: Vec<String>,
}

impl Lists {
    /// Reads all lists and checks dates, issuers and signatures as far as issuers are known.
    pub(crate) fn load(
        options: &Options,
        anchors: &Anchors,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<Self, Error> {
        let mut lists = Self::default();
        let now = keys::now(options)?;
        for source in &options.revocation_lists {
            let content = Content::read(source, LISTS_OPTION)?;
            for der in read_lists(&content)? {
                let checked = check(&der, anchors, algorithms, now);
                let warning = checked.map_err(|reason| content.error(reason))?;
                let list = OwnedCertRevocationList::from_der(&der);
                let list = list.map_err(|error| content.error(unusable(&error)))?;
                lists.lists.push(list.into());
                lists
                    .warnings
                    .extend(warning.map(|w| format!("{}: {w}", content.name)));
            }
        }
        Ok(lists)
    }

    /// The lists by reference, as webpki takes them.
    pub(crate) fn borrowed(&self) -> Vec<&CertRevocationList<'static>> {
        self.lists.iter().collect()
    }

    /// Looks up a leaf by issuer and serial number. With `must_cover`, a leaf whose issuer has
    /// no list is refused.
    pub(crate) fn check(&self, leaf: &Certificate, must_cover: bool) -> Result<(), Error> {
        let issuer = leaf.issuer_der();
        let mut covering = self
            .lists
            .iter()
            .filter(|list| list.issuer() == issuer)
            .peekable();
        if covering.peek().is_none() && must_cover && !self.lists.is_empty() {
            return Err(unknown_status(leaf));
        }
        match covering.any(|list| is_listed(list, leaf.serial())) {
            true => Err(revoked(leaf)),
            false => Ok(()),
        }
    }
}

/// What webpki asks of the lists: every certificate of the path is covered by a current one.
pub(crate) fn along_path<'a>(
    lists: &'a [&'a CertRevocationList<'a>],
) -> Option<RevocationOptions<'a>> {
    let builder = RevocationOptionsBuilder::new(lists).ok()?;
    Some(
        builder
            .with_depth(RevocationCheckDepth::Chain)
            .with_status_policy(UnknownStatusPolicy::Deny)
            .with_expiration_policy(ExpirationPolicy::Enforce)
            .build(),
    )
}

pub(crate) fn revoked(leaf: &Certificate) -> Error {
    let detail = format!("issued for {} by {}", leaf.subject(), leaf.issuer());
    Error::with_detail(ErrorKind::CertificateRevoked, detail)
}

pub(crate) fn unknown_status(leaf: &Certificate) -> Error {
    let detail = format!("no revocation list covers what {} issued", leaf.issuer());
    Error::with_detail(ErrorKind::BadCertificate, detail)
}

/// Serial numbers are compared as encoded, where a leading zero byte may keep them positive.
fn is_listed(list: &CertRevocationList<'_>, serial: &[u8]) -> bool {
    let found = |serial: &[u8]| !matches!(list.find_serial(serial), Ok(None));
    found(serial) || found(&[&[0], serial].concat())
}

fn check(
    der: &[u8],
    anchors: &Anchors,
    algorithms: &WebPkiSupportedAlgorithms,
    now: UnixTime,
) -> Result<Option<String>, String> {
    let list: CertificateList =
        CertificateList::from_der(der).map_err(|_| "holds a malformed list".to_owned())?;
    let fields = &list.tbs_cert_list;
    match &fields.next_update {
        None => return Err("holds a list that does not say until when it is good".to_owned()),
        Some(end) if end.to_unix_duration().as_secs() < now.as_secs() => {
            return Err(format!(
                "holds a list that was good until {end}; fetch the next one"
            ));
        }
        Some(_) => {}
    }
    let Some(issuer) = anchors.authority_named(&fields.issuer) else {
        let text = format!(
            "holds a list of {}, who is no trusted authority",
            fields.issuer
        );
        return Ok(Some(text));
    };
    if issuer.key_usage().is_some_and(|usage| !usage.crl_sign()) {
        let issuer = issuer.subject();
        return Err(format!(
            "holds a list of {issuer}, whose key usage lacks cRLSign"
        ));
    }
    match is_signed_by(der, issuer.key(), algorithms) {
        true => Ok(None),
        false => Err(format!(
            "holds a list that {} did not sign",
            issuer.subject()
        )),
    }
}

fn unusable(error: &webpki::Error) -> String {
    format!("holds a list that cannot be used ({error})")
}
