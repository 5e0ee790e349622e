//! Whether a connection that stands may go on: what time, new revocation lists and the peer's own
//! claims have to say of the certificates it was made with.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::filter::{Filter, Stage};
use crate::material::Material;
use crate::session::presented_names;

impl Filter {
    /// Whether the peer's certificates are still good by the revocation lists of `material`, which
    /// may be newer than the one this connection was made with.
    ///
    /// # Errors
    /// [`ErrorKind::CertificateRevoked`](crate::ErrorKind::CertificateRevoked).
    pub fn check_revocation(&self, material: &Material) -> Result<(), Error> {
        match &self.stage {
            Stage::Open(connection) => {
                material.check_revocation(connection.peer_certificates().unwrap_or_default())
            }
            _ => Ok(()),
        }
    }

    /// Whether the connection was made with this very material.
    pub fn is_made_with(&self, material: &Arc<Material>) -> bool {
        Arc::ptr_eq(&self.material, material)
    }

    /// How long the peer's certificate is still valid, if the options say that the connection
    /// should end with it.
    pub fn expires_in(&self) -> Option<Duration> {
        if !self.material.close_at_expiry {
            return None;
        }
        let end = self.session()?.certificate_not_after?;
        let now = self.material.clock.current_time()?;
        Some(Duration::from_secs(end.saturating_sub(now.as_secs())))
    }

    /// Whether the peer, which has greeted as `node_id` with `roles`, may say so.
    ///
    /// # Errors
    /// [`ErrorKind::IdentityNotAllowed`](crate::ErrorKind::IdentityNotAllowed), with the names its
    /// certificate has.
    pub fn check_claim(&self, node_id: &str, roles: &[String]) -> Result<(), Error> {
        let names = match &self.stage {
            Stage::Open(connection) => presented_names(connection),
            _ => Vec::new(),
        };
        self.material.claims.check(node_id, roles, &names)
    }

    /// Whether the peer has shown a certificate and proven that it has its key.
    pub fn is_peer_proven(&self) -> bool {
        let presented = match &self.stage {
            Stage::Open(connection) if !self.is_handshaking() => connection.peer_certificates(),
            _ => None,
        };
        presented.is_some_and(|presented| !presented.is_empty())
    }
}
