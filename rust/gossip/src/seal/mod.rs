//! The envelope of a datagram: who may read it, who can have written it, and that it is new.

mod bucket;
mod keyring;
mod window;

pub use bucket::TokenBucket;
pub use keyring::{Cipher, Keyring, Label, Sealing, SenderKey};
pub use window::ReplayWindow;
