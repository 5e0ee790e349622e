//! Certificates, keys and trust, and what a TLS session agreed on.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use ztransport_tls::{ClientAuth, Options, Password, Profile, Session, Source, TrustSource};

use crate::errors;

/// Checked certificates, key, trust and choices of one node.
#[pyclass(frozen, module = "ztransport._ztransport")]
pub(crate) struct Material {
    pub(crate) inner: Arc<ztransport_tls::Material>,
}

#[pymethods]
impl Material {
    /// Loads everything; a source is a path as `str` or its content as `bytes`.
    #[new]
    #[pyo3(signature = (*, certificate_chain, private_key, private_key_password, trust, profile, allowed_identities, node_identities, role_identities, revocation_lists, client_auth, verify_hostname, require_alpn, cipher_suites, groups, close_at_expiry))]
    #[expect(
        clippy::too_many_arguments,
        reason = "named in Python: one for each choice"
    )]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn new(
        py: Python<'_>,
        certificate_chain: Option<&Bound<'_, PyAny>>,
        private_key: Option<&Bound<'_, PyAny>>,
        private_key_password: Option<Vec<u8>>,
        trust: Vec<Bound<'_, PyAny>>,
        profile: &str,
        allowed_identities: Vec<String>,
        node_identities: Vec<(String, String)>,
        role_identities: Vec<(String, String)>,
        revocation_lists: Vec<Bound<'_, PyAny>>,
        client_auth: &str,
        verify_hostname: bool,
        require_alpn: bool,
        cipher_suites: Vec<String>,
        groups: Vec<String>,
        close_at_expiry: bool,
    ) -> PyResult<Material> {
        let options = Options {
            certificate_chain: certificate_chain.map(source).transpose()?,
            private_key: private_key.map(source).transpose()?,
            private_key_password: private_key_password.map(Password::new),
            profile: profile_named(py, profile)?,
            allowed_identities,
            node_identities,
            role_identities,
            revocation_lists: revocation_lists
                .iter()
                .map(source)
                .collect::<PyResult<_>>()?,
            trust: trust.iter().map(trust_source).collect::<PyResult<_>>()?,
            client_auth: client_auth_named(py, client_auth)?,
            verify_hostname,
            require_alpn,
            cipher_suites,
            groups,
            close_at_expiry,
            ..Options::default()
        };
        // A password may take a second to become a key: other threads run meanwhile.
        let loaded = py.detach(|| ztransport_tls::Material::load(&options));
        loaded
            .map(|inner| Material { inner })
            .map_err(|error| errors::tls(py, &error))
    }

    /// What works, but should be mended; a sentence each.
    #[getter]
    fn warnings(&self) -> Vec<String> {
        self.inner.warnings().to_vec()
    }
}

fn source(given: &Bound<'_, PyAny>) -> PyResult<Source> {
    match given.cast::<PyBytes>() {
        Ok(pem) => Ok(Source::Bytes(pem.as_bytes().to_vec())),
        Err(_) => Ok(Source::Path(given.extract::<PathBuf>()?)),
    }
}

/// `"chain"` means one's own chain, `"system"` the machine's authorities; files of these names are
/// written `"./chain"` and `"./system"`.
fn trust_source(given: &Bound<'_, PyAny>) -> PyResult<TrustSource> {
    match given.extract::<String>() {
        Ok(word) if word == "chain" => Ok(TrustSource::Chain),
        Ok(word) if word == "system" => Ok(TrustSource::System),
        _ => source(given).map(TrustSource::Source),
    }
}

fn profile_named(py: Python<'_>, name: &str) -> PyResult<Profile> {
    match name {
        "standard" => Ok(Profile::Standard),
        "strict" => Ok(Profile::Strict),
        "zeebe" => Ok(Profile::Zeebe),
        "spiffe" => Ok(Profile::Spiffe),
        other => {
            let text = format!("profile is standard, strict, zeebe or spiffe, not {other:?}");
            Err(errors::configuration(py, &text))
        }
    }
}

fn client_auth_named(py: Python<'_>, name: &str) -> PyResult<ClientAuth> {
    match name {
        "none" => Ok(ClientAuth::None),
        "optional" => Ok(ClientAuth::Optional),
        "required" => Ok(ClientAuth::Required),
        other => {
            let text = format!("client_auth is none, optional or required, not {other:?}");
            Err(errors::configuration(py, &text))
        }
    }
}

/// A session's facts by name.
pub(crate) fn session_dict<'py>(
    py: Python<'py>,
    session: &Session,
) -> PyResult<Bound<'py, PyDict>> {
    let facts = PyDict::new(py);
    facts.set_item("version", session.version)?;
    facts.set_item("cipher_suite", &session.cipher_suite)?;
    facts.set_item("group", &session.group)?;
    facts.set_item("alpn", session.alpn.as_deref().map(String::from_utf8_lossy))?;
    facts.set_item("certificate_not_after", session.certificate_not_after)?;
    let identity = session.identity.as_ref();
    facts.set_item(
        "identity",
        identity.map(|names| (&names.dns, &names.uri, &names.ip)),
    )?;
    Ok(facts)
}
